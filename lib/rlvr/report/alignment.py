"""The page of the alignment study: twelve groups, each with its finding, figures and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.arms import Experiment
from rlvr.figures.alignment_captions import ALIGNMENT_CAPTIONS
from rlvr.files import read_json, read_jsonl
from rlvr.report.alignment_tables import (
    VERDICTS_IN_WORDS,
    arms_table,
    categories_table,
    comparisons_table,
    data_table,
    failures_table,
    generations_table,
    leaderboard_table,
    provenance_tables,
)
from rlvr.report.page import Table, as_yaml, read_figures, write_page

DATA_FILES = ("alignment.html",)


@dataclass(frozen=True)
class Group:
    """A section: experiments whose tables it has (method, names), and its figures.

    The one that is named after its method also has the method's experiments that no group names.
    """

    name: str
    method: str
    experiments: tuple[str, ...]
    figures: tuple[str, ...]


GROUPS = (
    Group("zero_shot", "", (), ("zero_shot_categories",)),
    Group("sft", "sft", ("sweep", "sizes", "filtered"), ("sft_sweep", "sft_sizes", "sft_filtered")),
    Group(
        "expert_iteration",
        "expert_iteration",
        ("rollouts", "epochs", "batch_size", "against_sft", "over_training"),
        ("expert_iteration",),
    ),
    Group("grpo", "grpo", ("loop",), ("grpo_loop",)),
    Group("learning_rate", "grpo", ("learning_rate",), ("learning_rate",)),
    Group("baselines", "grpo", ("baselines",), ("baselines",)),
    Group("length_normalization", "grpo", ("length_normalization",), ("length_normalization",)),
    Group("std_normalization", "grpo", ("std_normalization",), ("std_normalization",)),
    Group(
        "off_policy",
        "grpo",
        ("off_policy_broad", "off_policy_focused"),
        ("off_policy_broad", "off_policy_focused"),
    ),
    Group("clip", "grpo", ("clip",), ("clip",)),
    Group("prompt", "grpo", ("prompt",), ("prompt",)),
    Group("leaderboard", "", (), ("ranking",)),
)
NAMED = {(group.method, name) for group in GROUPS for name in group.experiments}


@dataclass(frozen=True)
class AlignmentReportInputs:
    """Files that the page reads.

    `analysis` and `figures` are folders, of its tables and of the SVG files. `generations` and `provenance`
    belong to `arms`, (method, arm), `categories` and `failures` to `prompts`, each in the same order.
    """

    analysis: str | Path
    figures: str | Path
    manifest: str | Path
    arms: Sequence[Sequence[str]]
    generations: Sequence[str | Path]
    provenance: Sequence[str | Path]
    prompts: Sequence[str]
    categories: Sequence[str | Path]
    failures: Sequence[str | Path]
    experiments: Sequence[Experiment]

    @property
    def tables(self) -> AlignmentAnalysisFiles:
        """The files of the analysis."""
        return AlignmentAnalysisFiles.in_folder(self.analysis)


def build_alignment_report(
    inputs: AlignmentReportInputs,
    config: Mapping[str, Any],
    out_path: str | Path,
) -> None:
    """Write the page; `config` is the validated config's name and section `alignment`."""
    findings = read_json(inputs.tables.findings)
    figures = {
        figure["name"]: figure for figure in read_figures(inputs.figures, ALIGNMENT_CAPTIONS, out_path)
    }
    sections = [
        {
            "name": group.name,
            "title": findings[group.name]["title"],
            "sentences": findings[group.name]["sentences"],
            "experiments": [one for one in inputs.experiments if _belongs(one.method, one.name, group)],
            "figures": [figures[name] for name in group.figures],
            "tables": _tables(group, inputs),
            "details": _details(group, inputs),
        }
        for group in GROUPS
    ]
    content = {
        "name": config["name"],
        "heading": "zero-shot, SFT, expert iteration and GRPO",
        "lead": "Page of the alignment study: what each way of training adds, and which choices can be told "
        f"apart with {config['alignment']['seeds']} seeds an arm.",
        "confidence": f"{100 * config['alignment']['comparison']['confidence']:g}",
        "margin": f"{config['alignment']['comparison']['margin_points']:g}",
        "verdicts": VERDICTS_IN_WORDS,
        "sections": sections,
        "data": data_table(read_json(inputs.manifest)),
        "configuration": as_yaml(config),
        "provenance": provenance_tables([read_json(file) for file in inputs.provenance]),
    }
    write_page("alignment", content, out_path)


def _belongs(method: str, experiment: str, group: Group) -> bool:
    """Whether an experiment of a method stands in a group, as each does in exactly one."""
    if method != group.method:
        return False
    return experiment in group.experiments or (group.name == method and (method, experiment) not in NAMED)


def _tables(group: Group, inputs: AlignmentReportInputs) -> list[Table]:
    if group.name == "zero_shot":
        tables = map(pd.read_csv, inputs.categories)
        return [categories_table(dict(zip(inputs.prompts, tables, strict=True)))]
    if group.name == "leaderboard":
        return [leaderboard_table(pd.read_csv(inputs.tables.leaderboard))]
    own = [arm for one in inputs.experiments if _belongs(one.method, one.name, group) for arm in one.arms]
    arms = pd.read_csv(inputs.tables.arms)
    arms = arms[(arms["method"] == group.method) & arms["arm"].isin(own)]
    compared = pd.read_csv(inputs.tables.comparisons)
    names = zip(compared["method"], compared["experiment"], strict=True)
    compared = compared[[_belongs(*name, group) for name in names]]
    return [arms_table(arms), *([comparisons_table(compared)] if len(compared) else [])]


def _details(group: Group, inputs: AlignmentReportInputs) -> list[Table]:
    """What a reader may want to look into: failures of the base, responses of the loop."""
    if group.name == "zero_shot":
        return [
            failures_table(prompt, list(read_jsonl(path)))
            for prompt, path in zip(inputs.prompts, inputs.failures, strict=True)
        ]
    if group.name == "grpo":
        files = {tuple(arm): path for arm, path in zip(inputs.arms, inputs.generations, strict=True)}
        loops = [one.arms[0] for one in inputs.experiments if (one.method, one.name) == ("grpo", "loop")]
        return [generations_table(list(read_jsonl(files["grpo", arm]))) for arm in loops]
    return []
