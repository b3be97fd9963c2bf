import pytest
import yaml

from rlvr.config.load import load_config
from rlvr.plan import evaluation as plan
from rlvr.plan.evaluation import drawing_jobs
from rlvr.plan.memory import ACTIVATIONS, ENGINE, LOGITS, SAMPLING, SCORING, WEIGHTS
from rlvr.plan.sampling import CACHE, DRAWING
from rlvr.plan.study import study_to_plan
from rlvr.plan.warnings import draws_too_much

MATH_7B = {"kind": "pretrained", "path": "Qwen/Qwen2.5-Math-7B", "revision": "0" * 40}
ALL = 7_615_616_512
SUITES = {"suites": {"families": ["add"]}}
TASK = {"max_tokens": 3072, "samples": 2, "pass_at": [1]}
EVALUATION = SUITES | {"max_batch_rows": 16, "top_p": 0.8, "tasks": {"add": TASK}}
EXTERNAL = [{"name": "theirs", "path": ".", "arm": "elsewhere", "seed": 1}]


def jobs_of(tmp_path, study="precision", prompt=None, **changes):
    """The jobs of a study of the 7B model, by rule and whose."""
    precision = {"modes": ["fp32", "bf16"], "evaluation": EVALUATION, "external_policies": EXTERNAL}
    precision |= {"perfectible": {"enabled": True}}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"device": "cuda", "base": MATH_7B, "precision": precision | changes}))
    config = load_config(file)
    return {
        (job.rule, job.whose): job
        for job in drawing_jobs(config, study_to_plan(config, study, prompt), prompt)
    }


def test_each_job_holds_its_models(tmp_path):
    jobs = jobs_of(tmp_path)
    assert {name: [size / ALL for size in job.held.values()] for name, job in jobs.items()} == {
        ("evaluate_policy", "fp32"): [4, 4],  # the policy and the base
        ("evaluate_policy", "bf16"): [4, 4],  # evaluated in fp32 all the same
        ("evaluate_base", "the base"): [4, 0],
        ("evaluate_external", "external"): [4, 4],
        ("select_perfectible", "the base"): [4],
    }


def test_sampling_and_divergence_by_hand(tmp_path):
    job = jobs_of(tmp_path)["evaluate_policy", "fp32"]
    memory = job.memory()
    # One sample of each of 16 problems for the KL: caches of 28 layers × keys and values × 4 heads × 128 × 4
    # bytes = 114,688 a position, of prompts of 1,024 tokens and of 4,095 positions.
    assert memory.of(CACHE, SAMPLING) == 16 * (1024 + 4095) * 114_688
    # One response of 4,095 positions: the MLP as the base is computed, beside the policy's
    # last hidden states; 2²⁴ logits of each, which are there afterwards, are less.
    passing = 4095 * (4 * (2 * 3584 + 3 * 18_944) + 4 * 3584)
    assert memory.of(ACTIVATIONS, plan.DIVERGENCE) == passing
    assert memory.in_phase(plan.DIVERGENCE) == 2 * 4 * ALL + passing


def test_short_responses_are_compared_together(tmp_path):
    tasks = {"add": {"max_tokens": 8}}
    job = jobs_of(tmp_path, prompt=7, evaluation=SUITES | {"tasks": tasks})["evaluate_policy", "fp32"]
    # 2²⁴ logits are 7 rows of 15 tokens × 152,064, with 8 tokens of a response each.
    assert job.memory().of(LOGITS, plan.DIVERGENCE) == 7 * 8 * 152_064 * 48
    assert job.memory().of(ACTIVATIONS, plan.DIVERGENCE) == 2 * 7 * 14 * 3584 * 4


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
    # 2²⁴ logits are 3 responses of 35 tokens, of which 16 are scored with their entropies, computed in bf16.
    assert memory.of(LOGITS, SCORING) == 3 * 16 * 151_936 * 20
    assert memory.of(ACTIVATIONS, SCORING) == 3 * 35 * 2 * (2 * 1536 + 3 * 8960)


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
    jobs = jobs_of(tmp_path, evaluation=evaluation, perfectible={"enabled": False})
    policy, base = draws_too_much(list(jobs.values()), 64e9)[:2]
    assert policy.startswith("evaluate_policy of fp32, bf16 does not fit on its one GPU, however few rows")
    assert "62.0 GB of 57.6 in phase KL to the base (largest: " in policy
    assert "base policy (KL) 30.5" in policy
    assert base.startswith("evaluate_base of the base: 256 rows drawn together do not fit on its one GPU; ")
    assert draws_too_much(list(jobs.values()), 1e12) == []
