"""What a model is made of: a frozen, checked configuration that is written as JSON."""
