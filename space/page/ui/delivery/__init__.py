"""How pages reach a browser: light, with all that they need named ahead, and with our picture of a link to them."""
