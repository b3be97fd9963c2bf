"""Update geometry of checkpoints in folders: which numbers stand in which row."""

import csv
import json
import math

import pytest
import torch
from safetensors.torch import save_file

from rlvr.diagnostics.geometry import (
    Checkpoint,
    GeometrySettings,
    measure_geometry,
    measure_update_geometry,
    run_checkpoints,
)
from rlvr.diagnostics.sparsity import movable_fraction, relative_change, update_sparsity
from rlvr.diagnostics.spectral import drifts, spectrum
from rlvr.errors import UserError

SETTINGS = GeometrySettings(
    eta=1e-3, learning_rate=1e-4, storage_dtype="float32", rank=3, null_draws=3, seed=5
)
Q, NORM, EMBED = "model.layers.1.self_attn.q_proj.weight", "model.norm.weight", "model.embed_tokens.weight"


def weights(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return {
        EMBED: (torch.randn(20, 8, generator=generator) * 0.1).to(dtype),
        Q: (torch.randn(8, 12, generator=generator) * 0.1).to(dtype),
        NORM: torch.ones(8).to(dtype),
    }


def moved(start, size, seed):
    """The weights after noise of that size; the embedding stays."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: weight
        if name == EMBED
        else (weight.float() + size * torch.randn(weight.shape, generator=generator)).to(weight.dtype)
        for name, weight in start.items()
    }


def save(folder, tensors):
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    return str(folder)


@pytest.fixture
def study(tmp_path):
    """A base and two runs of 4 steps with snapshots of steps 2 and 4."""
    save(tmp_path / "base", weights())
    for seed in (1, 2):
        run = tmp_path / f"seed{seed}"
        for step in (2, 4):
            save(run / "snapshots" / f"step{step}", moved(weights(), 1e-3 * step, seed))
        save(run / "policy", moved(weights(), 4e-3, seed))
    return tmp_path


def checkpoint(folder, step=4, seed=1):
    return Checkpoint("fp32", seed, 1, step, str(folder))


def test_a_row_holds_the_measures_of_its_tensor(study):
    rows = measure_geometry(study / "base", [checkpoint(study / "seed1/policy")], SETTINGS)
    assert [row.tensor for row in rows] == sorted((EMBED, Q, NORM))
    base, after = weights(), moved(weights(), 4e-3, 1)
    row = next(row for row in rows if row.tensor == Q)
    assert (row.layer, row.kind, row.weights) == (1, "q", 96)
    assert row.sparsity == update_sparsity(base[Q], after[Q])
    assert 0 < row.moved == 1 - row.sparsity
    assert row.movable == movable_fraction(base[Q], 1e-4)
    assert row.relative_change == relative_change(base[Q], after[Q])
    assert row.spectral.nss.observed == drifts(spectrum(base[Q], 3), spectrum(after[Q], 3))[0].nss
    assert row.spectral.angle_left.null > 0


def test_a_vector_has_no_spectrum_and_an_unchanged_matrix_no_null(study):
    rows = measure_geometry(study / "base", [checkpoint(study / "seed1/policy")], SETTINGS)
    by_name = {row.tensor: row for row in rows}
    assert math.isnan(by_name[NORM].spectral.nss.observed)
    assert by_name[NORM].relative_change > 0
    unchanged = by_name[EMBED]
    assert (unchanged.sparsity, unchanged.moved, unchanged.relative_change) == (1.0, 0.0, 0.0)
    assert unchanged.spectral.nss.observed == unchanged.spectral.angle_right.observed == 0.0
    assert math.isnan(unchanged.spectral.nss.null)


def test_a_run_of_bf16_masters_is_measured_from_the_base_rounded_to_bf16(study):
    rounded = weights(torch.bfloat16)
    policy = save(study / "bf16", rounded)
    settings = GeometrySettings(eta=1e-3, learning_rate=1e-4, storage_dtype="bfloat16", rank=3)
    for row in measure_geometry(study / "base", [checkpoint(policy)], settings):
        assert (row.moved, row.relative_change) == (0.0, 0.0)  # rounding is no update
        assert row.movable == movable_fraction(rounded[row.tensor], 1e-4)
    movable = {
        row.tensor: row.movable for row in measure_geometry(study / "base", [checkpoint(policy)], SETTINGS)
    }
    assert movable[Q] == 1.0
    assert movable_fraction(rounded[Q], 1e-4) < 1.0


def test_a_checkpoints_numbers_do_not_depend_on_the_others(study):
    ours, other = checkpoint(study / "seed1/policy"), checkpoint(study / "seed2/policy", seed=2)
    alone = measure_geometry(study / "base", [ours], SETTINGS)
    both = measure_geometry(study / "base", [other, ours], SETTINGS)
    assert both[3:] != both[:3]
    assert repr(both[3:]) == repr(alone)  # NaN is not equal to itself
    q, other_q = (next(row for row in rows if row.tensor == Q) for rows in (both[3:], both[:3]))
    assert q.spectral.nss.null != other_q.spectral.nss.null


def test_weights_that_are_not_finite_empty_their_row_alone(study, caplog):
    diverged = moved(weights(), 4e-3, 1)
    diverged[Q][0, 0] = math.nan
    rows = measure_geometry(study / "base", [checkpoint(save(study / "diverged", diverged))], SETTINGS)
    row = next(row for row in rows if row.tensor == Q)
    assert math.isnan(row.sparsity) and math.isnan(row.moved) and math.isnan(row.spectral.nss.observed)
    assert next(row for row in rows if row.tensor == NORM).moved > 0
    assert f"/diverged: weight {Q} is not finite" in caplog.text


def test_a_base_that_is_not_finite_is_an_error(study):
    broken = save(study / "broken", weights() | {NORM: torch.full((8,), math.inf)})
    with pytest.raises(UserError, match=f"/broken: weight {NORM} is not finite"):
        measure_geometry(broken, [checkpoint(study / "seed1/policy")], SETTINGS)


def test_checkpoints_of_a_run_in_the_order_of_their_steps(study, tmp_path):
    run = study / "seed1"
    (run / "snapshots/step10").mkdir()
    found = list(run_checkpoints("fp32", 1, 2, run / "policy", run / "snapshots", 12))
    assert [(one.step, one.folder.rpartition("/")[2]) for one in found] == [
        (2, "step2"),
        (4, "step4"),
        (10, "step10"),
        (12, "policy"),
    ]
    assert {(one.arm, one.seed, one.rep) for one in found} == {("fp32", 1, 2)}


def test_the_table(study):
    measure_update_geometry(
        base=str(study / "base"),
        policies=[str(study / f"seed{seed}/policy") for seed in (1, 2)],
        snapshots=[str(study / f"seed{seed}/snapshots") for seed in (1, 2)],
        runs=[["fp32", 1, 1], ["fp32", 2, 1]],  # as Snakemake hands them over
        steps=4,
        settings=SETTINGS,
        table=str(study / "geometry.csv"),
    )
    with open(study / "geometry.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["arm", "seed", "rep", "step", "tensor"]
    assert [(row["seed"], row["step"]) for row in rows[::3]] == [
        ("1", "2"),
        ("1", "4"),
        ("2", "2"),
        ("2", "4"),
    ]
    q = next(row for row in rows if row["tensor"] == Q)
    assert float(q["nss_ratio"]) == float(q["nss"]) / float(q["nss_null"])
    assert float(q["angle_left"]) >= float(q["angle_left_mean"]) > 0
    norm = next(row for row in rows if row["tensor"] == NORM)
    assert (norm["layer"], norm["kind"], norm["nss"], norm["nss_null"]) == ("", "norm", "", "")


def test_sharded_policies_measure_alike(study):
    sharded = study / "sharded"
    sharded.mkdir()
    for index, (name, weight) in enumerate(moved(weights(), 4e-3, 1).items()):
        save_file({name: weight}, sharded / f"model-{index}.safetensors")
    index = {name: f"model-{number}.safetensors" for number, name in enumerate(weights())}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    single, shards = (
        measure_geometry(study / "base", [checkpoint(folder)], SETTINGS)
        for folder in (study / "seed1/policy", sharded)
    )
    assert [repr(row.spectral) for row in single] == [repr(row.spectral) for row in shards]
