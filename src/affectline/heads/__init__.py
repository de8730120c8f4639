"""From a backbone's outputs or landmarks to scores of one task."""
