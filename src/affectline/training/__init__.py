"""Training heads. The only part of affectline that imports torch."""
