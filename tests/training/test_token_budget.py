"""Microbatches by a budget of tokens: how rows are packed, and that training does not depend on it."""

import csv

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import TRAINING, make_files, make_job

from rlvr.errors import UserError
from rlvr.files import read_json
from rlvr.training import grpo
from rlvr.training.microbatches import microbatches, row_widths
from rlvr.training.run import train_policy

ROUNDING = 1e-4  # of a metric after 6 steps in fp32; a single reduction errs by 1e-7


def _mask(widths):
    """Rows that end at these columns, each with a prompt of half its length."""
    columns = torch.arange(max(widths))
    ends = torch.tensor(widths)[:, None]
    return (columns >= ends // 2) & (columns < ends)


@given(widths=st.lists(st.integers(1, 30), min_size=1, max_size=40), budget=st.integers(1, 120))
def test_every_row_is_in_one_part_within_the_budget_or_alone(widths, budget):
    mask = _mask(widths)
    assert row_widths(mask).tolist() == widths
    rows = torch.randperm(len(widths), generator=torch.Generator().manual_seed(0))
    parts = microbatches(rows, mask, 1, budget)
    assert sorted(torch.cat(parts).tolist()) == sorted(rows.tolist())
    sizes = [[widths[row] for row in part] for part in parts]
    for part, following in zip(sizes, [*sizes[1:], None], strict=True):
        assert len(part) * max(part) <= budget or len(part) == 1
        if following is not None:  # longest first, and no part could have taken the row after it
            assert min(part) >= max(following)
            assert (len(part) + 1) * max(part) > budget
    again = microbatches(rows, mask, 1, budget)
    assert all(torch.equal(one, other) for one, other in zip(parts, again, strict=True))


def test_rows_of_one_length_keep_their_order_and_none_is_the_fixed_size():
    rows = torch.tensor([4, 2, 0, 3, 1])
    mask = _mask([6, 6, 6, 6, 6])
    assert [part.tolist() for part in microbatches(rows, mask, 1, 12)] == [[4, 2], [0, 3], [1]]
    assert [part.tolist() for part in microbatches(rows, mask, 3, None)] == [[4, 2, 0], [3, 1]]


def _train(base, out, **training):
    trainer = TRAINING["trainer"] | training.pop("trainer", {})
    train_policy(make_job(trainer=trainer, **training), make_files(base, out))
    with open(out / "metrics.csv") as file:
        return read_json(out / "provenance.json"), list(csv.DictReader(file))


@pytest.mark.parametrize(
    "trainer",
    [
        {"microbatch_tokens": 20},
        {"microbatch_tokens": 10**6},
        {"microbatch_tokens": 30, "recompute_activations": True, "vocabulary_chunk": 3},
    ],
    ids=str,
)
def test_what_is_computed_at_a_time_changes_rounding_only(small_base, tmp_path, trainer):
    _, rows = _train(small_base, tmp_path / "rows", microbatch_size=8)
    record, tokens = _train(small_base, tmp_path / "tokens", trainer=trainer)
    for name in ("loss", "grad_norm", "entropy", "kl_base_k3", "accuracy", "clip_fraction", "ratio_max"):
        found, expected = ([float(row[name]) for row in run] for run in (tokens, rows))
        assert found == pytest.approx(expected, rel=ROUNDING, abs=ROUNDING)
    assert record["flags"]["attention"] == "flash_attention"
    assert record["flags"]["tf32"] is False


def test_a_lack_of_memory_names_what_to_change_and_the_run_goes_on_after_it(
    small_base, tmp_path, monkeypatch
):
    whole, _ = _train(small_base, tmp_path / "whole")
    real = grpo.train_step

    def no_memory_in_step_5(setting, step):
        if step == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nmore")
        return real(setting, step)

    with monkeypatch.context() as patch:
        patch.setattr(grpo, "train_step", no_memory_in_step_5)
        with pytest.raises(UserError) as failure:
            _train(small_base, tmp_path / "parted")
    message = str(failure.value)
    assert message.startswith("step 5 does not fit into the memory of the GPU (CUDA out of memory. Tried to")
    for knob in ("microbatch_tokens", "microbatch_size", "recompute_activations", "vocabulary_chunk", "gpus"):
        assert knob in message
    seen = []
    monkeypatch.setattr(grpo, "train_step", lambda setting, step: seen.append(step) or real(setting, step))
    # These change no bit, so that the run that goes on with them ends where the other one did.
    smaller = {
        "trainer": {"recompute_activations": True},
        "rollout": {"engine": "native", "vllm": {"sleep": True}},
    }
    record, rows = _train(small_base, tmp_path / "parted", **smaller)
    assert seen == [4, 5]
    assert len(rows) == 6
    assert record["weight_hash"] == whole["weight_hash"]
