"""Training loops, checkpoints and their files."""
