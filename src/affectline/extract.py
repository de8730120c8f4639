"""Filling a feature store from videos, or from folders of ready crops."""
