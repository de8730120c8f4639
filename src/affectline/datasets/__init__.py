"""Labelled data: the Aff-Wild2 layout, labels of a user's own, a synthetic set, submission files."""
