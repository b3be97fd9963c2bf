"""Command line: `python -m rlvr COMMAND`, see its help."""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from math import isfinite

from rlvr.quick_exit import skip_final_collection
from rlvr.version import __version__

# Modules with a function `run`, imported when their command is given: help must not wait for them.
RUNNERS = {
    "doctor": "rlvr.doctor.cli",
    "repair": "rlvr.repair.cli",
    "advantage": "rlvr.advantage_study.cli",
    "plan": "rlvr.plan.cli",
    "status": "rlvr.status.screen",
    "verify": "rlvr.reproduction.cli",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rlvr", description="Noise in reinforcement learning with verifiable rewards"
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser(
        "status", help="how far a study is: jobs done, at work and failed, time left"
    )
    status.add_argument("--follow", action="store_true", help="keep it up to date until Ctrl-C")
    status.add_argument("--all", action="store_true", help="show the progress of finished jobs too")
    status.add_argument(
        "results", nargs="?", default="results", help="results/{name}, or a folder of such (default: results)"
    )
    commands.add_parser("doctor", help="what this machine can run, what is missing, and what mends it")
    repair = commands.add_parser("repair", help="the repair environment: a dropout layer to be mended")
    actions = repair.add_subparsers(dest="action", required=True)
    actions.add_parser("demo", help="grade the bug, which fails, and the fix, which passes")
    _add_validate(actions.add_parser("validate", help="how often a solver repairs the task"))
    analyse = commands.add_parser("analyse", help="analyse the runs of a precision study that exist already")
    analyse.add_argument("--configfile", default="config.yaml", help="of the study (default: config.yaml)")
    analyse.add_argument("--output-dir", required=True, help="folder of the tables, verdicts and missing.csv")
    _add_advantage(
        commands.add_parser("advantage", help="one run of the reference problem of the advantages")
    )
    _add_power(commands.add_parser("power", help="what a planned study could see: standard errors and power"))
    _add_plan(commands.add_parser("plan", help="memory, jobs and hours of a study, and what it could see"))
    _add_verify(
        commands.add_parser("verify", help="are results what was recorded, and do they come out again?")
    )
    return parser


def _number(
    kind: type, low: float, high: float = float("inf"), below: bool = False
) -> Callable[[str], float]:
    """A finite number of the command line within bounds; `below`: less than the upper one."""
    if high == float("inf"):
        allowed = f"a {'whole' if kind is int else 'finite'} number of at least {low:g}"
    else:
        whole, end = "a whole number " if kind is int else "", "less than " if below else ""
        allowed = f"{whole}{low:g} to {end}{high:g}"

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not (low <= value <= high and isfinite(value)) or (below and value == high):
            raise argparse.ArgumentTypeError(f"{text}: allowed is {allowed}")
        return value

    return read


def _add_power(power: argparse.ArgumentParser) -> None:
    """The options are the fields of `rlvr.statistics.planning.StudyPlan`, with their defaults."""
    add = power.add_argument
    add("--seeds", type=_number(int, 2, 200), required=True, help="seeds per arm")
    add("--problems", type=_number(int, 1, 1e9), default=500, help="problems of a task (default: 500)")
    add("--samples", type=_number(int, 1, 1e6), default=16, help="samples per problem (default: 16)")
    add("--accuracy", type=_number(float, 0, 1), default=0.5, help="expected accuracy (default: 0.5)")
    add("--tasks", type=_number(int, 1, 1000), default=6, help="off-tasks under Holm (default: 6)")
    add("--alpha", type=_number(float, 1e-4, 0.4), default=0.05, help="level (default: 0.05)")
    add("--power", type=_number(float, 0.5, 0.99), default=0.8, help="wanted power (default: 0.8)")
    add("--seed-sd", type=_number(float, 0, 100), default=1.0, help="sd over seeds in points (default: 1)")
    add("--margin", type=_number(float, 0.01, 100), default=2.0, help="margin of H1 in points (default: 2)")
    add("--ratio", type=_number(float, 1.01, 1e6), default=8.0, help="variance ratio of H2 (default: 8)")
    add("--kl-sd", type=_number(float, 0, 10), default=0.1, help="sd over seeds of log KL (default: 0.1)")
    add("--kl-ratio", type=_number(float, 1.001, 100), default=1.25, help="margin of H3 (default: 1.25)")
    add(
        "--base-samples-factor", type=_number(int, 1, 1e6), default=4, help="samples of the base (default: 4)"
    )


def _add_plan(plan: argparse.ArgumentParser) -> None:
    add, above_zero = plan.add_argument, _number(float, 1e-9, 1e15)
    studies = ("precision", "alignment", "advantage")
    add("--configfile", default="config.yaml", help="of the study (default: config.yaml)")
    add("--study", choices=studies, default="precision", help="whose policy is planned (default: precision)")
    add("--gpu-memory-gb", type=above_zero, default=80.0, help="of one GPU, in 10⁹ bytes (default: 80)")
    add(
        "--prompt-tokens",
        type=_number(int, 1, 1e9),
        help="longest prompt (default: what the positions leave)",
    )
    add("--response-tokens", type=above_zero, help="mean length of a response (default: the longest allowed)")
    add("--model-config", metavar="FILE", help="config.json of a policy whose sizes are not known otherwise")
    add("--accuracy", type=_number(float, 0, 1), default=0.5, help="expected accuracy (default: 0.5)")
    speed = plan.add_mutually_exclusive_group()
    speed.add_argument("--steps-per-hour", type=above_zero, help="training steps of one job")
    speed.add_argument("--tokens-per-second", type=above_zero, help="response tokens of one training job")
    speed.add_argument("--probe", type=above_zero, metavar="SECONDS", help="measure it here, for so long")
    add("--json", metavar="FILE", help="write every number there too")


def _add_verify(verify: argparse.ArgumentParser) -> None:
    add = verify.add_argument
    add("results", help="folder of the results of one config, such as results/default")
    add(
        "--run", metavar="MODE/SEED/REP", help="train this run again and compare, for example fp32/seed1/rep1"
    )
    add("--against", metavar="RESULTS", help="compare with another folder of results, from another machine")
    add("--data-root", default="", help="folder of the data files, as in the config (default: here)")


def _add_advantage(advantage: argparse.ArgumentParser) -> None:
    add = advantage.add_argument
    add("--tracker", choices=("batch", "buffer", "ema"), required=True, help="what normalises the rewards")
    add("--decay", type=_number(float, 0, 1, below=True), default=0.9, help="of ema (default: 0.9)")
    add("--buffer-size", type=_number(int, 1, 1e5), default=32, help="rewards a prompt (default: 32)")
    add(
        "--min-count",
        type=_number(int, 1, 1e5),
        default=16,
        help="rewards before a prompt's own statistics count, of buffer and ema (default: 16)",
    )
    add("--epochs", type=_number(int, 1, 1e6), default=1000, help="default: 1000")
    add("--seed", type=_number(int, 0), default=1, help="default: 1")
    add("--logdir", help="folder for statistics.npz, rewards.csv and scores.csv (default: write none)")


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


def _analyse(options: argparse.Namespace) -> int:
    from rlvr.analysis.partial import analyse_existing
    from rlvr.config.load import load_config
    from rlvr.errors import UserError
    from rlvr.output_folder import output_folder

    try:
        config = load_config(options.configfile)
        missing = analyse_existing(config, output_folder("--output-dir", options.output_dir))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for run in missing:
        sys.stdout.write(
            f"left out: {run.label.arm} seed {run.label.seed} repeat {run.label.rep}: {run.reason}\n"
        )
    runs = "the other runs" if missing else "every run"
    sys.stdout.write(f"analysed {runs}; see {options.output_dir}\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    if options.command in RUNNERS:
        return import_module(RUNNERS[options.command]).run(options)
    if options.command == "power":
        from rlvr.statistics.plan_table import plan_table
        from rlvr.statistics.planning import StudyPlan

        values = {field: value for field, value in vars(options).items() if field != "command"}
        sys.stdout.write(plan_table(StudyPlan(**values)))
        return 0
    return _analyse(options)


if __name__ == "__main__":
    skip_final_collection()
    sys.exit(main())
