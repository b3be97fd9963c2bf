"""The data of the alignment study: supervised examples, questions to sample for, questions to validate on."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rlvr.config.alignment import AlignmentDataConfig, PairsSource, PromptConfig, TaggedExamples
from rlvr.config.sources import RowSource
from rlvr.config.verification import VerificationConfig
from rlvr.data.overlap import drop_overlap
from rlvr.data.prepare import load_sources
from rlvr.data.problem import Problem
from rlvr.data.rows import DataError, load_pairs, source_path
from rlvr.data.tagged import WELL_FORMED, sft_examples
from rlvr.files import sha256_file, write_json, write_jsonl
from rlvr.verify.registry import Judge
from rlvr.verify.verdict import Response, Verdict

log = logging.getLogger(__name__)

Facts = dict[str, Any]


@dataclass(frozen=True)
class AlignmentDataFiles:
    """Outputs: three JSON lines files, and what they came from."""

    sft: str
    train: str
    validation: str
    manifest: str


def prepare_alignment_data(
    config: AlignmentDataConfig,
    prompt: PromptConfig,
    verification: VerificationConfig,
    data_root: str | Path,
    files: AlignmentDataFiles,
    verification_workers: int = 1,
) -> None:
    """Write the supervised examples, the questions of training and validation, and their manifest.

    Rows of the first: `id`, `prompt` (the bare question), `response`, `ground_truth` and `correct`, which
    says whether `prompt.verifier` gives the response its reward. The others are problems with that verifier.
    Examples and training questions whose question validates too are dropped and counted. Bad rows, and a
    set that is left empty, raise DataError, and nothing is written.
    """
    validation, validation_facts = _questions("validation", config.validation, prompt.verifier, data_root, ())
    train, train_facts = _questions("train", config.train, prompt.verifier, data_root, validation)
    examples, sft_facts = _examples(config.sft, prompt.verifier, data_root, validation)
    verdicts = _judge(examples, prompt, verification, verification_workers)
    write_jsonl(files.sft, map(_sft_row, examples, verdicts))
    write_jsonl(files.train, map(asdict, train))
    write_jsonl(files.validation, map(asdict, validation))
    sft_facts |= {
        "correct": sum(verdict.reward == 1.0 for verdict in verdicts),
        "verdicts": dict(sorted(Counter(verdict.reason for verdict in verdicts).items())),
    }
    manifest = {
        "sft": sft_facts | {"sha256": sha256_file(files.sft)},
        "train": train_facts | {"sha256": sha256_file(files.train)},
        "validation": validation_facts | {"sha256": sha256_file(files.validation)},
    }
    write_json(files.manifest, manifest)
    log.info("%d examples, %d of them correct", len(examples), sft_facts["correct"])


def _questions(
    task: str, source: RowSource, verifier: str, data_root: str | Path, validation: Sequence[Problem]
) -> tuple[list[Problem], Facts]:
    loaded = load_sources([source], task, verifier, data_root)
    return _without_overlap(task, loaded.found.problems, validation, {"verifier": verifier, **loaded.facts})


def _examples(
    source: TaggedExamples | PairsSource, verifier: str, data_root: str | Path, validation: Sequence[Problem]
) -> tuple[list[Problem], Facts]:
    facts: Facts = {"verifier": verifier, "source": asdict(source)}
    if isinstance(source, PairsSource):
        loaded = load_pairs(source, "sft", verifier, data_root)
        examples: Sequence[Problem] = (
            [_closed(row) for row in loaded.problems] if source.format == "r1_zero" else loaded.problems
        )
        facts["source"]["sha256"] = sha256_file(source_path(source, data_root))
        facts |= {
            "rows_read": loaded.rows_read,
            "near_copies_dropped": loaded.near_copies_dropped,
            "excluded": loaded.excluded,
        }
    else:
        examples = sft_examples(source, verifier)
        facts["rows_read"] = len(examples)
    return _without_overlap("sft", examples, validation, facts)


def _closed(row: Problem) -> Problem:
    """The row with its response, a worked solution, closed by the tags of r1_zero around its answer."""
    response = WELL_FORMED.format(reasoning=row.metadata["response"], label=row.answer)
    return replace(row, metadata={"response": response})


def _without_overlap(
    name: str, problems: Sequence[Problem], validation: Sequence[Problem], facts: Facts
) -> tuple[list[Problem], Facts]:
    kept, dropped = drop_overlap(problems, validation)
    overlap = sum(dropped.values())
    if not kept:
        raise DataError(
            f"alignment.data.{name}: no row is left of {facts['rows_read']} read, {overlap} of them "
            "questions of alignment.data.validation; give a source with others"
        )
    log.info("%s: %d rows of %d read, %d in validation too", name, len(kept), facts["rows_read"], overlap)
    return kept, {**facts, "overlap_dropped": overlap, "rows": len(kept)}


def _judge(
    examples: Sequence[Problem], prompt: PromptConfig, verification: VerificationConfig, workers: int
) -> list[Verdict]:
    responses = [
        Response(example.metadata["response"], finished=True, template=prompt.template)
        for example in examples
    ]
    with Judge(workers, verification) as judge:
        return judge.judge(responses, examples)


def _sft_row(example: Problem, verdict: Verdict) -> dict[str, Any]:
    return {
        "id": example.id,
        "prompt": example.prompt,
        "response": example.metadata["response"],
        "ground_truth": example.answer,
        "correct": verdict.reward == 1.0,
    }
