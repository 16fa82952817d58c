"""Models made of other models: the authors' checkpoints, other classes, larger pictures."""
