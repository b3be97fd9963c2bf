"""What the training primitives make of bad input: an error that names it, or a defined value."""

import math

import pytest
import torch
from small_models import reference_model

from rlvr.data.problem import Problem
from rlvr.data.templates import apply_template
from rlvr.models.tokenizers import byte_tokenizer
from rlvr.objectives import (
    compute_group_normalized_rewards,
    grpo_microbatch_train_step,
    sft_microbatch_train_step,
)
from rlvr.policy import collate, tokenize_prompt_and_output
from rlvr.rollout.engine import GenerationRequest, SamplingParams
from rlvr.rollout.transformers_engine import TransformersEngine
from rlvr.verify.prompted import r1_zero_reward

NAN = math.nan
UNFORMATTED = {"format_reward": 0.0, "answer_reward": 0.0, "reward": 0.0}
EVERY_LOSS = ["no_baseline", "reinforce_with_baseline", "grpo_clip", "grpo_no_clip"]


def scored(reward, responses=4, truths=4, group_size=2, normalize_by_std=True):
    return compute_group_normalized_rewards(
        reward, ["r"] * responses, ["t"] * truths, group_size, 1e-6, normalize_by_std
    )


def stepped(log_probs, mask, loss_type="grpo_clip", **changes):
    """The loss of a step on these log-probabilities, with otherwise valid arguments."""
    rows = len(log_probs)
    given = {
        "raw_rewards": torch.ones(rows, 1),
        "advantages": torch.ones(rows, 1),
        "old_log_probs": torch.full(log_probs.shape, -1.0),
        "cliprange": 0.2,
    }
    return grpo_microbatch_train_step(log_probs, mask, 1, loss_type, **given | changes)


def some(rows=2, length=3):
    log_probs = torch.full((rows, length), -1.0, requires_grad=True)
    return log_probs, torch.ones(rows, length, dtype=torch.bool)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"truths": 3}, "4 rollout_responses but 3 repeated_ground_truths"),
        ({"responses": 2}, "2 rollout_responses but 4 repeated_ground_truths"),
        ({"group_size": 3}, "4 rewards do not form groups of 3"),
        ({"group_size": 8}, "4 rewards do not form groups of 8"),
        ({"group_size": 0}, "4 rewards do not form groups of 0"),
    ],
)
def test_ragged_lists_of_responses(lists, message):
    with pytest.raises(ValueError, match=message):
        scored(lambda response, truth: {"reward": 1.0}, **lists)


def test_ragged_lists_of_prompts():
    with pytest.raises(ValueError, match="2 prompts but 1 outputs"):
        tokenize_prompt_and_output(["a", "b"], ["c"], byte_tokenizer())


@pytest.mark.parametrize("loss_type", EVERY_LOSS)
def test_tensors_that_would_broadcast(loss_type):
    """Of shape (1, S), or (B,) with B = S, they would fit without a complaint and mean something else."""
    log_probs, mask = some(3, 3)
    with pytest.raises(ValueError, match=r"response_mask is \(1, 3\), not \(3, 3\)"):
        stepped(log_probs, mask[:1], loss_type)
    with pytest.raises(ValueError, match=r"advantages is \(3,\), not \(3, 1\)"):
        stepped(log_probs, mask, loss_type, advantages=torch.ones(3))
    with pytest.raises(ValueError, match=r"raw_rewards is \(1, 1\), not \(3, 1\)"):
        stepped(log_probs, mask, loss_type, raw_rewards=torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"old_log_probs is \(3, 1\), not \(3, 3\)"):
        stepped(log_probs, mask, loss_type, old_log_probs=torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"response_mask is \(1, 3\), not \(3, 3\)"):
        sft_microbatch_train_step(log_probs, mask[:1], 1)
    assert log_probs.grad is None


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_a_reward_that_is_no_number(value):
    rewards = iter([1.0, 0.0, value, 0.0])
    with pytest.raises(ValueError, match=f"reward of response 2 is {value}, not a finite number"):
        scored(lambda response, truth: {"reward": next(rewards)})


def test_a_reward_that_is_missing():
    rewards = iter([{"reward": 1.0}, {"format_reward": 1.0, "answer_reward": 0.0}])
    with pytest.raises(
        ValueError, match=r"response 1 has no key 'reward'; it has format_reward, answer_reward"
    ):
        scored(lambda response, truth: next(rewards))


@pytest.mark.parametrize("normalize_by_std", [True, False])
def test_a_group_of_one_has_no_advantage(normalize_by_std):
    """The sample standard deviation of one reward is 0/0; its difference from its own mean is 0."""
    rewards = iter([0.3, -2.0, 1e6])
    advantages, raw, metadata = scored(
        lambda response, truth: {"reward": next(rewards)}, 3, 3, 1, normalize_by_std
    )
    assert advantages.tolist() == [0.0] * 3
    assert raw.tolist() == pytest.approx([0.3, -2.0, 1e6])
    assert metadata["groups_without_variance"] == 3


@pytest.mark.filterwarnings("ignore:std")  # torch's, of the deviation of no groups
def test_no_responses_at_all():
    advantages, raw, metadata = scored(lambda response, truth: {"reward": 1.0}, 0, 0)
    assert advantages.shape == raw.shape == (0,) and metadata == {"groups": 0.0}


@pytest.mark.parametrize("loss_type", EVERY_LOSS)
@pytest.mark.parametrize("normalization", ["masked_mean", "masked_normalize"])
def test_a_batch_of_empty_responses(loss_type, normalization):
    log_probs, mask = some()
    mask[:] = False
    loss, metadata = stepped(log_probs, mask, loss_type, length_normalization=normalization)
    assert loss.item() == 0.0 and metadata["empty_responses"].item() == 2
    assert log_probs.grad.tolist() == [[0.0] * 3] * 2
    log_probs.grad = None
    loss, _ = sft_microbatch_train_step(log_probs, mask, 1)
    assert loss.item() == 0.0 and log_probs.grad.tolist() == [[0.0] * 3] * 2


def test_an_empty_response_is_tokenised_and_judged():
    batch = tokenize_prompt_and_output(["ab", "a"], ["", "c"], byte_tokenizer())
    assert batch["response_mask"].tolist() == [[False], [True]]
    assert r1_zero_reward("", "4") == UNFORMATTED


@pytest.mark.parametrize("step", [stepped, lambda values, mask: sft_microbatch_train_step(values, mask, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_a_mask_that_is_not_boolean(step, dtype):
    log_probs, mask = some()
    with pytest.raises(ValueError, match=f"mask must be boolean, got {dtype}"):
        step(log_probs, mask.to(dtype))


def test_nan_under_the_mask():
    log_probs, mask = some()
    broken = torch.full((2, 3), -1.0)
    broken[1, 2] = NAN
    for loss_type in EVERY_LOSS:
        with pytest.raises(
            ValueError, match="policy_log_probs is NaN under the mask, first at row 1, position 2"
        ):
            stepped(broken.clone().requires_grad_(), mask, loss_type)
    with pytest.raises(
        ValueError, match="policy_log_probs is NaN under the mask, first at row 1, position 2"
    ):
        sft_microbatch_train_step(broken.clone().requires_grad_(), mask, 1)
    for loss_type in ("grpo_clip", "grpo_no_clip"):
        with pytest.raises(
            ValueError, match="old_log_probs is NaN under the mask, first at row 1, position 2"
        ):
            stepped(log_probs, mask, loss_type, old_log_probs=broken)
    assert log_probs.grad is None


def test_an_answer_tag_in_the_prompt_earns_nothing():
    """The r1_zero prompt itself shows `</think> <answer>…</answer>`; the response alone is judged."""
    problem = Problem("p", "task", "Write </think> <answer>4</answer>. What is 2 + 2?", "4", "r1_zero")
    prompt = apply_template("r1_zero", problem)
    assert r1_zero_reward(prompt + " so", "4")["reward"] == 1.0  # which is what judging both would give
    assert r1_zero_reward(" so", "4") == UNFORMATTED
    assert r1_zero_reward(" so </think> <answer>5</answer>", "4")["reward"] == 0.0
    assert r1_zero_reward(" so </think> <answer>4</answer>", "4")["reward"] == 1.0


FULL = "2 and 2 make 4 </think> <answer>4</answer>"


@pytest.mark.parametrize("length", range(len(FULL)))
def test_a_cut_response_earns_nothing(length):
    assert r1_zero_reward(FULL, "4")["reward"] == 1.0
    assert r1_zero_reward(FULL[:length], "4") == UNFORMATTED


def test_a_response_cut_at_max_tokens_trains_on_its_tokens_and_no_eos():
    """No EOS was drawn, so none is learnt: the mask ends with the last token that was sampled."""
    with TransformersEngine(reference_model("gpt2"), byte_tokenizer(), torch.float32, 4) as engine:
        request = GenerationRequest("p", "2 + 2 =", samples=3)
        rollouts = engine.generate([request], SamplingParams(max_tokens=5, min_tokens=5), seed=0)
    assert [rollout.finish_reason for rollout in rollouts] == ["length"] * 3
    batch = collate([r.prompt_ids for r in rollouts], [r.token_ids for r in rollouts], pad_id=256)
    assert batch["response_mask"].sum(1).tolist() == [5] * 3
    assert not (batch["labels"][batch["response_mask"]] == byte_tokenizer().eos_token_id).any()
    assert [r1_zero_reward(rollout.text, "4") for rollout in rollouts] == [UNFORMATTED] * 3
