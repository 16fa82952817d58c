"""What the page does with what a session remembers: small pictures of looks, the shelf, work that is kept."""
