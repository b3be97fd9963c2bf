"""Evaluation jobs on a small policy: files, independence of runs, resume."""

import shutil
from dataclasses import asdict, replace

import pytest
import torch
from orphaned import orphaned
from sent_sigterm import end_by_sigterm
from tiny_run import make_base

from rlvr.config.build import build
from rlvr.data.choice import choose_problems
from rlvr.data.families import family_problems
from rlvr.evaluation import measurement
from rlvr.evaluation.job import EvaluationFiles, EvaluationJob
from rlvr.evaluation.measurement import Evaluation
from rlvr.evaluation.records import SuiteResult
from rlvr.evaluation.run import evaluate_policy
from rlvr.files import read_jsonl, write_jsonl
from rlvr.models.loading import load_policy, load_tokenizer, read_config, save_policy

TASK = {"rows": 40, "samples": 4, "max_tokens": 4, "stop": [], "keep_stop": True, "pass_at": [1, 4]}


def _job(**replaced) -> EvaluationJob:
    job = {
        "arm": "fp32",
        "seed": 1,
        "rep": 1,
        "suite": "both",
        "tasks": {"max": TASK, "rev": TASK},
        "templates": {"max": "plain", "rev": "plain"},
        "temperature": 0.7,
        "top_p": 0.8,
        "evaluation_seed": 0,
        "samples_factor": 1,
        "max_batch_rows": 64,
        "rollout": {"engine": "native", "vllm": {}},
        "kl": {"problems": 10, "samples": 2},
        "snapshot_samples": 2,
        "sparsity_eta": 1e-3,
        "dtype": "float32",
        "steps": 9,
        "device": "cpu",
        "compute_threads": 1,
        "verification": {"time_limit_s": 10.0, "memory_mb": 1024, "require_isolation": "any"},
    }
    return build(EvaluationJob, job | replaced)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A base, a policy near it, and the problems of two tasks."""
    folder = make_base(tmp_path_factory.mktemp("world"))
    policy = load_policy(folder / "policy", torch.float32, torch.float32)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "layers.0" in name:
                parameter.mul_(1.05)
    (folder / "moved").mkdir()
    save_policy(policy, load_tokenizer(folder / "policy"), folder / "moved", read_config(folder / "policy"))
    for task in ("max", "rev"):
        write_jsonl(folder / f"{task}.jsonl", map(asdict, family_problems(task, "held_out")[:80]))
    return folder


def _files(world, out, policy="moved", base="policy") -> EvaluationFiles:
    return EvaluationFiles(
        policy=str(world / policy),
        base=base and str(world / base),
        problems=(str(world / "max.jsonl"), str(world / "rev.jsonl")),
        result=str(out / "both.json"),
        samples=str(out / "both.samples.jsonl.gz"),
        kl=base and str(out / "both.kl.jsonl.gz"),
        checkpoints=str(out / "checkpoints"),
    )


@pytest.fixture(scope="module")
def evaluated(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    evaluate_policy(_job(), _files(world, out))
    return out


def test_result_agrees_with_the_samples_on_disk(world, evaluated):
    result = SuiteResult.read(evaluated / "both.json")
    samples = list(read_jsonl(evaluated / "both.samples.jsonl.gz"))
    assert len(samples) == 2 * 40 * 4
    for task in result.tasks:
        own = [sample["reward"] for sample in samples if sample["task"] == task.task]
        assert task.accuracy == pytest.approx(sum(own) / len(own))
        assert task.pass_at["1"] == pytest.approx(task.accuracy)
        assert task.pass_at["4"] >= task.accuracy
    assert 0 < result.tasks[0].accuracy < 1
    kl = list(read_jsonl(evaluated / "both.kl.jsonl.gz"))
    assert result.kl[1].full == pytest.approx(sum(k["full"] for k in kl if k["task"] == "rev") / 20)
    assert result.kl[0].full > 0
    base, moved = (load_policy(world / p, torch.float32, torch.float32) for p in ("policy", "moved"))
    pairs = list(zip(base.parameters(), moved.parameters(), strict=True))
    equal = sum(int((p.bfloat16() == q.bfloat16()).sum()) for p, q in pairs)
    assert result.weight_change.weights == sum(p.numel() for p, _ in pairs)
    assert result.weight_change.sparsity == pytest.approx(equal / result.weight_change.weights)
    assert 0 < result.weight_change.sparsity < 1


def test_runs_draw_their_own_samples_of_the_same_problems(world, evaluated, tmp_path):
    evaluate_policy(_job(seed=2), _files(world, tmp_path))
    ours, theirs = (list(read_jsonl(f / "both.samples.jsonl.gz")) for f in (evaluated, tmp_path))
    assert [s["problem"] for s in ours] == [s["problem"] for s in theirs]
    assert [s["response"] for s in ours] != [s["response"] for s in theirs]


def test_the_base_has_more_samples_and_no_kl(world, tmp_path):
    job = _job(arm="base", seed=0, rep=0, kl=None, snapshot_samples=None, steps=None, samples_factor=3)
    evaluate_policy(job, _files(world, tmp_path, policy="policy", base=None))
    result = SuiteResult.read(tmp_path / "both.json")
    assert [task.samples for task in result.tasks] == [12, 12]
    assert result.kl == ()
    assert result.weight_change is None
    assert result.drift == ()


def test_an_interrupted_job_goes_on_after_the_last_finished_task(world, evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr("rlvr.evaluation.run.CHECKPOINT_SECONDS", 0.0)
    done = []
    evaluate_task = "rlvr.evaluation.measurement.Evaluation.evaluate_task"

    def interrupted(self, task, *arguments):
        if done:
            raise KeyboardInterrupt
        done.append(task)
        return original(self, task, *arguments)

    original = Evaluation.evaluate_task
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_task, interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_policy(_job(), _files(world, tmp_path))
    assert not (tmp_path / "both.json").exists()
    repeated = []
    monkeypatch.setattr(
        evaluate_task, lambda self, task, *a: (repeated.append(task), original(self, task, *a))
    )
    evaluate_policy(_job(), _files(world, tmp_path))
    assert (done, repeated) == (["max"], ["rev"])
    resumed, reference = (SuiteResult.read(f / "both.json") for f in (tmp_path, evaluated))
    assert replace(resumed, seconds={}) == replace(reference, seconds={})


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 6])
def test_a_job_that_gets_a_sigterm_goes_on_after_its_batch(world, evaluated, tmp_path, monkeypatch, batch):
    """64 rows a batch and 4 samples: 16 problems, of the 40 of a task."""

    def job():
        evaluate_policy(_job(), _files(world, tmp_path))

    end_by_sigterm(monkeypatch, measurement, "judge_rollouts", batch, job)
    original, drawn = measurement.judge_rollouts, []
    monkeypatch.setattr(
        measurement,
        "judge_rollouts",
        lambda rollouts, *a: drawn.append(len(rollouts)) or original(rollouts, *a),
    )
    job()
    assert drawn == [64, 64, 32, 64, 64, 32][batch:]
    resumed, reference = (SuiteResult.read(f / "both.json") for f in (tmp_path, evaluated))
    assert replace(resumed, seconds={}) == replace(reference, seconds={})
    assert (tmp_path / "both.samples.jsonl.gz").read_bytes() == (
        evaluated / "both.samples.jsonl.gz"
    ).read_bytes()


def test_what_an_orphan_has_measured_is_only_written_again(world, evaluated, tmp_path, monkeypatch):
    with orphaned(monkeypatch):
        evaluate_policy(_job(), _files(world, tmp_path))
    monkeypatch.setattr(measurement, "draw_rollouts", None)
    evaluate_policy(_job(), _files(world, tmp_path))
    resumed, reference = (SuiteResult.read(f / "both.json") for f in (tmp_path, evaluated))
    assert replace(resumed, seconds={}) == replace(reference, seconds={})
    assert not (tmp_path / "checkpoints").exists()


def test_choice_of_problems_is_stable():
    problems = family_problems("max", "held_out")[:200]
    some = choose_problems(problems, 50, seed=1)
    assert len(some) == 50
    assert some == [p for p in problems if p in some]
    assert choose_problems(problems[::-1], 50, seed=1) == some[::-1]
    assert set(p.id for p in some) <= {p.id for p in choose_problems(problems, 60, seed=1)}
    assert some != choose_problems(problems, 50, seed=2)
    assert choose_problems(problems, None, seed=1) == problems


@pytest.fixture(scope="module")
def with_snapshots(world, tmp_path_factory):
    """Outputs of a run of 12 steps: step 3 is the base itself, steps 10 and 12 the same moved weights."""
    out = tmp_path_factory.mktemp("snapshots")
    shutil.copytree(world / "policy", out / "snapshots" / "step3")
    shutil.copytree(world / "moved", out / "snapshots" / "step10")
    shutil.copytree(world / "moved", out / "snapshots" / "step12")
    (out / "snapshots" / ".snakemake_timestamp").touch()
    files = replace(_files(world, out), snapshots=str(out / "snapshots"))
    evaluate_policy(_job(steps=12), files)
    return out


def test_drift_has_every_snapshot_and_the_last_step(with_snapshots, evaluated):
    result = SuiteResult.read(with_snapshots / "both.json")
    assert [(point.step, point.kl.task, point.scored.task) for point in result.drift] == [
        (step, task, task) for step in (3, 10, 12) for task in ("max", "rev")
    ]
    assert [point.kl.full for point in result.drift[:2]] == [0.0, 0.0]
    assert result.drift[2].kl.full == pytest.approx(result.kl[0].full, rel=0.5)
    assert result.drift[2].kl.full != result.kl[0].full
    assert tuple(point.kl for point in result.drift[4:]) == result.kl
    assert SuiteResult.read(evaluated / "both.json").kl == result.kl
    assert SuiteResult.read(evaluated / "both.json").tasks == result.tasks


def test_every_checkpoint_is_scored_by_the_same_number_of_samples(with_snapshots):
    result = SuiteResult.read(with_snapshots / "both.json")
    assert {(point.scored.problems, point.scored.samples) for point in result.drift} == {(40, 2)}
    assert all(set(point.scored.pass_at) == {"1"} for point in result.drift)
    samples = list(read_jsonl(with_snapshots / "both.samples.jsonl.gz"))
    for last in result.drift[4:]:
        first = [s["reward"] for s in samples if s["task"] == last.scored.task and s["sample"] < 2]
        assert len(first) == 80
        assert last.scored.accuracy == pytest.approx(sum(first) / 80)
    # The same weights at another step have samples of their own, as likely to be right.
    assert result.drift[2].scored != result.drift[4].scored
    difference = result.drift[2].scored.accuracy - result.drift[4].scored.accuracy
    errors = (result.drift[place].scored.accuracy_se_sampling for place in (2, 4))
    assert abs(difference) < 4 * sum(error**2 for error in errors) ** 0.5


def test_a_job_that_was_interrupted_in_the_snapshots_keeps_what_it_has(
    world, with_snapshots, tmp_path, monkeypatch
):
    monkeypatch.setattr("rlvr.evaluation.run.CHECKPOINT_SECONDS", 0.0)
    evaluate_snapshot = "rlvr.evaluation.measurement.Evaluation.evaluate_snapshot"
    files = replace(_files(world, tmp_path), snapshots=str(with_snapshots / "snapshots"))
    done = []

    def interrupted(self, step, task, *arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append((step, task))
        return original(self, step, task, *arguments)

    original = Evaluation.evaluate_snapshot
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_snapshot, interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_policy(_job(steps=12), files)
    repeated = []
    monkeypatch.setattr(
        evaluate_snapshot,
        lambda self, step, task, *a: (repeated.append((step, task)), original(self, step, task, *a)),
    )
    evaluate_policy(_job(steps=12), files)
    assert done == [(3, "max"), (3, "rev"), (10, "max")]
    assert repeated == [(10, "rev")]
    resumed, reference = (SuiteResult.read(f / "both.json") for f in (tmp_path, with_snapshots))
    assert replace(resumed, seconds={}) == replace(reference, seconds={})
