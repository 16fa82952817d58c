"""Metrics of several pictures of each label map."""
