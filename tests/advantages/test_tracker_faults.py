"""What is accepted, what is refused and in which words, and rewards that are hard on the arithmetic."""

import numpy as np
import pytest
import torch
from reference_trackers import MAKERS, make_stream

from rlvr.advantages import BatchStats, EmaPromptStatTracker, PerPromptStatTracker

NUMBERS = [3, 1, 3, 3, 2, 1]
REWARDS = [1.0, -2.0, 3.0, 0.0, 5.0, -4.0]  # exact in every dtype below


def results(tracker, prompts, rewards):
    """Advantages of two updates, and what is remembered."""
    return (
        [tracker.update(prompts, rewards).tolist() for _ in range(2)],
        tracker.state_dict(),
        tracker.stats(),
    )


KINDS = {
    "tuples": tuple,
    "array": np.array,
    "array, float32": lambda values: np.array(values, dtype=np.float32),
    "array, strided": lambda values: np.repeat(np.array(values), 3)[::3],
    "list of NumPy scalars": lambda values: list(np.array(values)),
    "tensor": torch.tensor,
    "tensor, int": lambda values: torch.tensor(values).long(),
    "tensor, bf16": lambda values: torch.tensor(values).bfloat16(),
    "tensor, fp16, strided": lambda values: torch.tensor(values).half().repeat_interleave(2)[::2],
    "tensor, float64, requires_grad": lambda values: torch.tensor(values).double().requires_grad_(),
    "list of tensors": lambda values: list(torch.tensor(values)),
    "list of tensors, bf16, requires_grad": lambda values: [
        torch.tensor(value).bfloat16().requires_grad_() for value in values
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAKERS)
def test_lists_arrays_and_tensors_are_the_same(name, kind):
    """A prompt is one prompt whether it is a number, an array's element or a tensor's."""
    expected = results(MAKERS[name](), NUMBERS, REWARDS)
    assert results(MAKERS[name](), KINDS[kind](NUMBERS), KINDS[kind](REWARDS)) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["buffer", "ema"])
def test_tracked_takes_them_too(name, kind):
    tracker = MAKERS[name]()
    tracker.update(NUMBERS, REWARDS)
    assert tracker.tracked(KINDS[kind]([1, 2, 3, 4])).tolist() == [True, False, True, False]


@pytest.mark.parametrize("name", ["buffer", "ema"])
def test_remembered_prompts_are_plain_strings(name):
    words = [f"prompt {number}" for number in NUMBERS]
    for prompts in (words, np.array(words), list(np.array(words)), np.array(words, dtype=object)):
        tracker = MAKERS[name]()
        tracker.update(prompts, REWARDS)
        remembered = tracker.state_dict()["prompts"]
        assert remembered == ["prompt 3", "prompt 1", "prompt 2"]
        assert {type(prompt) for prompt in remembered} == {str}


@pytest.mark.parametrize("name", MAKERS)
def test_advantages_are_a_new_float64_array(name):
    prompts, rewards = list(NUMBERS), np.array(REWARDS)
    advantages = MAKERS[name]().update(prompts, rewards)
    assert isinstance(advantages, np.ndarray)
    assert (advantages.dtype, advantages.shape) == (np.float64, (6,))
    assert prompts == NUMBERS
    assert rewards.tolist() == REWARDS  # what was handed in is left alone
    assert not np.shares_memory(advantages, rewards)


FAULTS = {
    "a NaN": (["a", "b", "c"], [1.0, float("nan"), 2.0], r"reward 1 \(prompt 'b'\) is nan, not a finite"),
    "an infinity": (["a", "b"], [float("-inf"), 1.0], r"reward 0 \(prompt 'a'\) is -inf, not a finite"),
    "the first of two": (["a", "b", "c"], [0.0, float("inf"), float("nan")], r"reward 1 \(prompt 'b'\)"),
    "None for a reward": (["a", "b"], [1.0, None], r"reward 1 \(prompt 'b'\) is nan"),
    "fewer rewards": (["a", "b", "new"], [1.0, 2.0], "3 prompts but 2 rewards"),
    "fewer prompts": (["a"], [1.0, 2.0], "1 prompts but 2 rewards"),
    "an empty batch": ([], [], "the batch is empty"),
    "a column of rewards": (["a", "b"], [[1.0], [2.0]], r"one dimension.*\(2, 1\)"),
    "a single reward": (["a"], 1.0, r"one dimension.*\(\)"),
    "a string of prompts": ("ab", [1.0, 2.0], "one string"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("convert", [list, np.array, torch.tensor], ids=["list", "array", "tensor"])
def test_bad_batches_are_named_and_not_remembered(name, fault, convert):
    prompts, rewards, message = FAULTS[fault]
    if convert is not list and isinstance(rewards, list) and None not in rewards:
        rewards = convert(rewards)
    tracker, twin = MAKERS[name](), MAKERS[name]()
    for batch in make_stream(3):
        tracker.update(*batch)
        twin.update(*batch)
    with pytest.raises(ValueError, match=message):
        tracker.update(prompts, rewards)
    assert tracker.state_dict() == twin.state_dict()
    assert tracker.stats() == twin.stats()
    after = make_stream(1, seed=4)[0]
    np.testing.assert_array_equal(tracker.update(*after), twin.update(*after))


@pytest.mark.parametrize("name", ["buffer", "ema"])
@pytest.mark.parametrize("bad", [["a list"], {"a": "dict"}, ("in a tuple", [])], ids=str)
def test_prompts_without_a_hash_are_refused(name, bad):
    """New prompts that stand before it in the batch are not remembered either."""
    tracker, twin = MAKERS[name](), MAKERS[name]()
    for each in (tracker, twin):
        each.update(["known"], [1.0])
    with pytest.raises(ValueError, match=r"prompts must be hashable.*unhashable type"):
        tracker.update(["new", "known", bad], [1.0, 2.0, 3.0])
    assert tracker.state_dict() == twin.state_dict()
    assert [row["prompt"] for row in tracker.stats()] == ["known"]
    np.testing.assert_array_equal(
        tracker.update(["later", "known"], [1.0, 3.0]), twin.update(["later", "known"], [1.0, 3.0])
    )


BAD_SETTINGS = [
    (PerPromptStatTracker, {"buffer_size": 8, "min_count": 9}, r"min_count is 9; .*1 to buffer_size \(8\)"),
    (PerPromptStatTracker, {"buffer_size": 8}, r"min_count is 16; .*buffer_size \(8\)"),
    (PerPromptStatTracker, {"min_count": 0}, "min_count is 0"),
    (PerPromptStatTracker, {"buffer_size": 0, "min_count": 0}, "buffer_size is 0; allowed: 1 or more"),
    (PerPromptStatTracker, {"eps": -1e-9}, "eps is -1e-09"),
    (EmaPromptStatTracker, {"decay": 1.0}, "decay is 1.0"),
    (EmaPromptStatTracker, {"decay": -0.1}, "decay is -0.1"),
    (EmaPromptStatTracker, {"decay": float("nan")}, "decay is nan"),
    (EmaPromptStatTracker, {"min_count": 0}, "min_count is 0"),
    (EmaPromptStatTracker, {"eps": float("inf")}, "eps is inf"),
    (BatchStats, {"eps": float("nan")}, "eps is nan"),
]


@pytest.mark.parametrize(("kind", "settings", "message"), BAD_SETTINGS, ids=str)
def test_bad_settings_are_named(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize("eps", [1e-7, 0.0])
@pytest.mark.parametrize("reward", [0.1, -1e9 - 1 / 3, 1e-300, 0.0])
def test_equal_rewards_give_exactly_zero(reward, eps):
    """A rounded mean of equal rewards would differ from them; that over eps would be a large advantage."""
    for tracker in (BatchStats(eps), PerPromptStatTracker(5, 1, eps), EmaPromptStatTracker(0.9, 1, eps)):
        for _ in range(4):
            advantages = tracker.update(["a", "b", "a"], [reward] * 3)
            assert advantages.tolist() == [0.0, 0.0, 0.0]
        assert {(row["mean"], row["std"]) for row in tracker.stats()} == {(reward, 0.0)}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("offset", [1e9, -1e9])
def test_a_large_offset_costs_no_more_than_its_rounding(name, offset):
    """Sums of squares of 1e18, whose spacing is 128, would lose the spread, which is about 1.

    Rewards are multiples of 2⁻²⁰, so that with the offset (30 bits) they are exact. Tolerance: a mean near
    1e9 is rounded to 6e-8.
    """
    plain, far = MAKERS[name](), MAKERS[name]()
    for prompts, rewards in make_stream():
        rounded = np.round(rewards * 2**20) / 2**20
        expected = plain.update(prompts, rounded)
        np.testing.assert_allclose(far.update(prompts, rounded + offset), expected, rtol=1e-6, atol=1e-6)
    stds = [[row["std"] for row in tracker.stats()] for tracker in (plain, far)]
    np.testing.assert_allclose(stds[1], stds[0], rtol=1e-6)


def test_a_far_first_reward_does_not_blunt_later_ones():
    """Buffers are centred at their first reward; once it has left, nothing of its size remains."""
    tracker, fresh = (PerPromptStatTracker(buffer_size=4, min_count=4) for _ in range(2))
    tracker.update(["a"], [1e12])
    for each in (tracker, fresh):
        each.update(["a"] * 3, [0.1, 0.2, 0.3])
        advantages = each.update(["a"], [0.4])
        assert advantages[0] == pytest.approx(0.15 / np.std([0.1, 0.2, 0.3, 0.4]), rel=1e-6)
