"""What the page does, without its layout: sessions, actions, models, photos."""
