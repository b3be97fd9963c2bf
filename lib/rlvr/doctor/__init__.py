"""What this machine can run: `python -m rlvr doctor`."""
