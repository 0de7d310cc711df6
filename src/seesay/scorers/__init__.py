"""How good explanations are: one measure a file, behind the seam in [seesay.scorers.scorer][]."""
