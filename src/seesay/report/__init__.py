"""What came of a run, told to people: sections of words and tables, figures, and pages made of them."""
