"""Faces in a frame: detectors, tracking, crops, landmarks."""
