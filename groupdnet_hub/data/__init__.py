"""Label maps, pictures, and data sets of pairs of them."""
