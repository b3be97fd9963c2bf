import gzip
import json

import pytest
import yaml

from rlvr.config.load import load_config
from rlvr.errors import UserError
from rlvr.plan.problems import evaluation_problems, source_rows, training_problems
from rlvr.plan.work import Work, hours_of, step_tokens, study_work


def config_of(tmp_path, changes):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"name": "nothing-here", **changes}))
    return load_config(file)


def test_tokens_of_the_default_study_by_hand(tmp_path):
    config = config_of(tmp_path, {})
    training, evaluation, base = study_work(config, "precision", None)
    # 25 runs × 60 steps × 24 prompts × 8 responses × 6 tokens.
    assert training.tokens == 25 * 60 * 24 * 8 * 6
    # Six tasks of at most 256 problems: 8 samples and one of 256 problems for the KL; two snapshots with 4.
    problems = [evaluation_problems(config, task) for task in ("add", "sub", "max", "rev", "sort", "rot")]
    assert set(problems) <= set(range(1, 257))
    assert evaluation.tokens == 25 * sum(problems) * 6 * (8 + 1 + 2 * (4 + 1))
    assert base.tokens == sum(problems) * 6 * 8 * 4
    assert [work.jobs for work in (training, evaluation, base)] == [25, 25, 1]


def test_a_mean_length_counts_where_it_is_below_the_longest(tmp_path):
    config = config_of(tmp_path, {})
    longest, shorter = (study_work(config, "precision", length) for length in (None, 3.0))
    assert [b.tokens / a.tokens for a, b in zip(longest, shorter, strict=True)] == [0.5, 0.5, 0.5]
    assert study_work(config, "precision", 99.0) == longest


@pytest.mark.parametrize(("study", "tokens"), [("alignment", 96 * 2.0), ("advantage", 64 * 2.0)])
def test_tokens_of_a_step(tmp_path, study, tokens):
    grpo = {"advantage": {"settings": {"prompts_per_step": 32, "group_size": 2}}}
    changes = {name: {"grpo": section} for name, section in grpo.items()}
    assert step_tokens(config_of(tmp_path, changes), study, 2.0) == tokens


def test_passes_over_tokens_are_counted(tmp_path):
    settings = {"steps": 8, "rollout_batch_size": 96, "epochs_per_rollout_batch": 4}
    one = {"title": "t", "why": "w", "arms": [{}]}
    changes = {"alignment": {"grpo": {"settings": settings, "experiments": {"only": one}}}}
    config = config_of(tmp_path, changes)
    grpo = next(work for work in study_work(config, "alignment", 2.0) if work.rule == "train_grpo_arm")
    assert grpo == Work("train_grpo_arm", 1, 0, 3 * 8 * 96 * 4 * 2.0)


def test_selecting_problems_and_evaluating_elsewhere_by_hand(tmp_path):
    policies = [{"name": name, "path": ".", "arm": name, "seed": 1} for name in ("one", "two")]
    precision = {"perfectible": {"enabled": True, "samples": 40}, "external_policies": policies}
    config = config_of(tmp_path, {"precision": precision})
    work = {one.rule: one for one in study_work(config, "precision", 2.0)}
    assert set(work) == {
        "select_perfectible", "train_policy", "evaluate_policy", "evaluate_base", "evaluate_external"
    }  # fmt: skip
    assert work["select_perfectible"] == Work(
        "select_perfectible", 1, 0, training_problems(config) * 40 * 2.0
    )
    # 8 samples of each problem, and one of at most 256 problems for the KL; no snapshots.
    problems = [evaluation_problems(config, task) for task in ("add", "sub", "max", "rev", "sort", "rot")]
    assert work["evaluate_external"] == Work("evaluate_external", 2, 0, 2 * sum(problems) * (8 + 1) * 2.0)
    without = {one.rule for one in study_work(config_of(tmp_path, {}), "precision", 2.0)}
    assert without == {"train_policy", "evaluate_policy", "evaluate_base"}


def test_the_zero_shot_evaluation_by_hand(tmp_path):
    config = config_of(tmp_path, {"alignment": {"validation": {"final_rows": 30}}})
    zero_shot = study_work(config, "alignment", 2.0)[0]
    prompts = len(config["alignment"]["prompts"])
    assert zero_shot == Work("evaluate_zero_shot", prompts, 0, prompts * 30 * 2.0)


def test_hours_by_hand():
    # 8 GPUs train at 800 tokens/s, so one evaluates at 100: 3.6 M tokens are 10 hours.
    evaluation = hours_of(Work("evaluate_policy", 5, 1, 3.6e6), 800, 8)
    assert (evaluation.total, evaluation.hours_a_job) == (10, 2)
    # Two training jobs of 8 GPUs: 2.88 M tokens at 800/s are an hour, so 8 GPU-hours, half an hour each.
    training = hours_of(Work("train_policy", 2, 8, 2.88e6), 800, 8)
    assert (training.total, training.hours_a_job) == (8, 0.5)
    assert hours_of(Work("train_policy", 2, 0, 3.6e6), 1000, 0).total == 1


def write_rows(path, rows):
    with gzip.open(path, "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def test_rows_of_a_file_without_those_that_are_dropped(tmp_path):
    write_rows(tmp_path / "a.jsonl.gz", [{"id": i, "near": [1] if i < 3 else []} for i in range(10)])
    source = {"kind": "jsonl", "path": "a.jsonl.gz", "overlap_field": "near", "excluded_ids": [5]}
    assert source_rows(source, str(tmp_path)) == 6
    assert source_rows(source | {"overlap_field": ""}, str(tmp_path)) == 9
    assert source_rows(source | {"path": "b.jsonl"}, str(tmp_path)) is None


def test_a_broken_row_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"near": []}\n{"near": \n')
    source = {"kind": "jsonl", "path": "a.jsonl", "overlap_field": "near", "excluded_ids": []}
    with pytest.raises(UserError, match=r"a\.jsonl:2: is not valid JSON"):
        source_rows(source, str(tmp_path))


def test_tasks_of_unknown_size_are_left_out_by_name(tmp_path):
    source = {"kind": "jsonl", "path": "not-here.jsonl"}
    tasks = {
        "theirs": {"source": source},
        "add": {"source": {"kind": "synthetic", "family": "add", "split": "held_out"}},
    }
    evaluation = {
        "on_task": "add",
        "suites": {"all": ["add", "theirs"]},
        "tasks": {"add": {"rows": 10}, "theirs": {"rows": None}},
    }
    config = config_of(tmp_path, {"data": {"evaluation": tasks}, "precision": {"evaluation": evaluation}})
    _, evaluated, base = study_work(config, "precision", None)
    assert evaluated.left_out == base.left_out == ("theirs",)
    assert evaluated.tokens > 0


def test_prepared_files_are_counted_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_of(tmp_path, {})
    prepared = tmp_path / "results" / "nothing-here" / "data"
    (prepared / "eval").mkdir(parents=True)
    (prepared / "train.jsonl").write_text("{}\n" * 7)
    (prepared / "eval" / "add.jsonl").write_text("{}\n" * 5)
    assert training_problems(config) == 7
    assert evaluation_problems(config, "add") == 5
