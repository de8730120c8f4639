"""From raw scores to final rows: gaps, smoothing, decisions."""
