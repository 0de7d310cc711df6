"""Ways to put features into words."""
