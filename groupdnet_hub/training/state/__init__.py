"""The state of a run: checkpoints and what is in them."""
