"""Drawing many pictures of many label maps: synthetic training data."""
