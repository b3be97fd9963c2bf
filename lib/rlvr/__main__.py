"""Command line: `python -m rlvr status`, `python -m rlvr repair demo`, `python -m rlvr repair validate`."""

import argparse
import sys
from collections.abc import Callable

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
    repair = commands.add_parser("repair", help="the repair environment: a dropout layer to be mended")
    actions = repair.add_subparsers(dest="action", required=True)
    actions.add_parser("demo", help="grade the bug, which fails, and the fix, which passes")
    _add_validate(actions.add_parser("validate", help="how often a solver repairs the task"))
    return parser


def _number(kind: type, low: float, high: float = float("inf")) -> Callable[[str], float]:
    """A number of the command line within bounds."""

    def read(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: allowed is {low:g} to {high:g}")
        return value

    read.__name__ = "number"
    return read


def _add_validate(validate: argparse.ArgumentParser) -> None:
    solvers = ("mutations", "engine", "anthropic", "openai-compatible")
    validate.add_argument("--runs", type=_number(int, 1), required=True, help="attempts")
    validate.add_argument("--output-dir", required=True, help="folder of the results")
    validate.add_argument(
        "--solver", choices=solvers, default="mutations", help="default: mutations, no model"
    )
    validate.add_argument("--model", default="", help="folder of a policy, or a model's name")
    validate.add_argument("--revision", default="", help="commit of a hub id (engine)")
    validate.add_argument("--base-url", default="", help="address of the API")
    validate.add_argument("--seed", type=_number(int, 0), default=0, help="seed of the attempts (default: 0)")
    validate.add_argument(
        "--turns", type=_number(int, 1, 3), default=3, help="replies an attempt (default: 3)"
    )
    validate.add_argument("--max-tokens", type=_number(int, 1), default=2048, help="tokens of a reply")
    validate.add_argument("--temperature", type=_number(float, 0), default=1.0, help="default: 1")
    validate.add_argument(
        "--parallel", type=_number(int, 1), default=2, help="attempts at a time (default: 2)"
    )
    validate.add_argument("--time-limit", type=_number(float, 0.1, 60), default=4.0, help="seconds a grading")
    validate.add_argument("--require-isolation", choices=("any", "strong"), default="any")
    validate.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of the engine")


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "repair":
        from rlvr.repair.cli import run

        return run(options)
    from rlvr.status import show_status

    show_status(options.results, options.follow, options.all)
    return 0


if __name__ == "__main__":
    sys.exit(main())
