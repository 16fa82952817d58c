"""Metrics that look at several pictures of each label map."""
