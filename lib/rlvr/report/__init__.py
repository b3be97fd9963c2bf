"""The pages that a person reads at the end, one a study, self-contained."""
