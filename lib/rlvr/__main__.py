"""Command line: `python -m rlvr status`."""

import argparse
import sys

from rlvr.version import __version__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rlvr", description="Noise in reinforcement learning with verifiable rewards"
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="progress of the training jobs, from their logs")
    status.add_argument("--follow", action="store_true", help="keep the table up to date until Ctrl-C")
    status.add_argument("--all", action="store_true", help="show finished jobs too")
    status.add_argument("--results", default="results", help="folder of results (default: results)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    from rlvr.status import show_status

    show_status(options.results, options.follow, options.all)
    return 0


if __name__ == "__main__":
    sys.exit(main())
