"""The page: its core, which knows no layout, its interface, and the human evaluation."""
