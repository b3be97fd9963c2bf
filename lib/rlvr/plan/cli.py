"""The command `python -m rlvr plan`: what a study needs, and what it could see, before anything is spent."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rlvr.config.load import load_config
from rlvr.errors import UserError
from rlvr.files import write_json
from rlvr.plan.jobs import count_jobs
from rlvr.plan.memory import NAMES, fewest_gpus, largest_rows, training_memory
from rlvr.plan.movable import movable_shares
from rlvr.plan.study import StudyToPlan, study_to_plan
from rlvr.plan.tables import (
    ModeMemory,
    Throughput,
    errors_table,
    heading,
    hours_table,
    jobs_table,
    memory_table,
    warnings_text,
)
from rlvr.plan.warnings import find_warnings, too_large
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
    record["load"], record["memory"] = asdict(study.load), [_memory_record(memory) for memory in memories]
    yield memory_table(study, memories, options.gpu_memory_gb)
    movable, measured = movable_shares(study)
    found = find_warnings(config, study, movable, measured)
    found += [text for one in memories for text in too_large(study, one.mode, one.rows, one.drawn_rows)]
    record |= {"movable": {"measured": measured, "share": movable}, "warnings": found}
    yield warnings_text(study, movable, measured, found)
    jobs = count_jobs(config)
    record["jobs"] = [asdict(one) for one in jobs]
    yield jobs_table(jobs)
    yield _hours(config, options, study, record)
    if study.name == "precision":
        yield from _precision_sections(config, options.accuracy, record)


def _mode_memory(study: StudyToPlan, mode: PrecisionMode, gpu_bytes: float) -> ModeMemory:
    memory = training_memory(study.policy.sizes, mode, study.load)
    gpus = max(study.gpus, 1)
    rows, drawn = largest_rows(study.policy.sizes, mode, study.load, gpus, gpu_bytes)
    return ModeMemory(mode.name, memory, fewest_gpus(memory, gpu_bytes), rows, drawn)


def _memory_record(found: ModeMemory) -> dict[str, Any]:
    """Bytes of the parts on one GPU; a part of several phases counts with the largest."""
    parts = {name: found.memory.largest(name) for name in NAMES}
    return {
        "mode": found.mode,
        "bytes": {name: size for name, size in parts.items() if size},
        "trained_bytes": found.memory.trained,
        "peak_bytes": found.memory.peak(),
        "peak_phase": found.memory.peak_phase(),
        "fewest_gpus": found.fewest_gpus,
        "microbatch_size_that_fits": found.rows,
        "max_batch_rows_that_fit": found.drawn_rows,
    }


def _hours(config: Config, options: argparse.Namespace, study: StudyToPlan, record: dict[str, Any]) -> str:
    speed = _throughput(config, options, study)
    if speed is None:
        return hours_table(None, [], study.gpus)
    hours = [
        hours_of(work, speed.tokens_per_second, study.gpus)
        for work in study_work(config, study.name, speed.response_tokens)
    ]
    record["throughput"], record["hours"] = asdict(speed), [asdict(one) for one in hours]
    return hours_table(speed, hours, study.gpus)


def _throughput(config: Config, options: argparse.Namespace, study: StudyToPlan) -> Throughput | None:
    """As stated or measured; None if neither is asked for."""
    response = options.response_tokens
    length = study.load.response if response is None else min(response, study.load.response)
    tokens = step_tokens(config, study.name, length)
    if options.steps_per_hour:
        rate = options.steps_per_hour * tokens / 3600
        return Throughput(rate, response, f"{options.steps_per_hour:g} steps an hour, as stated")
    if options.tokens_per_second:
        return Throughput(options.tokens_per_second, response, "as stated")
    if options.probe is None:
        return None
    if study.name != "precision":
        raise UserError("argument --probe: allowed with --study precision only; state a throughput instead")
    if study.policy.folder is None and config["base"]["kind"] != "tiny":
        raise UserError(
            f"argument --probe: {study.policy.name} is not on this machine, so that nothing can be measured "
            "with it; fetch it first, or state --tokens-per-second or --steps-per-hour"
        )
    from rlvr.plan.probe import measure_steps

    probe = measure_steps(config, study.policy.folder, options.probe)
    length = response or probe.response_tokens
    said = f"measured here, mode {probe.mode}, {probe.policy}: median {probe.seconds_per_step:.3g} s of "
    said += f"{probe.steps} steps, {probe.response_tokens:.3g} tokens a response"
    rate = step_tokens(config, study.name, probe.response_tokens) / probe.seconds_per_step
    return Throughput(rate, length, said)


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
