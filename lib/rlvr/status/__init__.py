"""How far a study is: `python -m rlvr status`."""
