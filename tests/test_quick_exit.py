"""A process that skips the last search for garbage ends like any other: its handlers, output and status."""

import subprocess
import sys

# `Ring` objects are garbage that only the collector finds: it calls their __del__ at the end of a process.
BODY = """
import atexit, sys
from rlvr.quick_exit import skip_final_collection
class Ring:
    def __init__(self): self.self = self
    def __del__(self): print("collected")
atexit.register(print, "handler")
{call}
ring = Ring()
del ring
sys.exit(3)
"""


def end_of(call):
    ended = subprocess.run(
        [sys.executable, "-c", BODY.format(call=call)], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.split()


def test_only_the_search_for_garbage_is_left_out():
    assert end_of("") == (3, ["handler", "collected"])
    assert end_of("skip_final_collection()") == (3, ["handler"])
