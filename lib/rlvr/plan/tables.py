"""The plan as plain text."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from rlvr.plan.jobs import Jobs
from rlvr.plan.memory import BASE, NAMES, USABLE_SHARE, TrainingLoad, TrainingMemory
from rlvr.plan.study import StudyToPlan
from rlvr.plan.work import Hours

if TYPE_CHECKING:  # it imports scipy, which takes longer than the rest of a plan
    from rlvr.plan.precision_tests import TaskErrors

WIDTH = 100
_LABEL, _CELL = 36, 16


@dataclass(frozen=True)
class ModeMemory:
    """A mode's memory, the fewest GPUs (None: no number is enough), and the largest batches that fit."""

    mode: str
    memory: TrainingMemory
    fewest_gpus: int | None
    rows: int
    drawn_rows: int


@dataclass(frozen=True)
class Throughput:
    """Response tokens per second of one training job, their mean length (None: the longest), its origin."""

    tokens_per_second: float
    response_tokens: float | None
    origin: str


def heading(study: StudyToPlan) -> str:
    """Policy, sizes and load."""
    sizes, load = study.policy.sizes, study.load
    tied = "tied" if sizes.tied_embeddings else "apart"
    lines = (
        f"{study.policy.name}: {study.policy.parameters:,} parameters ({study.policy.source})",
        f"  {sizes.layers} layers of {sizes.hidden_size}, {sizes.heads} heads over {sizes.kv_heads} of keys "
        f"and values, MLP {sizes.mlp_size}, {sizes.vocab_size:,} tokens (embeddings {tied}), "
        f"{sizes.max_positions:,} positions",
        f"  microbatches of {_microbatch(load)}; {load.drawn_rows} rows drawn "
        f"together; prompts up to {load.prompt:,}, responses up to {load.response:,} tokens; {load.device}",
    )
    return "\n".join(line for text in lines for line in textwrap.wrap(text, WIDTH, subsequent_indent="    "))


def _microbatch(load: TrainingLoad) -> str:
    if load.microbatch_tokens is None:
        return f"{load.rows} rows × {load.positions:,} tokens"
    return f"{load.tokens:,} tokens in rows of up to {load.positions:,}"


def _row(name: str, cells: Iterable[str]) -> str:
    return f"  {name:<{_LABEL}}" + "".join(f"{cell:>{_CELL}}" for cell in cells)


def memory_table(study: StudyToPlan, found: Sequence[ModeMemory], gpu_gb: float) -> str:
    """A row a part, a column a mode."""
    unit, scale = _unit(max(one.memory.peak() for one in found))
    on_gpus = study.load.device == "cuda"
    lines = [
        f"Memory of one training job in {unit}, all on one device",
        _row("", [one.mode for one in found]),
    ]
    for name in NAMES:
        sizes = [one.memory.largest(name) for one in found]
        if name == BASE:
            lines.append(
                _row("= weights, gradients, state", [f"{one.memory.trained / scale:.1f}" for one in found])
            )
        if any(sizes):
            everywhere = on_gpus and not any(one.memory.is_sharded(name) for one in found)
            label = f"{name} *" if everywhere else name
            lines.append(_row(label, [f"{size / scale:.1f}" if size else "-" for size in sizes]))
    lines.append(_row("peak of a step", [f"{one.memory.peak() / scale:.1f}" for one in found]))
    lines.append(_row("  reached in", [one.memory.peak_phase() for one in found]))
    if on_gpus:
        lines += _gpu_rows(study, found, gpu_gb)
    return "\n".join(
        [*lines, *textwrap.wrap(PHASES_NOTE, WIDTH, initial_indent="  ", subsequent_indent="  ")]
    )


PHASES_NOTE = (
    "Not all parts are there at once: the phases of a step (sampling, scoring, backward, optimiser, "
    "comparing) follow each other. docs/plan.md has the formulas."
)
GPUS_NOTE = (
    f"* Needed on every GPU; all else is divided as FSDP would. {USABLE_SHARE:.0%} of a GPU's memory is "
    "counted on. This version trains on one device."
)


def _gpu_rows(study: StudyToPlan, found: Sequence[ModeMemory], gpu_gb: float) -> list[str]:
    gpus, drawn = max(study.gpus, 1), study.load.drawn_rows
    return [
        _row(f"fewest GPUs of {gpu_gb:g} GB", [str(one.fewest_gpus or "none") for one in found]),
        f"  what fits on {gpus} of them (the config's)",
        _microbatch_row(study.load, found),
        _row(f"  rows drawn together (now {drawn})", [str(one.drawn_rows or "none") for one in found]),
        *textwrap.wrap(GPUS_NOTE, WIDTH, initial_indent="  ", subsequent_indent="  "),
    ]


def _microbatch_row(load: TrainingLoad, found: Sequence[ModeMemory]) -> str:
    """The largest microbatch of each mode, as the config gives it: in rows or in tokens."""
    if load.microbatch_tokens is None:
        return _row(f"  microbatch_size (now {load.rows})", [str(one.rows or "none") for one in found])
    fitting = (replace(load, rows=one.rows).tokens for one in found)
    return _row(f"  microbatch_tokens (now {load.microbatch_tokens})", [str(n or "none") for n in fitting])


def _unit(largest: float) -> tuple[str, float]:
    return ("GB (10⁹ bytes)", 1e9) if largest >= 1e9 else ("MB (10⁶ bytes)", 1e6)


def warnings_text(
    study: StudyToPlan, movable: Mapping[str, float], measured: bool, found: Sequence[str]
) -> str:
    """Movable shares, then every warning."""
    shares = ", ".join(f"{mode} {100 * share:.1f} %" for mode, share in movable.items())
    origin = "measured on the policy" if measured else "estimated: weights not read"
    lines = textwrap.wrap(
        f"Weights that a step of {study.learning_rate:g} can move ({origin}): {shares}",
        WIDTH,
        subsequent_indent="  ",
    )
    for warning in found:
        lines += textwrap.wrap(f"warning: {warning}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def jobs_table(jobs: Sequence[Jobs]) -> str:
    """Jobs of a run from nothing, by study and rule."""
    lines = [f"Jobs, from nothing: {sum(one.count for one in jobs)}"]
    for study, rules in groupby(jobs, key=lambda one: one.study):
        own = list(rules)
        lines.append(f"  {study}: {sum(one.count for one in own)}")
        for one in own:
            gpus = f"{one.gpus} GPU{'s' if one.gpus > 1 else ''} each" if one.gpus else ""
            lines.append(f"    {one.rule:<{_LABEL - 2}}{one.count:>8}   {gpus}".rstrip())
    return "\n".join(lines)


def hours_table(speed: Throughput | None, hours: Sequence[Hours], training_gpus: int) -> str:
    """Hours by rule, or how to have them."""
    if speed is None:
        return "Hours: state --steps-per-hour or --tokens-per-second of a training job, or measure by --probe"
    unit = "GPU-hours" if training_gpus else "hours"
    length = "the longest" if speed.response_tokens is None else f"{speed.response_tokens:.4g} tokens"
    lines = [
        f"Hours at {speed.tokens_per_second:.4g} response tokens a second of a training job",
        f"  {speed.origin}",
        f"  responses: {length}; nothing resampled; evaluations as fast per device as training",
        f"  {'':<{_LABEL}}{'jobs':>8}{'hours each':>14}{unit:>14}",
    ]
    for one in hours:
        note = f"   without {', '.join(one.left_out)}" if one.left_out else ""
        lines.append(f"  {one.rule:<{_LABEL}}{one.jobs:>8}{one.hours_a_job:>14.4g}{one.total:>14.4g}{note}")
    lines.append(f"  {'together':<{_LABEL}}{'':>22}{sum(one.total for one in hours):>14.4g}")
    return "\n".join(lines)


def errors_table(errors: "Sequence[TaskErrors]", accuracy: float) -> str:
    """Standard errors of one run, task by task."""
    lines = [
        f"Standard errors of one run in points, the most they can be at accuracy {accuracy:g}",
        f"  {'':<{_LABEL}}{'problems':>9}{'samples':>9}{'J, same':>10}{'J, others':>11}{'gain':>8}",
    ]
    for one in errors:
        row = f"  {one.task:<{_LABEL}}{one.problems or 'unknown':>9}{one.samples:>9}"
        if one.problems:
            row += f"{one.sampling:>10.2f}{one.new_problems:>11.2f}{one.gain:>8.2f}"
        lines.append(row)
    return "\n".join(lines)
