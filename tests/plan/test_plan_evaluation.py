import pytest
import yaml

from rlvr.config.load import load_config
from rlvr.plan import evaluation as plan
from rlvr.plan.evaluation import drawing_jobs
from rlvr.plan.memory import ACTIVATIONS, BASE, ENGINE, LOGITS, SAMPLING, SCORING, WEIGHTS
from rlvr.plan.sampling import CACHE, DRAWING
from rlvr.plan.study import study_to_plan
from rlvr.plan.warnings import draws_too_much

MATH_7B = {"kind": "pretrained", "path": "Qwen/Qwen2.5-Math-7B", "revision": "0" * 40}
ALL = 7_615_616_512
SUITES = {"suites": {"families": ["add"]}}
TASK = {"max_tokens": 3072, "samples": 2, "pass_at": [1]}
EVALUATION = SUITES | {"max_batch_rows": 16, "top_p": 0.8, "tasks": {"add": TASK}}
EXTERNAL = [{"name": "theirs", "path": ".", "arm": "elsewhere", "seed": 1}]


def jobs_of(tmp_path, study="precision", prompt=None, snapshots=(), **changes):
    """The jobs of a study of the 7B model, by rule and whose."""
    precision = {"modes": ["fp32", "bf16"], "evaluation": EVALUATION, "external_policies": EXTERNAL}
    precision |= {"training": {"snapshot_steps": list(snapshots)}, "perfectible": {"enabled": True}}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"device": "cuda", "base": MATH_7B, "precision": precision | changes}))
    config = load_config(file)
    return {
        (job.rule, job.whose): job
        for job in drawing_jobs(config, study_to_plan(config, study, prompt), prompt)
    }


def test_each_job_holds_its_models(tmp_path):
    jobs = jobs_of(tmp_path, snapshots=(10,))
    assert {name: [size / ALL for size in job.held.values()] for name, job in jobs.items()} == {
        ("evaluate_policy", "fp32"): [4, 4, 4],  # the policy, the base, and the snapshot
        ("evaluate_policy", "bf16"): [4, 4, 4],  # evaluated in fp32 all the same
        ("evaluate_base", "the base"): [4, 0, 0],
        ("evaluate_external", "external"): [4, 4, 0],
        ("select_perfectible", "the base"): [4],
    }


def test_the_snapshot_before_is_still_there_while_one_is_loaded(tmp_path):
    job = jobs_of(tmp_path, snapshots=(10, 20, 30))["evaluate_policy", "fp32"]
    assert job.held[plan.SNAPSHOTS] == 2 * 4 * ALL
    assert job.memory().largest(WEIGHTS) == job.memory().largest(BASE) == 4 * ALL


def test_sampling_and_divergence_by_hand(tmp_path):
    job = jobs_of(tmp_path)["evaluate_policy", "fp32"]
    memory = job.memory()
    # One sample of each of 16 problems for the KL: caches of 28 layers × keys and values × 4 heads × 128 × 4
    # bytes = 114,688 a position, of prompts of 1,024 tokens and of 4,095 positions.
    assert memory.of(CACHE, SAMPLING) == 16 * (1024 + 4095) * 114_688
    # Five float64 tensors of the 3,072 tokens of one response × 152,064, which are more than MAX_LOGITS.
    assert memory.of(LOGITS, plan.DIVERGENCE) == 3072 * 152_064 * 40
    assert memory.in_phase(plan.DIVERGENCE) == 2 * 4 * ALL + 3072 * 152_064 * 40


def test_short_responses_are_compared_together(tmp_path):
    tasks = {"add": {"max_tokens": 8}}
    job = jobs_of(tmp_path, prompt=7, evaluation=SUITES | {"tasks": tasks})["evaluate_policy", "fp32"]
    # 2²⁴ logits are 7 rows of 15 tokens × 152,064, with 8 tokens of a response each.
    assert job.memory().of(LOGITS, plan.DIVERGENCE) == 7 * 8 * 152_064 * 40


def test_long_prompts_have_more_logits_than_their_responses(tmp_path):
    tasks = {"add": {"max_tokens": 64}}
    job = jobs_of(tmp_path, prompt=4000, evaluation=SUITES | {"tasks": tasks})["evaluate_policy", "fp32"]
    # fp32 logits of 4,063 tokens, those of 64 in a copy, and the policy's log-probabilities.
    assert job.memory().of(LOGITS, plan.DIVERGENCE) == 152_064 * (4 * 4063 + 12 * 64)


def test_perfectible_problems_are_sampled_as_training_samples(tmp_path):
    job = jobs_of(tmp_path)["select_perfectible", "the base"]
    assert (job.sampling.rows, job.sampling.samples, job.sampling.response) == (256, 40, 6)
    assert (job.rows_key, job.memory().phases[-1]) == ("precision.training.sampling.max_batch_rows", SAMPLING)
    assert job.memory().of(DRAWING, SAMPLING) or job.memory().of(CACHE, SAMPLING)


def test_the_zero_shot_evaluation_by_hand(tmp_path):
    file = tmp_path / "config.yaml"
    base = MATH_7B | {"path": "Qwen/Qwen2.5-Math-1.5B"}
    file.write_text(yaml.safe_dump({"device": "cuda", "alignment": {"base": base, "mode": "bf16_mixed"}}))
    config = load_config(file)
    (job,) = drawing_jobs(config, study_to_plan(config, "alignment", 20), 20)
    memory = job.memory()
    assert memory.largest(WEIGHTS) == 4 * 1_543_714_304
    assert memory.largest(ENGINE) == 2 * 1_543_714_304
    # 64 responses of 16 tokens scored with their entropies; rows of 35 tokens computed in bf16.
    assert memory.of(LOGITS, SCORING) == 64 * 16 * 151_936 * 20
    assert memory.of(ACTIVATIONS, SCORING) == 64 * 35 * 2 * (2 * 1536 + 3 * 8960)


def test_the_advantage_study_has_no_such_job(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("{}")
    config = load_config(file)
    assert drawing_jobs(config, study_to_plan(config, "advantage"), None) == []


@pytest.mark.parametrize("rows", [1, 24, 300])
def test_the_largest_rows_fit_and_one_more_does_not(tmp_path, rows):
    evaluation = EVALUATION | {"max_batch_rows": rows}
    job = jobs_of(tmp_path, evaluation=evaluation)["evaluate_base", "the base"]
    found = job.largest_rows(80e9)
    assert job.of_rows(found).memory().in_phase(SAMPLING) <= 0.9 * 80e9
    assert found == rows or job.of_rows(found + 1).memory().in_phase(SAMPLING) > 0.9 * 80e9
    assert job.largest_rows(20e9) == 0  # the weights alone are more


def test_jobs_that_do_not_fit_are_named_with_what_is_largest(tmp_path):
    evaluation = EVALUATION | {"max_batch_rows": 256}
    jobs = jobs_of(tmp_path, snapshots=(10,), evaluation=evaluation, perfectible={"enabled": False})
    policy, base, external = draws_too_much(list(jobs.values()), 80e9)[:3]
    assert policy.startswith("evaluate_policy of fp32, bf16 does not fit on its one GPU, however few rows")
    assert "110.1 GB of 72.0 in phase KL to the base (largest: " in policy
    assert "snapshots of the run 30.5" in policy
    assert "precision.training.snapshot_steps" in policy
    assert base.startswith("evaluate_base of the base: 256 rows drawn together do not fit on its one GPU; ")
    # Eight samples a problem: a row has 4,095 × (114,688 + 4,096) bytes of cache and 56 a logit, of 41.5 GB.
    assert base.endswith("allowed: precision.evaluation.max_batch_rows of 83")
    assert "snapshot_steps" not in external
    assert draws_too_much(list(jobs.values()), 1e12) == []
