"""The plan as plain text."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from rlvr.plan.evaluation import EVALUATION_NAMES, DrawingJob
from rlvr.plan.fitting import USABLE_SHARE
from rlvr.plan.jobs import Jobs
from rlvr.plan.memory import BASE, GATHERED, NAMES, TrainingLoad, trained_bytes
from rlvr.plan.parts import JobMemory
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
    memory: JobMemory
    fewest_gpus: int | None
    rows: int
    drawn_rows: int


@dataclass(frozen=True)
class Throughput:
    """Response tokens per second of one training job on so many `gpus` (0: a CPU), their mean length (None:
    the longest), and where the number comes from.
    """

    tokens_per_second: float
    gpus: int
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
    memories = [one.memory for one in found]
    lines = [
        f"Memory of one training job in {unit}, all on one device",
        _row("", [one.mode for one in found]),
    ]
    for name in NAMES:
        if name == BASE:
            trained = [f"{trained_bytes(memory) / scale:.1f}" for memory in memories]
            lines.append(_row("= weights, gradients, state", trained))
        whole = on_gpus and not any(memory.is_divided(name) for memory in memories)
        lines += _part_row(name, f"{name} *" if whole else name, memories, scale)
    lines += _peak_rows(memories, scale, label="peak of a step")
    if on_gpus:
        lines += _gpu_rows(study, found, gpu_gb, scale)
    return "\n".join([*lines, *_note(PHASES_NOTE)])


def _part_row(name: str, label: str, memories: Sequence[JobMemory], scale: float) -> list[str]:
    """The row of a part, if any job has it."""
    sizes = [memory.largest(name) for memory in memories]
    return [_row(label, [f"{size / scale:.1f}" if size else "-" for size in sizes])] if any(sizes) else []


def _peak_rows(memories: Sequence[JobMemory], scale: float, gpus: int = 1, label: str = "peak") -> list[str]:
    return [
        _row(label, [f"{memory.peak(gpus) / scale:.1f}" for memory in memories]),
        _row("  reached in", [memory.peak_phase(gpus) for memory in memories]),
    ]


def _note(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


PHASES_NOTE = (
    "Not all parts are there at once: the phases of a step (sampling, scoring, the backward pass of head and "
    "layers, optimiser, comparing) follow each other. docs/plan.md has the formulas."
)
GPUS_NOTE = (
    f"* Needed on every GPU; all else is divided (FSDP2). {USABLE_SHARE:.0%} of a GPU's memory is counted on."
)


def _gpu_rows(study: StudyToPlan, found: Sequence[ModeMemory], gpu_gb: float, scale: float) -> list[str]:
    gpus, drawn = study.processes, study.load.drawn_rows
    key = " (precision.training.trainer.gpus)" if study.name == "precision" else ""
    lines = [f"  on {gpus} GPU{'s' if gpus > 1 else ''} of {gpu_gb:g} GB{key}"]
    if gpus > 1:
        memories = [one.memory for one in found]
        gathered = [
            f"{memory.of(GATHERED, memory.peak_phase(gpus), gpus) / scale:.1f}" for memory in memories
        ]
        lines += _peak_rows(memories, scale, gpus, "peak on each")
        lines.append(_row("  of it gathered from the others", gathered))
    return [
        *lines,
        _microbatch_row(study.load, found),
        _row(f"  rows drawn together (now {drawn})", [str(one.drawn_rows or "none") for one in found]),
        _row("fewest GPUs for all of that", [str(one.fewest_gpus or "none") for one in found]),
        *_note(GPUS_NOTE),
    ]


def drawing_table(jobs: Sequence[DrawingJob], gpu_gb: float) -> str:
    """Memory of the jobs that draw and do not train: a row a part, a column a job."""
    memories = [job.memory() for job in jobs]
    unit, scale = _unit(max(memory.peak() for memory in memories))
    lines = [f"Memory of one evaluation in {unit}, on one device"]
    for rule, own in groupby(jobs, key=lambda job: job.rule):
        lines.append(f"  {rule}: {', '.join(job.whose for job in own)}")
    lines.append(_row("", [job.whose for job in jobs]))
    for name in EVALUATION_NAMES:
        lines += _part_row(name, name, memories, scale)
    lines += _peak_rows(memories, scale)
    if jobs[0].sampling.device == "cuda":
        fits = [memory.peak() <= USABLE_SHARE * gpu_gb * 1e9 for memory in memories]
        rows = [f"{job.largest_rows(gpu_gb * 1e9) or 'none'} of {job.sampling.rows}" for job in jobs]
        lines.append(_row(f"fits on a GPU of {gpu_gb:g} GB", ["yes" if one else "no" for one in fits]))
        lines.append(_row("  rows drawn together that do", rows))
    return "\n".join([*lines, *_note(ONE_DEVICE_NOTE)])


ONE_DEVICE_NOTE = "Such a job computes on one GPU, even if resources.evaluate_policy.gpu gives it more."


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


def hours_table(speed: Throughput | None, hours: Sequence[Hours], left_out: Sequence[Jobs]) -> str:
    """Hours by rule, or how to have them. `left_out`: jobs with GPUs of which no hours are known."""
    if speed is None:
        return "Hours: state --steps-per-hour or --tokens-per-second of a training job, or measure by --probe"
    unit = "GPU-hours" if speed.gpus else "hours"
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
    if left_out:
        jobs = (f"{one.rule} ({one.count} × {one.gpus} GPU{'s' if one.gpus > 1 else ''})" for one in left_out)
        lines += _note(f"without {', '.join(jobs)}, which hold GPUs and generate nothing")
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
