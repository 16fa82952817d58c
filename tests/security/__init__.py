"""What strangers send to the page, and what must not come of it."""
