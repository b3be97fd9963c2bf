"""The command `python -m rlvr doctor`."""

import argparse
import sys
import textwrap

from rlvr.doctor.checks import Check, check
from rlvr.doctor.machine import examine

_WIDTH = 110
_INDENT = " " * 31


def run(options: argparse.Namespace) -> int:
    """Print every check of this machine; the exit status is 1 if something stops every study."""
    checks = list(check(examine("results")))
    sys.stdout.write("".join(map(line, checks)))
    missing = [one.subject for one in checks if one.state == "missing"]
    if missing:
        sys.stdout.write(f"\nNo study runs here before this is mended: {', '.join(missing)}.\n")
        return 1
    sys.stdout.write("\nThe embedded studies run here; `limited` lines say what else would need more.\n")
    return 0


def line(found: Check) -> str:
    """State, subject and finding; what would mend it on lines of its own."""
    first = f"{found.state:8} {found.subject:22}"
    text = textwrap.fill(found.found, _WIDTH, initial_indent=first, subsequent_indent=_INDENT)
    if found.fix:
        text += "\n" + textwrap.fill(
            f"→ {found.fix}", _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT
        )
    return text + "\n"
