"""A synthetic data set in the files of Aff-Wild2, with a planted structure and known ceilings (docs/synthetic.md)."""
