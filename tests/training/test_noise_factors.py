"""Noises beside dtype, corrections of the engine/trainer difference, and loss scaling, in whole runs."""

import csv
import math

import pytest
import torch
from tiny_run import make_files, make_job

from rlvr.files import read_json
from rlvr.models.attention import AttentionDropout
from rlvr.precision import MODES, Dropout, PrecisionMode
from rlvr.rollout.native import NativeEngine
from rlvr.training import trainer
from rlvr.training.dtype_contract import DtypeMismatch
from rlvr.training.gradients import add_relative_noise
from rlvr.training.run import train_policy

ROUNDING = 1e-4  # of a metric after 6 steps in fp32; a single reduction errs by 1e-7


def _mode(
    name, master="float32", state="float32", compute="float32", reduce="float32", rollout="float32", **more
):
    return PrecisionMode(name, master, state, compute, reduce, rollout, **more)


def _train(base, out, mode, **job):
    train_policy(make_job(mode, **job), make_files(base, out))
    with open(out / "metrics.csv") as file:
        return read_json(out / "provenance.json"), list(csv.DictReader(file))


def _column(rows, name):
    return [float(row[name] or "nan") for row in rows]


def test_relative_noise_has_the_chosen_size_and_repeats_with_its_seed():
    gradient = torch.full((200_000,), 3.0)
    noisy = gradient.clone()
    add_relative_noise([noisy], 1e-2, seed=5)
    relative = (noisy / gradient - 1).double()
    assert abs(relative.mean()) < 5 * 1e-2 / 200_000**0.5
    assert relative.std().item() == pytest.approx(1e-2, rel=5 / (2 * 200_000) ** 0.5)
    again, other, small = gradient.clone(), gradient.clone(), gradient.bfloat16()
    add_relative_noise([again], 1e-2, seed=5)
    add_relative_noise([other], 1e-2, seed=6)
    add_relative_noise([small], 1e-2, seed=5)
    assert torch.equal(again, noisy)
    assert not torch.equal(other, noisy)
    assert torch.equal(small, noisy.bfloat16())


def test_gradient_noise_differs_between_repeats_and_repeats_itself(small_base, tmp_path):
    mode = _mode("noisy", gradient_noise=1e-2, deterministic=True)
    hashes = [
        _train(small_base, tmp_path / f"{number}", mode, rep=rep)[0]["weight_hash"]
        for number, rep in enumerate((1, 1, 2))
    ]
    plain = _train(small_base, tmp_path / "plain", _mode("plain", deterministic=True))[0]["weight_hash"]
    assert hashes[0] == hashes[1] != hashes[2]
    assert plain not in hashes


def test_order_of_microbatches_changes_rounding_only(small_base, tmp_path):
    mode = _mode("shuffled", shuffle_reduction=True)
    first, rows = _train(small_base, tmp_path / "1", mode, rep=1, microbatch_size=4)
    second, others = _train(small_base, tmp_path / "2", mode, rep=2, microbatch_size=4)
    assert first["weight_hash"] != second["weight_hash"]
    assert not any("random order" in note for note in first["notes"])
    for name in ("loss", "grad_norm", "entropy"):
        assert _column(rows, name) == pytest.approx(_column(others, name), rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize("size", [1, 4, 16])
def test_size_of_microbatches_changes_rounding_only(small_base, tmp_path, size):
    _, whole = _train(small_base, tmp_path / "whole", "fp32", microbatch_size=64)
    _, parts = _train(small_base, tmp_path / "parts", "fp32", microbatch_size=size)
    for name in ("loss", "grad_norm", "entropy", "kl_base_k3", "accuracy", "ratio_max"):
        assert _column(parts, name) == pytest.approx(_column(whole, name), rel=ROUNDING, abs=ROUNDING)


def test_factors_that_cannot_act_are_noted(small_base, tmp_path):
    mode = _mode("inert", shuffle_reduction=True, importance_cap=2.0)
    notes = " ".join(_train(small_base, tmp_path, mode, steps=2, snapshot_steps=[])[0]["notes"])
    assert "inert adds up microbatches in random order, but an update has at most 1 here" in notes
    assert "inert allows non-deterministic kernels; on a CPU there are none" in notes
    assert "every importance weight was 1" in notes


def test_importance_weights_act_where_engine_and_trainer_differ(small_base, tmp_path):
    factors = {"compute": "bfloat16", "rollout": "float32"}
    runs = {
        name: _train(small_base, tmp_path / name, _mode(name, **factors, **more), steps=3)
        for name, more in {
            "none": {},
            "token": {"importance_cap": 2.0},
            "sequence": {"importance_cap": 2.0, "importance_level": "sequence"},
            "gspo": {"policy_ratio": "sequence"},
        }.items()
    }
    assert len({record["weight_hash"] for record, _ in runs.values()}) == len(runs)
    for name, (record, rows) in runs.items():
        assert max(_column(rows, "logprob_mismatch_max")) > 0
        assert (set(_column(rows, "importance_weight_mean")) == {1.0}) == (name in ("none", "gspo"))
        assert not any("importance weight" in note for note in record["notes"])


def test_overflowing_loss_scale_skips_updates_and_comes_down(small_base, tmp_path, monkeypatch):
    make = trainer.make_scaler

    def huge(mode, device):
        scaler = make(mode, device)
        scaler._scale.fill_(2.0**26)
        return scaler

    monkeypatch.setattr(trainer, "make_scaler", huge)
    record, rows = _train(small_base, tmp_path, "fp16_mixed", steps=12, snapshot_steps=[])
    skipped, scale = _column(rows, "updates_skipped"), _column(rows, "loss_scale")
    assert skipped[0] == 2
    assert skipped[-1] == 0
    assert scale[-1] < scale[0] == 2.0**25
    assert math.isnan(_column(rows, "updates_lost")[0])  # nothing was attempted
    assert math.isnan(_column(rows, "grad_norm")[0])
    assert any("overflowed float16" in note for note in record["notes"])
    assert _column(rows, "grad_norm")[-1] > 0


def test_a_gradient_that_overflows_at_every_scale_stops_the_run(small_base, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.amp.GradScaler, "get_scale", lambda _: 2.0**-20)
    monkeypatch.setattr("rlvr.training.update.clip_gradients", lambda *_: float("nan"))
    with pytest.raises(FloatingPointError, match=r"step 1: the gradient norm is nan.*loss scale down to"):
        _train(small_base, tmp_path, "fp16_mixed")


@pytest.mark.parametrize("mode", ["fp16_mixed", "bf16_sr", "bf16_kahan"])
def test_a_run_that_was_interrupted_ends_in_the_same_weights(small_base, tmp_path, monkeypatch, mode):
    whole, rows = _train(small_base, tmp_path / "whole", mode)
    files = make_files(small_base, tmp_path / "parted")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rlvr.training.run.Run.write_results", stop)
        with pytest.raises(KeyboardInterrupt):
            train_policy(make_job(mode), files)
    train_policy(make_job(mode), files)
    assert read_json(files.provenance)["weight_hash"] == whole["weight_hash"]
    with open(files.metrics) as file:
        again = list(csv.DictReader(file))
    for name in ("loss_scale", "lost_update", "second_moments_stuck", "grad_norm"):
        assert [row[name] for row in again] == [row[name] for row in rows]


def test_gradients_are_accumulated_in_the_dtype_of_reduce(small_base, tmp_path):
    mixed = _mode("wide", master="bfloat16", state="float32", compute="bfloat16", rollout="bfloat16")
    narrow = _mode("narrow", compute="bfloat16", rollout="bfloat16", reduce="bfloat16")
    for mode, reduce in ((mixed, "float32"), (narrow, "bfloat16")):
        record, _ = _train(small_base, tmp_path / mode.name, mode, steps=2, snapshot_steps=[])
        assert record["dtypes"]["reduce"] == reduce


def test_the_dtype_of_the_softmax_counts(small_base, tmp_path):
    factors = {"compute": "bfloat16", "rollout": "bfloat16"}
    modes = {fp32: _mode("m", logits_fp32=fp32, **factors) for fp32 in (True, False)}
    hashes = {
        fp32: _train(small_base, tmp_path / str(fp32), mode, steps=2, snapshot_steps=[])[0]
        for fp32, mode in modes.items()
    }
    assert [hashes[fp32]["dtypes"]["logits"] for fp32 in (True, False)] == ["float32", "bfloat16"]
    assert hashes[True]["weight_hash"] != hashes[False]["weight_hash"]


def test_a_step_without_an_update_has_lost_none(small_base, tmp_path):
    # Every group is all right or all wrong when nothing is drawn at random, and is dropped.
    greedy = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 4, "min_tokens": 0, "stop": []}
    _, rows = _train(
        small_base, tmp_path, "fp32", steps=2, snapshot_steps=[], sampling=greedy | {"max_batch_rows": 64}
    )
    assert [row["updates"] for row in rows] == ["0", "0"]
    assert [row["updates_lost"] for row in rows] == ["", ""]


def test_an_engine_of_another_dtype_stops_the_run(small_base, tmp_path, monkeypatch):
    def wrong(model, tokenizer, dtype, rows, device, **settings):
        return NativeEngine(model, tokenizer, torch.float32, rows, device)

    monkeypatch.setattr(trainer, "open_engine", wrong)
    with pytest.raises(
        DtypeMismatch,
        match=r"bf16_mixed: rollout should be bfloat16, but model\.embed_tokens\.weight is torch\.float32",
    ):
        _train(small_base, tmp_path, "bf16_mixed")


@pytest.mark.parametrize(("kind", "mean"), [("standard", 1.0), ("variance_preserving", 0.8**0.5)])
def test_dropout_of_a_kind_trains_and_differs(small_base, tmp_path, kind, mean):
    dropout = Dropout(kind, 0.2)
    drop = AttentionDropout(dropout, torch.Generator().manual_seed(0))
    ones, normal = torch.ones(400_000), torch.randn(400_000, generator=torch.Generator().manual_seed(1))
    assert drop(ones).mean().item() == pytest.approx(mean, abs=0.005)
    variance = drop(normal).var().item()
    assert variance == pytest.approx(1.25 if kind == "standard" else 1.0, abs=0.01)
    record, _ = _train(small_base, tmp_path, _mode(kind, dropout=dropout), steps=2, snapshot_steps=[])
    assert record["mode"]["dropout"] == {"kind": kind, "rate": 0.2}


def test_named_modes_that_round_differently_end_in_different_weights(small_base, tmp_path):
    hashes = {
        name: _train(small_base, tmp_path / name, name, dropout_rate=0.0)[0]["weight_hash"] for name in MODES
    }
    assert len(set(hashes.values())) == len(MODES)
