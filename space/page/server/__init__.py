"""What the page's server sends and to whom: how pages come over the line, and what strangers may ask for."""
