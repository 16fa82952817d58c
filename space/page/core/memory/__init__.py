"""What a session remembers: looks in little memory, the shelf, and work that is saved."""
