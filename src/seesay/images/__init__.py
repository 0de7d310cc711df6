"""Where images come from, and what is drawn on them."""
