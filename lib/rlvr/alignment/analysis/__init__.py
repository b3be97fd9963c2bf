"""The analysis of the alignment study."""
