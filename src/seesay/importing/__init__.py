"""Words that were made elsewhere, brought into a run; without torch."""
