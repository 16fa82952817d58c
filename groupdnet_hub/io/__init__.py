"""Files: read strictly, written atomically."""
