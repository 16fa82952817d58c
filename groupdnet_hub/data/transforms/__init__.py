"""Random changes of a picture together with its maps."""
