"""A synthetic data set in the files of Aff-Wild2, with a planted structure whose ceilings are known (docs/synthetic.md)."""
