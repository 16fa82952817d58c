"""The pictures of a run: where they lie, in which order they come, and which classes are alike in them."""
