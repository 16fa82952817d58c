"""Checks of all items of a data set before any is used: of each item, what is said of the bad ones, what is known."""
