import json
import math

import pytest
import torch

from rlvr.files import read_jsonl
from rlvr.generations import append_generations, log_generations
from rlvr.verify.prompted import r1_zero_reward

NAN = math.nan
RESPONSES = ["1 + 1 </think> <answer>2</answer>", "</think> <answer>3</answer>", "2", ""]
REWARDS = [r1_zero_reward(response, "2") for response in RESPONSES]
# Tokens 3, 2, 1 and 0; what stands outside the mask must not count.
MASK = torch.tensor([[0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=torch.bool)
ENTROPIES = torch.tensor([[9, 1.0, 2, 3], [0.5, 1.5, NAN, 9], [NAN, 9, 4, 9], [9, 9, NAN, 9]])


def logged(**changes):
    given = {
        "prompts": ["p0", "p1", "p2", "p3"],
        "responses": RESPONSES,
        "ground_truths": ["2"] * 4,
        "rewards": REWARDS,
        "token_entropies": ENTROPIES,
        "response_mask": MASK,
    }
    return log_generations(**given | changes)


def test_one_record_a_response():
    records = logged().records()
    assert [row["prompt"] for row in records] == ["p0", "p1", "p2", "p3"]
    assert [row["response"] for row in records] == RESPONSES
    assert records[0] == {
        "prompt": "p0",
        "response": RESPONSES[0],
        "ground_truth": "2",
        "format_reward": 1.0,
        "answer_reward": 1.0,
        "reward": 1.0,
        "entropy": 2.0,
        "length": 3,
    }
    assert [row["format_reward"] for row in records] == [1.0, 1.0, 0.0, 0.0]
    assert [row["entropy"] for row in records] == [2.0, 1.0, 4.0, None]
    assert [row["length"] for row in records] == [3, 2, 1, 0]


def test_summary():
    assert logged().summary() == {
        "responses": 4,
        "correct": 1,
        "wrong": 3,
        "well_formed": 2,
        "empty": 1,
        "reward_mean": 0.25,
        "entropy_mean": pytest.approx(7 / 3),
        "length_mean": 1.5,
        "length_mean_correct": 3.0,
        "length_mean_wrong": 1.0,
    }


def test_a_mean_over_nothing_is_nan():
    wrong = logged(rewards=[r1_zero_reward("", "2")] * 4).summary()
    assert math.isnan(wrong["length_mean_correct"]) and wrong["length_mean_wrong"] == 1.5
    right = logged(rewards=[r1_zero_reward(RESPONSES[0], "2")] * 4).summary()
    assert math.isnan(right["length_mean_wrong"]) and right["length_mean_correct"] == 1.5
    none = log_generations([], [], [], [], torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.bool)).summary()
    assert none["responses"] == 0
    assert all(math.isnan(none[name]) for name in none if "mean" in name)


def test_bf16_entropies_are_averaged_in_float64():
    mask = torch.ones(1, 300, dtype=torch.bool)
    entropies = torch.full((1, 300), 1.0078125, dtype=torch.bfloat16)  # 1 + 2^-7: bf16 sums would round
    (one,) = log_generations(["p"], ["r"], ["t"], REWARDS[:1], entropies, mask).generations
    assert one.entropy == 1.0078125


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": ["p"] * 3}, "4 responses but 3 prompts"),
        ({"ground_truths": ["2"] * 5}, "4 responses but 5 ground_truths"),
        ({"rewards": REWARDS[:2]}, "4 responses but 2 rewards"),
        ({"token_entropies": ENTROPIES[:, :3]}, r"\(4, 3\) and response_mask \(4, 4\)"),
        ({"token_entropies": ENTROPIES[:3], "response_mask": MASK[:3]}, "each of the 4 responses"),
        ({"response_mask": MASK.float()}, "boolean"),
        ({"rewards": [*REWARDS[:3], {"reward": 1.0}]}, "response 3 lack format_reward, answer_reward"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        logged(**changes)


@pytest.mark.parametrize("name", ["generations.jsonl", "generations.jsonl.gz"])
def test_appending_survives_a_resume(tmp_path, name):
    path = tmp_path / name
    log = logged()
    for step in (1, 2, 3, 2):  # a run cut off after step 3 goes on from a checkpoint of step 1
        append_generations(path, step, log)
    rows = list(read_jsonl(path))
    assert [row["step"] for row in rows] == [1] * 4 + [2] * 4
    assert rows[:4] == [{"step": 1} | row for row in log.records()]
    json.dumps(rows, allow_nan=False)
