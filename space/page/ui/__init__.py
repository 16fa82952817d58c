"""What the page shows: layout, events, the label canvas, endpoints."""
