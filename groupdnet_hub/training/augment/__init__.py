"""Random changes of what the networks see in training."""
