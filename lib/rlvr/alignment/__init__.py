"""The alignment study: zero-shot, SFT, expert iteration and GRPO with its ablations."""
