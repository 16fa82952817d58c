"""Measuring systems, and tables of what was measured."""
