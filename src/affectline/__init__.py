"""affectline: from a video to a timeline of affect."""

__version__ = "0.1.0"
