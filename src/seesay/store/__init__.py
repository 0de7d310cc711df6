"""The run directory: one subject, one block, one SAE, and all that was found out about its features."""
