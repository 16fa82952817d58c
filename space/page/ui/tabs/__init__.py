"""The tabs below the picture: each module lays out one tab, and connects what it does."""
