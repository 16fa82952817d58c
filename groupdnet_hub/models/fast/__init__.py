"""Exact, faster forms of the networks. Nothing in the plain ones needs them."""
