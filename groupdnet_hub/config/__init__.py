"""The configuration of a model: frozen, validated, written as JSON."""
