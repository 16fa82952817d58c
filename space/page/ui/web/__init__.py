"""What the page's server sends: pages compressed, with their scripts named early and with the tags that links show."""
