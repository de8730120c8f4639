"""The paper's experiments, and more of their kind, on any data in the Aff-Wild2 layout."""
