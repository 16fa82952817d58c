"""A run packed for a machine without network."""
