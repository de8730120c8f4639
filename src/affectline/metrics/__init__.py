"""Metrics of the three ABAW tasks: CCC, macro F1, mean binary F1."""
