"""Model files and clips: what exists (registry) and how it gets here (store)."""
