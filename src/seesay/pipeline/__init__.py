"""The stages of a run, each resumable: what was done is not done again."""
