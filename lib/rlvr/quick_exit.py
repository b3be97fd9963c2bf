"""The end of a process, without a search of all its objects for garbage."""

import atexit
import gc


def skip_final_collection() -> None:
    """Let this process end without the last run of Python's garbage collector.

    It would look at every object that torch and other packages made when they were imported (0.4 s of CPU
    time, in each job), a moment before the system takes the memory back. Handlers of `atexit` run, and
    standard output is flushed; a file that nobody closed is not, so files are written in `with` blocks.
    """
    atexit.register(gc.freeze)
