"""Validation during training: the measures against hand counts, and what decides the draws."""

import math

import pytest
import torch

from rlvr.data.problem import read_problems
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.rollout.engine import Rollout, SamplingParams
from rlvr.rollout.opening import open_engine
from rlvr.training.validation import Validator
from rlvr.verify.verdict import Verdict

PARAMS = SamplingParams(max_tokens=4)


class Dictated:
    """Engine and judge at once: responses and verdicts that are given beforehand."""

    def __init__(self, responses, verdicts, tokenizer):
        self._responses, self._verdicts, self._tokenizer = responses, verdicts, tokenizer
        self.weights = 0

    def load_weights(self, named_tensors):
        self.weights = len(list(named_tensors))

    def generate(self, requests, params, seed):
        assert params == PARAMS
        return [
            Rollout(
                r.prompt_id, 0, tuple(self._tokenizer.encode(r.text)), ids, text, reason, (0.0,) * len(ids)
            )
            for r, (ids, text, reason) in zip(requests, self._responses, strict=True)
        ]

    def judge(self, responses, problems):
        assert [(r.text, r.finished) for r in responses] == [(t, e == "stop") for _, t, e in self._responses]
        return self._verdicts


@pytest.fixture(scope="module")
def policy(small_base):
    return load_policy(small_base / "policy", torch.float32, torch.float32)


@pytest.fixture(scope="module")
def tokenizer(small_base):
    return load_tokenizer(small_base / "policy")


@pytest.fixture(scope="module")
def problems(small_base):
    return read_problems(small_base / "train.jsonl")


def _validator(problems, final_problems=(), seed=1, logged=2, microbatch_size=2):
    return Validator(problems, final_problems, "plain", PARAMS, seed, logged, 0, microbatch_size)


def _ids(tokenizer, text, ended=True):
    return (*tokenizer.encode(text, add_special_tokens=False), *([tokenizer.eos_token_id] if ended else []))


def _entropy(model, tokenizer, prompt, ids):
    """Mean entropy of the distributions that the response's tokens were drawn from, in float64."""
    start = tokenizer.encode(prompt)
    with torch.no_grad():
        logits = model(torch.tensor([[*start, *ids]])).logits[0].double()
    rows = logits[len(start) - 1 : len(start) + len(ids) - 1].softmax(-1)
    return (-(rows * rows.log()).sum(-1)).mean().item()


def test_measures_are_those_of_a_hand_count(policy, tokenizer, problems):
    responses = [
        (_ids(tokenizer, "91"), "91", "stop"),  # right, 3 tokens with the end
        (_ids(tokenizer, "1"), "1", "stop"),  # in the format but wrong, 2 tokens
        (_ids(tokenizer, ""), "", "stop"),  # empty: the end alone
        (_ids(tokenizer, "9111", ended=False), "9111", "length"),  # cut, 4 tokens
    ]
    verdicts = [
        Verdict(1.0, True, "91", "right"),
        Verdict(0.0, True, "1", "wrong"),
        Verdict(0.0, False, "", "wrong format"),
        Verdict(0.0, False, "", "wrong format"),
    ]
    dictated = Dictated(responses, verdicts, tokenizer)
    result = _validator(problems[:4], logged=3).measure(policy, dictated, dictated, step=7)
    logged = [
        _entropy(policy, tokenizer, p.prompt, r[0]) for p, r in zip(problems[:3], responses, strict=False)
    ]
    assert result.row == {
        "step": 7,
        "problems": 4,
        "accuracy": 0.25,
        "format_rate": 0.5,
        "reward_mean": 0.25,
        "length_mean": 2.5,
        "length_mean_correct": 3.0,
        "length_mean_wrong": pytest.approx(7 / 3),
        "well_formed_wrong": 0.25,
        "unformatted": 0.5,
        "truncated": 0.25,
        "entropy_mean": pytest.approx(sum(logged) / 3, rel=1e-5),
    }
    assert dictated.weights == len(list(policy.named_parameters()))
    first = {
        "step": 7,
        "prompt": problems[0].prompt,
        "response": "91",
        "ground_truth": problems[0].answer,
        "format_reward": 1.0,
        "answer_reward": 1.0,
        "reward": 1.0,
        "entropy": pytest.approx(logged[0], rel=1e-5),
        "length": 3,
    }
    assert result.generations[0] == first
    assert [
        (r["response"], r["format_reward"], r["reward"], r["length"]) for r in result.generations[1:]
    ] == [
        ("1", 1.0, 0.0, 2),
        ("", 0.0, 0.0, 1),
    ]


@pytest.mark.parametrize(("reward", "empty", "full"), [(1.0, "wrong", "correct"), (0.0, "correct", "wrong")])
def test_a_length_of_no_responses_is_nan(policy, tokenizer, problems, reward, empty, full):
    responses = [(_ids(tokenizer, "12"), "12", "stop")] * 2
    verdicts = [Verdict(reward, True, "12", "")] * 2
    dictated = Dictated(responses, verdicts, tokenizer)
    row = _validator(problems[:2]).measure(policy, dictated, dictated, step=0).row
    assert row["accuracy"] == reward
    assert math.isnan(row[f"length_mean_{empty}"])
    assert row[f"length_mean_{full}"] == 3.0


class ByLength:
    """A judge without processes: right if the response equals the answer."""

    def judge(self, responses, problems):
        return [
            Verdict(float(r.text == p.answer), r.finished, r.text, "")
            for r, p in zip(responses, problems, strict=True)
        ]


def test_draws_depend_on_seed_step_and_final_alone(policy, tokenizer, problems):
    def texts(seed=1, step=3, final=False, own=problems):
        with open_engine(policy, tokenizer, torch.float32, 64) as engine:
            validator = _validator(own, own, seed=seed, logged=len(own))
            found = validator.measure(policy, engine, ByLength(), step, final)
        return [record["response"] for record in found.generations]

    reference = texts()
    assert texts() == reference
    assert texts(own=problems[:10]) == reference[:10]
    others = [texts(seed=2), texts(step=4), texts(final=True)]
    assert all(other != reference for other in others)


def test_final_problems_are_those_of_the_final_validation(policy, tokenizer, problems):
    with open_engine(policy, tokenizer, torch.float32, 64) as engine:
        validator = _validator(problems[:3], problems[:5])
        assert validator.measure(policy, engine, ByLength(), 2).row["problems"] == 3
        assert validator.measure(policy, engine, ByLength(), 2, final=True).row["problems"] == 5


def test_the_models_weights_are_sampled_from_and_not_the_engines(policy, tokenizer, problems, small_base):
    broken = load_policy(small_base / "policy", torch.float32, torch.float32)
    with torch.no_grad():
        next(broken.parameters()).fill_(math.nan)
    with (
        open_engine(policy, tokenizer, torch.float32, 64) as engine,
        pytest.raises(FloatingPointError, match="not finite"),
    ):
        _validator(problems).measure(broken, engine, ByLength(), 1)
