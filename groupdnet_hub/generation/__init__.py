"""Drawing many pictures of many label maps, as synthetic training data."""
