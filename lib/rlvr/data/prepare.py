"""From sources to problem files and manifests: checked, without duplicates, without overlap, hashed."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlvr.config.data import EvaluationDataConfig, HoldoutConfig, TrainDataConfig
from rlvr.config.sources import HoldoutSource, HubSource, JsonlSource, RowSource
from rlvr.data.hub_rows import load_hub_rows
from rlvr.data.overlap import Deduplicated, drop_duplicates, drop_overlap
from rlvr.data.problem import Problem, read_problems
from rlvr.data.rows import DataError, load_rows, source_path
from rlvr.data.templates import apply_template
from rlvr.files import read_json, sha256_file, write_json, write_jsonl

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedSources:
    """All sources of a data set, without duplicates, and what the manifest says about them."""

    found: Deduplicated
    facts: dict[str, Any]


def load_sources(
    sources: Iterable[RowSource], task: str, verifier: str, data_root: str | Path
) -> LoadedSources:
    """Load sources in order, without duplicates.

    Ids must differ across sources too, since random streams follow ids; else DataError.
    """
    problems: dict[str, Problem] = {}
    entries = []
    for source in sources:
        if isinstance(source, HubSource):
            rows = load_hub_rows(source, task, verifier)
        else:
            rows = load_rows(source, task, verifier, data_root)
        for problem in rows.problems:
            if problem.id in problems:
                raise DataError(f"id {problem.id!r} of {source} is already in another source of {task}")
            problems[problem.id] = problem
        entry = {
            **asdict(source),
            "rows_read": rows.rows_read,
            "near_copies_dropped": rows.near_copies_dropped,
            "excluded": rows.excluded,
        }
        if isinstance(source, JsonlSource):
            entry["sha256"] = sha256_file(source_path(source, data_root))
        if isinstance(source, HubSource):
            entry |= {"repeats_dropped": rows.repeats_dropped, "files": dict(rows.files)}
        entries.append(entry)
    found = drop_duplicates(problems.values())
    facts = {
        "sources": entries,
        "rows_read": sum(entry["rows_read"] for entry in entries),
        "near_copies_dropped": sum(entry["near_copies_dropped"] for entry in entries),
        "excluded": sum(entry["excluded"] for entry in entries),
        "duplicates_dropped": found.duplicates + sum(entry.get("repeats_dropped", 0) for entry in entries),
        "conflicting_answers_dropped": found.conflicts,
    }
    return LoadedSources(found, facts)


def _read_all(paths: Iterable[str | Path]) -> list[Problem]:
    return [problem for path in paths for problem in read_problems(path)]


def _draw_holdout(problems: Sequence[Problem], config: HoldoutConfig) -> list[Problem]:
    """Take the rows with the lowest hashes of seed and id: rows that join later displace few of them."""

    def order(problem: Problem) -> bytes:
        return hashlib.blake2b(f"{config.seed}/{problem.id}".encode()).digest()

    if len(problems) < config.rows:
        raise DataError(
            f"hold-out {config.task} asks for {config.rows} rows, the training sources have {len(problems)} "
            "left after cleaning; lower data.train.holdout.rows"
        )
    chosen = {problem.id for problem in sorted(problems, key=order)[: config.rows]}
    return [problem for problem in problems if problem.id in chosen]


def _prompts(problems: Sequence[Problem], template: str) -> dict[str, Any]:
    """Hash over all templated prompts (each ended by a zero byte) and the longest one's bytes in UTF-8."""
    digest, longest = hashlib.sha256(), 0
    for problem in problems:
        prompt = apply_template(template, problem).encode("utf-8")
        digest.update(prompt + b"\0")
        longest = max(longest, len(prompt))
    return {"prompts_sha256": digest.hexdigest(), "longest_prompt_bytes": longest}


def _dropped(facts: Mapping[str, Any]) -> str:
    """What was dropped and how much of it, in words."""
    counts = {
        name: value for name, value in facts.items() if name.endswith(("dropped", "excluded", "held_out"))
    }
    counts["overlap_dropped"] = sum(facts["overlap_dropped"].values())
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none dropped"


def _write(
    problems: Sequence[Problem],
    facts: dict[str, Any],
    template: str,
    problems_path: str | Path,
    manifest_path: str | Path,
) -> None:
    """Write the problems and the manifest's entry of one data set."""
    if not problems:
        section = (
            "data.train.sources" if facts["role"] == "train" else f"data.evaluation.{facts['task']}.source"
        )
        raise DataError(
            f"{section}: no problem is left of {facts['rows_read']} rows read ({_dropped(facts)}); "
            "give a source with rows that are not in an evaluation task"
        )
    prompts = _prompts(problems, template)
    write_jsonl(problems_path, map(asdict, problems))
    entry = {**facts, "rows": len(problems), "sha256": sha256_file(problems_path), "template": template}
    write_json(manifest_path, {**entry, **prompts})
    log.info("%s: %d problems of %d rows read", facts["task"], len(problems), facts["rows_read"])


def prepare_evaluation_task(
    task: str,
    config: EvaluationDataConfig,
    train: TrainDataConfig | None,
    data_root: str | Path,
    exclude: Sequence[str | Path],
    problems_path: str | Path,
    manifest_path: str | Path,
) -> None:
    """Write the problems of one evaluation task and its entry of the manifest.

    Source `holdout` draws from the sources of `train` (given for it only), after dropping rows that overlap
    the problem files `exclude` of the other evaluation tasks; other sources ignore both. Bad rows, and a
    task left without rows, raise DataError and nothing is written.
    """
    holdout = None
    overlap: dict[str, int] = {}
    if isinstance(config.source, HoldoutSource):
        if train is None or train.holdout is None or train.holdout.task != task:
            raise ValueError(f"task {task} has source holdout, but data.train.holdout names no task {task}")
        holdout = train.holdout
        loaded = load_sources(train.sources, task, config.verifier, data_root)
        problems, overlap = drop_overlap(loaded.found.problems, _read_all(exclude))
        problems = _draw_holdout(problems, holdout)
    else:
        loaded = load_sources([config.source], task, config.verifier, data_root)
        problems = loaded.found.problems
    facts = {
        "task": task,
        "role": "evaluation",
        "verifier": config.verifier,
        "holdout": asdict(holdout) if holdout else None,
        **loaded.facts,
        "overlap_dropped": overlap,
        "held_out": 0,
    }
    _write(problems, facts, config.template, problems_path, manifest_path)


def prepare_training_data(
    config: TrainDataConfig,
    data_root: str | Path,
    evaluation_paths: Sequence[str | Path],
    problems_path: str | Path,
    manifest_path: str | Path,
) -> None:
    """Write the training problems and their entry of the manifest.

    Dropped and counted: near copies marked in the data, duplicates, and every question that is also in one
    of the problem files `evaluation_paths` (by task; the hold-out's rows are counted as `held_out`). Bad
    rows and an empty result raise DataError and nothing is written.
    """
    loaded = load_sources(config.sources, config.task, config.verifier, data_root)
    problems, overlap = drop_overlap(loaded.found.problems, _read_all(evaluation_paths))
    held_out = overlap.pop(config.holdout.task, 0) if config.holdout else 0
    facts = {
        "task": config.task,
        "role": "train",
        "verifier": config.verifier,
        "holdout": asdict(config.holdout) if config.holdout else None,
        **loaded.facts,
        "overlap_dropped": overlap,
        "held_out": held_out,
    }
    _write(problems, facts, config.template, problems_path, manifest_path)


def merge_manifests(paths: Iterable[str | Path], out: str | Path) -> None:
    """Join the entries of all data sets: `{"train": {...}, "evaluation": {task: {...}}}`.

    The entry of the perfectible problems (`rlvr.data.perfectible`), if any, becomes `train.perfectible`.
    """
    merged: dict[str, Any] = {"train": {}, "evaluation": {}}
    for path in paths:
        entry = read_json(path)
        if entry["role"] == "train":
            merged["train"] |= entry
        elif entry["role"] == "perfectible":
            merged["train"]["perfectible"] = entry
        else:
            merged["evaluation"][entry["task"]] = entry
    write_json(out, merged)
