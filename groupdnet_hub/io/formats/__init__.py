"""What single formats of picture files hold, and what opens those of phones."""
