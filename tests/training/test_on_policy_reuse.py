"""A step with one update takes the scores before it from the update's own forward pass."""

import csv

import pytest
import torch
from tiny_run import make_files, make_job

from rlvr.files import read_json
from rlvr.models.decoder import Decoder
from rlvr.precision import Dropout, PrecisionMode
from rlvr.training import batch as training_batch
from rlvr.training.batch import is_on_policy
from rlvr.training.run import train_policy

ROUNDING = 1e-4  # of a metric after 6 steps in fp32; a single reduction errs by 1e-7
TIMES = ("seconds", "per_second")


def _mode(name="m", **factors):
    return PrecisionMode(name, *["float32"] * 5, **factors)


def _train(base, out, mode="fp32", **training):
    train_policy(make_job(mode, minibatches=1, **training), make_files(base, out))
    with open(out / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    kept = [{k: v for k, v in row.items() if not any(part in k for part in TIMES)} for row in rows]
    return read_json(out / "provenance.json")["weight_hash"], kept


def _with_separate_scoring(monkeypatch):
    monkeypatch.setattr(training_batch, "is_on_policy", lambda config, mode: False)


@pytest.mark.parametrize("mode", ["fp32", "bf16_mixed", "fp16_mixed"])
def test_metrics_and_weights_are_bitwise_those_with_a_separate_forward(
    small_base, tmp_path, monkeypatch, mode
):
    whole_batch = {"microbatch_size": 64}  # the same rows together in both forwards
    own = _train(small_base, tmp_path / "own", mode, **whole_batch)
    with monkeypatch.context() as patch:
        _with_separate_scoring(patch)
        separate = _train(small_base, tmp_path / "separate", mode, **whole_batch)
    assert own == separate
    assert all(float(row["entropy"]) > 0 for row in own[1])
    assert {row["ratio_max"] for row in own[1]} == {"1.0"}


def test_metrics_are_those_of_a_separate_forward_where_other_rows_are_together(
    small_base, tmp_path, monkeypatch
):
    _, own = _train(small_base, tmp_path / "own", microbatch_size=5)
    with monkeypatch.context() as patch:
        _with_separate_scoring(patch)
        _, separate = _train(small_base, tmp_path / "separate", microbatch_size=5)
    for found, expected in zip(own, separate, strict=True):
        assert found.keys() == expected.keys()
        for name in ("entropy", "kl_base_k1", "kl_base_k3", "logprob_mismatch_mean", "logprob_mismatch_max"):
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=ROUNDING, abs=ROUNDING)
        for name in ("loss", "grad_norm", "clip_fraction", "ratio_max", "importance_weight_mean"):
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize(
    ("mode", "changes", "scored"),
    [
        (_mode(), {}, False),
        (_mode(policy_ratio="sequence", shuffle_reduction=True, gradient_noise=0.1), {}, False),
        (_mode(), {"minibatches": 2}, True),
        (_mode(), {"epochs": 2}, True),
        (_mode(dropout=Dropout(rate=0.1)), {}, True),
        (_mode(importance_cap=2.0), {}, True),
        (_mode(), {"kl_beta": 0.1}, True),
    ],
    ids=str,
)
def test_when_a_separate_forward_is_needed(mode, changes, scored):
    loss = make_job().training.loss
    settings = {"minibatches": 1, "loss": vars(loss) | {"kl_beta": changes.pop("kl_beta", 0.0)}} | changes
    assert is_on_policy(make_job(mode, **settings).training, mode) is not scored


def test_the_policy_is_scored_in_no_pass_of_its_own(small_base, tmp_path, monkeypatch):
    passes = []
    score = Decoder.label_scores

    def counted(model, *arguments):
        passes.append(torch.is_grad_enabled())
        return score(model, *arguments)

    monkeypatch.setattr(Decoder, "label_scores", counted)
    shape = {"steps": 3, "snapshot_steps": [], "microbatch_size": 64, "kl_every_steps": 3}
    _train(small_base, tmp_path, **shape)
    assert passes == [False, True, True, False, True]  # without gradients: the base, for the KL
