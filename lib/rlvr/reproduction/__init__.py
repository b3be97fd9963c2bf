"""Whether results are what they were recorded as, and whether they come out again."""
