"""The advantage study: per-prompt reward statistics on a problem with a known answer, and in GRPO."""
