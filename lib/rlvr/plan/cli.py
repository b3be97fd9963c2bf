"""The command `python -m rlvr plan`: what a study needs, and what it could see, before anything is spent."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rlvr.config.load import load_config
from rlvr.errors import UserError
from rlvr.files import write_json
from rlvr.leases import lease_gpus
from rlvr.plan.evaluation import EVALUATION_NAMES, DrawingJob, drawing_jobs
from rlvr.plan.fitting import USABLE_SHARE, fewest_gpus, largest_rows
from rlvr.plan.jobs import Jobs, count_jobs
from rlvr.plan.memory import GATHERED, NAMES, trained_bytes, training_memory
from rlvr.plan.movable import movable_shares
from rlvr.plan.study import StudyToPlan, study_to_plan
from rlvr.plan.tables import (
    ModeMemory,
    Throughput,
    drawing_table,
    errors_table,
    heading,
    hours_table,
    jobs_table,
    memory_table,
    warnings_text,
)
from rlvr.plan.warnings import draws_too_much, find_warnings, too_large
from rlvr.plan.work import hours_of, step_tokens, study_work
from rlvr.precision import PrecisionMode

Config = Mapping[str, Any]


def run(options: argparse.Namespace) -> int:
    """Print the plan section by section; the exit status."""
    record: dict[str, Any] = {}
    try:
        config = load_config(options.configfile)
        for text in _sections(config, options, record):
            sys.stdout.write(text + "\n\n")
            sys.stdout.flush()
        if options.json:
            _write_record(options.json, record)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _write_record(file: str, record: dict[str, Any]) -> None:
    try:
        write_json(file, record)
    except OSError as error:
        raise UserError(f"argument --json: {file}: {error.strerror}") from error


def _sections(config: Config, options: argparse.Namespace, record: dict[str, Any]) -> Iterator[str]:
    """The texts in order, what is quick first; their numbers go into `record`."""
    study = study_to_plan(config, options.study, options.prompt_tokens, options.model_config)
    record |= {"config": options.configfile, "name": config["name"], "study": study.name}
    record["policy"] = {"name": study.policy.name, "source": study.policy.source}
    record["policy"]["parameters"] = study.policy.parameters
    yield heading(study)
    gpu_bytes = options.gpu_memory_gb * 1e9
    memories = [_mode_memory(study, mode, gpu_bytes) for mode in study.modes]
    record["load"], record["memory"] = (
        asdict(study.load),
        [_memory_record(one, study.processes) for one in memories],
    )
    yield memory_table(study, memories, options.gpu_memory_gb)
    drawing = drawing_jobs(config, study, options.prompt_tokens)
    record["evaluation_memory"] = [_drawing_record(job, gpu_bytes) for job in drawing]
    if drawing:
        yield drawing_table(drawing, options.gpu_memory_gb)
    movable, measured = movable_shares(study)
    found = find_warnings(config, study, movable, measured)
    for mode, one in zip(study.modes, memories, strict=True):
        found += too_large(study, mode, one.rows, one.drawn_rows, gpu_bytes)
    found += draws_too_much(drawing, gpu_bytes)
    record |= {"movable": {"measured": measured, "share": movable}, "warnings": found}
    yield warnings_text(study, movable, measured, found)
    jobs = count_jobs(config)
    record["jobs"] = [asdict(one) for one in jobs]
    yield jobs_table(jobs)
    yield _hours(config, options, study, record, jobs)
    if study.name == "precision":
        yield from _precision_sections(config, options.accuracy, record)


def _mode_memory(study: StudyToPlan, mode: PrecisionMode, gpu_bytes: float) -> ModeMemory:
    memory = training_memory(study.policy.sizes, mode, study.load)
    rows, drawn = largest_rows(study.policy.sizes, mode, study.load, study.processes, gpu_bytes)
    return ModeMemory(mode.name, memory, fewest_gpus(memory, gpu_bytes), rows, drawn)


def _memory_record(found: ModeMemory, gpus: int) -> dict[str, Any]:
    """Bytes of the parts on one device; a part of several phases counts with the largest."""
    memory = found.memory
    parts = {name: memory.largest(name) for name in NAMES}
    return {
        "mode": found.mode,
        "bytes": {name: size for name, size in parts.items() if size},
        "trained_bytes": trained_bytes(memory),
        "peak_bytes": memory.peak(),
        "peak_phase": memory.peak_phase(),
        "gpus": gpus,
        "peak_bytes_on_each": memory.peak(gpus),
        "peak_phase_on_each": memory.peak_phase(gpus),
        "gathered_bytes": memory.of(GATHERED, memory.peak_phase(gpus), gpus),
        "fewest_gpus": found.fewest_gpus,
        "microbatch_size_that_fits": found.rows,
        "max_batch_rows_that_fit": found.drawn_rows,
    }


def _drawing_record(job: DrawingJob, gpu_bytes: float) -> dict[str, Any]:
    memory = job.memory()
    parts = {name: memory.largest(name) for name in EVALUATION_NAMES}
    return {
        "rule": job.rule,
        "whose": job.whose,
        "bytes": {name: size for name, size in parts.items() if size},
        "peak_bytes": memory.peak(),
        "peak_phase": memory.peak_phase(),
        "fits": memory.peak() <= USABLE_SHARE * gpu_bytes,
        "max_batch_rows": job.sampling.rows,
        "max_batch_rows_that_fit": job.largest_rows(gpu_bytes),
    }


def _hours(
    config: Config,
    options: argparse.Namespace,
    study: StudyToPlan,
    record: dict[str, Any],
    jobs: Sequence[Jobs],
) -> str:
    speed = _throughput(config, options, study)
    if speed is None:
        return hours_table(None, [], [])
    hours = [
        hours_of(work, speed.tokens_per_second, speed.gpus)
        for work in study_work(config, study.name, speed.response_tokens)
    ]
    counted = {one.rule for one in hours}
    left_out = [one for one in jobs if one.study == study.name and one.gpus and one.rule not in counted]
    record["throughput"], record["hours"] = asdict(speed), [asdict(one) for one in hours]
    record["hours_without"] = [one.rule for one in left_out]
    return hours_table(speed, hours, left_out)


def _throughput(config: Config, options: argparse.Namespace, study: StudyToPlan) -> Throughput | None:
    """As stated or measured; None if neither is asked for."""
    response = options.response_tokens
    length = study.load.response if response is None else min(response, study.load.response)
    tokens = step_tokens(config, study.name, length)
    if options.steps_per_hour:
        rate = options.steps_per_hour * tokens / 3600
        said = f"{options.steps_per_hour:g} steps an hour, as stated"
        return Throughput(rate, study.gpus, response, said)
    if options.tokens_per_second:
        return Throughput(options.tokens_per_second, study.gpus, response, "as stated")
    if options.probe is None:
        return None
    if study.name != "precision":
        raise UserError("argument --probe: allowed with --study precision only; state a throughput instead")
    if study.policy.folder is None and config["base"]["kind"] != "tiny":
        raise UserError(
            f"argument --probe: {study.policy.name} is not on this machine, so that nothing can be measured "
            "with it; fetch it first, or state --tokens-per-second or --steps-per-hour"
        )
    gpus = 0 if config["device"] == "cpu" else min(study.gpus, 1)  # it measures in this process alone
    with lease_gpus(gpus, "python -m rlvr plan --probe"):
        from rlvr.plan.probe import measure_steps

        probe = measure_steps(config, study.policy.folder, options.probe)
    length = response or probe.response_tokens
    said = f"measured here, mode {probe.mode}, {probe.policy}: median {probe.seconds_per_step:.3g} s of "
    said += f"{probe.steps} steps, {probe.response_tokens:.3g} tokens a response"
    rate = step_tokens(config, study.name, probe.response_tokens) / probe.seconds_per_step
    return Throughput(rate, gpus, length, said)


def _precision_sections(config: Config, accuracy: float, record: dict[str, Any]) -> Iterator[str]:
    from rlvr.plan.precision_tests import evaluation_errors, powers, study_plan

    errors = evaluation_errors(config, accuracy)
    record["evaluation"] = [asdict(one) for one in errors]
    yield errors_table(errors, accuracy)
    plan = study_plan(config, accuracy)
    if isinstance(plan, str):
        record["tests"] = {"not_planned": plan}
        yield f"H1 to H3: {plan}."
        return
    from rlvr.statistics.plan_table import plan_table

    record["tests"] = {"plan": asdict(plan), "power": powers(plan)}
    yield "H1 to H3 on the on-task problems; other assumptions: python -m rlvr power\n" + plan_table(plan)
