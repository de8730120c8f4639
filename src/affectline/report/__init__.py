"""Pictures and videos made from a timeline."""
