"""Faster forms of a training step."""
