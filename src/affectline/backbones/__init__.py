"""Networks from crop to embedding, logits and, where they have them, valence and arousal."""
