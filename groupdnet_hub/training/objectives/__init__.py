"""What the networks learn by: losses, and how each system combines them."""
