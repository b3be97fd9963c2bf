"""How many jobs of each rule a config makes: the counts of `snakemake -n` from nothing, without Snakemake."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlvr.advantage_study.methods import study_methods
from rlvr.alignment.arms import METHODS, arms
from rlvr.config.advantage import ReferenceConfig
from rlvr.config.build import build

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Jobs:
    """Jobs of one rule, and the GPUs that each asks for."""

    study: str
    rule: str
    count: int
    gpus: int


def count_jobs(config: Config) -> list[Jobs]:
    """Every rule with at least one job, in the order of the studies; target rules are left out."""
    resources = config["resources"]
    studies = {
        "precision": _precision(config),
        "alignment": _alignment(config["alignment"]),
        "advantage": _advantage(config["advantage"]),
        "repair": REPAIR,
    }
    return [
        Jobs(study, rule, count, resources[group]["gpu"] if group else 0)
        for study, rules in studies.items()
        for rule, (count, group) in rules.items()
        if count
    ]


# A rule's jobs, and the group of `resources` that says how many GPUs each has ("" for none).
_Rules = dict[str, tuple[int, str]]
_ONE: tuple[int, str] = (1, "analyse")
REPAIR: _Rules = {
    "calibrate_repair": (1, "calibrate_repair"),
    "grade_known_submissions": (1, ""),
    "measure_variance_error": (1, ""),
    "draw_repair_figures": (1, ""),
    "build_repair_report": _ONE,
}


def _precision(config: Config) -> _Rules:
    study = config["precision"]
    modes, suites = len(study["modes"]), len(study["evaluation"]["suites"])
    runs = modes * study["seeds"] * study["repeats"]
    policies = len(study["external_policies"])
    return {
        "prepare_evaluation_task": (len(config["data"]["evaluation"]), "prepare_data"),
        "prepare_training_data": (1, "prepare_data"),
        "merge_manifests": (1, ""),
        "train_base_policy": (1, "train_base_policy"),
        "select_perfectible": (int(study["perfectible"]["enabled"]), "evaluate_policy"),
        "train_policy": (runs, "train_policy"),
        "evaluate_policy": (runs * suites, "evaluate_policy"),
        "evaluate_base": (suites, "evaluate_policy"),
        "fetch_external_policy": (policies, "train_base_policy"),
        "evaluate_external": (policies * suites, "evaluate_policy"),
        "measure_update_geometry": (modes, "measure_updates"),
        "compare_updates": (1, ""),  # on the CPU
        "analyse_precision_study": _ONE,
        "draw_training_figures": _ONE,
        "draw_outcome_figures": _ONE,
        "build_precision_report": _ONE,
    }


def _alignment(study: Config) -> _Rules:
    training = {
        f"train_{method}_arm": (len(arms(study[method])), "train_alignment_arm") for method in METHODS
    }
    return {
        "prepare_alignment_data": (1, "prepare_data"),
        "train_alignment_base": (1, "train_base_policy"),
        "evaluate_zero_shot": (len(study["prompts"]), "evaluate_policy"),
        **training,
        "analyse_alignment_study": _ONE,
        "draw_alignment_figures": _ONE,
        "build_alignment_report": _ONE,
    }


def _advantage(study: Config) -> _Rules:
    return {
        "run_reference_problem": (len(study_methods(build(ReferenceConfig, study["reference"]))), "analyse"),
        "prepare_estimator_data": (1, "prepare_data"),
        "train_estimator_base": (1, "train_base_policy"),
        "train_with_estimator": (len(study["grpo"]["estimators"]), "train_alignment_arm"),
        "analyse_advantage_study": _ONE,
        "draw_reference_figures": _ONE,
        "draw_estimator_figure": _ONE,
        "build_advantage_report": _ONE,
    }
