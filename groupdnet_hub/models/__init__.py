"""The networks of the paper (section 3.3, Fig. 2, 8 and 9) and what this project adds to them."""
