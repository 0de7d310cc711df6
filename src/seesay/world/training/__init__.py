"""Training the embedded world's models, from nothing and resumably."""
