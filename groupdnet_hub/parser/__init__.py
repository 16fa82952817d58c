"""The photo parser, which makes label maps of photos, and its training."""
