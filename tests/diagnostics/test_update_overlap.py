"""Overlap of changed weights against its nulls: counts by sets, nulls by simulation."""

import csv
import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rlvr.diagnostics.compare import (
    OverlapSettings,
    RunFolder,
    compare_update_overlap,
    compare_updates,
    write_overlap,
)
from rlvr.diagnostics.overlap import (
    OCTAVES,
    PLACES,
    count_overlap,
    jaccard,
    rounding_bins,
    sum_counts,
    uniform_jaccard,
)
from rlvr.errors import UserError

ETA = 1e-3


def normal(size, seed, scale=1.0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * scale


def changed_in_bf16(before, after):
    return (before.bfloat16() != after.bfloat16()).numpy()


def indices(counts):
    """Observed Jaccard and the nulls 2 and 3 of the first two runs."""
    first, second = counts.common.diagonal()[:2]
    return [
        jaccard(common[0, 1], first, second)
        for common in (counts.common, counts.common_magnitude, counts.common_rounding)
    ]


def test_uniform_null_at_known_values():
    assert uniform_jaccard(0.6, 0.6) == pytest.approx(0.6 / (2 - 0.6))
    assert uniform_jaccard(0.6, 0.6) == pytest.approx(0.43, abs=0.002)
    assert uniform_jaccard(1.0, 0.25) == 0.25
    assert math.isnan(uniform_jaccard(0.0, 0.0))


def test_uniform_null_by_simulation():
    rng = np.random.default_rng(0)
    a, b = rng.random(400_000) < 0.6, rng.random(400_000) < 0.3
    # The standard error of a share over 400,000 is below 0.0008.
    assert jaccard((a & b).sum(), a.sum(), b.sum()) == pytest.approx(uniform_jaccard(0.6, 0.3), abs=0.003)


def test_counts_are_those_of_sets():
    base = normal(500, 0)
    runs = [base + normal(500, seed, 0.005) for seed in (1, 2, 3)]
    counts = count_overlap([(base, runs)], ETA)
    masks = [changed_in_bf16(base, after) for after in runs]
    rises = [(after.bfloat16() > base.bfloat16()).numpy() for after in runs]
    for i in range(3):
        for j in range(3):
            both = masks[i] & masks[j]
            assert counts.common[i, j] == both.sum()
            assert counts.agreeing[i, j] == (both & (rises[i] == rises[j])).sum()
    assert counts.weights == 500


def test_expected_counts_are_sums_over_bins():
    base = normal(800, 0)
    runs = [base + normal(800, seed, 0.003) for seed in (1, 2)]
    counts = count_overlap([(base, runs)], ETA)
    a, b = (changed_in_bf16(base, after) for after in runs)
    outward = [(after.bfloat16().abs() > base.bfloat16().abs()).numpy() for after in runs]
    bins = rounding_bins(base).numpy()
    binades = np.floor(np.log2(base.bfloat16().double().abs().numpy()))

    def expected(first, second, by):
        return sum(
            first[by == one].sum() * second[by == one].sum() / (by == one).sum() for one in np.unique(by)
        )

    assert counts.common_magnitude[0, 1] == pytest.approx(expected(a, b, binades))
    assert counts.common_rounding[0, 1] == pytest.approx(expected(a, b, bins))
    rise = [mask & out for mask, out in zip((a, b), outward, strict=True)]
    fall = [mask & ~out for mask, out in zip((a, b), outward, strict=True)]
    assert counts.agreeing_rounding[0, 1] == pytest.approx(expected(*rise, bins) + expected(*fall, bins))


def test_blocks_of_a_tensor_share_its_bins():
    base = normal(1000, 0)
    runs = [base + normal(1000, seed, 0.003) for seed in (1, 2)]
    whole = count_overlap([(base, runs)], ETA)
    parts = count_overlap(
        [(base[s], [after[s] for after in runs]) for s in (slice(300), slice(300, 1000))], ETA
    )
    for one, other in zip(astuple(whole), astuple(parts), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_bins_by_hand():
    # From 1 to 2 neighbouring bf16 numbers are 2⁻⁷ apart, so a cell's border is 2⁻⁸ from its middle.
    values = [1.5, 1.5 + 2**-10, 1.5 + 3 * 2**-10, 1.5 - 3 * 2**-10, -1.5 - 3 * 2**-10, 3.0, 0.0]
    bins = rounding_bins(torch.tensor(values))
    binade, place = bins // PLACES, bins % PLACES
    assert binade.tolist() == [127] * 5 + [128, 0]
    assert (place // OCTAVES).tolist() == [0, 1, 1, 0, 1, 0, 0]
    assert (place % OCTAVES).tolist() == [0, 0, 1, 1, 1, 0, 0]  # distances 1/2, 3/8, 1/8, 1/8, 1/8 of a unit


def test_every_finite_bf16_number_is_in_the_middle_of_its_cell():
    codes = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    assert (rounding_bins(codes[codes.isfinite()].float()) % PLACES == 0).all()


def test_magnitude_null_is_the_overlap_of_masks_drawn_by_binade():
    """Masks drawn independently, each weight with a chance that its binade and the run set."""
    rng = np.random.default_rng(1)
    base = torch.randn(200_000, generator=torch.Generator().manual_seed(1)).bfloat16().float()
    binade = (rounding_bins(base) // PLACES).numpy()
    chances = [np.clip(scale * 2.0 ** (127 - binade), 0, 1) for scale in (0.1, 0.2)]
    runs = [
        torch.where(torch.from_numpy(rng.random(len(base)) < chance), base * 2, base) for chance in chances
    ]
    observed, magnitude, rounding = indices(count_overlap([(base, runs)], ETA))
    exact = chances[0] * chances[1]
    exact_jaccard = exact.sum() / (chances[0] + chances[1] - exact).sum()
    # 200,000 weights: the standard error of each count is below 0.6 % of it.
    assert magnitude == pytest.approx(exact_jaccard, rel=0.01)
    assert observed == pytest.approx(magnitude, rel=0.02)
    assert rounding == magnitude  # in bf16 all weights are in the middle of their cells
    density = [chance.mean() for chance in chances]
    assert magnitude > 1.3 * uniform_jaccard(*density)


@pytest.mark.parametrize(("size", "least_excess"), [(1e-4, 1.4), (1e-3, 1.05)])
def test_independent_noise_on_an_fp32_base_overlaps_as_the_rounding_null_says(size, least_excess):
    """Weights near a rounding border move in every run: null 2 calls that overlap, null 3 does not."""
    base = normal(300_000, 2)
    runs = [base + normal(300_000, seed, size) for seed in (3, 4)]
    counts = count_overlap([(base, runs)], ETA)
    observed, magnitude, rounding = indices(counts)
    # An octave of distances holds chances that differ, which leaves the null up to 2 % below.
    assert observed == pytest.approx(rounding, rel=0.025)
    assert observed > least_excess * magnitude
    agreeing = counts.agreeing[0, 1] / counts.common[0, 1]
    assert agreeing == pytest.approx(counts.agreeing_rounding[0, 1] / counts.common_rounding[0, 1], rel=0.02)
    assert agreeing > 0.6  # by chance alone, half would


def test_an_update_in_common_exceeds_every_null():
    base = normal(100_000, 5).bfloat16().float()
    shared = normal(100_000, 6, 0.003)
    runs = [base + shared + normal(100_000, seed, 0.001) for seed in (7, 8)]
    observed, magnitude, rounding = indices(count_overlap([(base, runs)], ETA))
    assert observed > 1.3 * max(magnitude, rounding)


def save(folder, weights):
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    return str(folder)


@pytest.fixture
def study(tmp_path):
    base = {"a": normal((30, 20), 0), "b": normal(50, 1)}
    save(tmp_path / "base", base)
    runs = []
    for mode, seed, rep in (("fp32", 1, 1), ("fp32", 2, 1), ("bf16", 1, 1), ("bf16", 1, 2)):
        noise = 10 * seed + rep + (100 if mode == "bf16" else 0)
        after = {name: weight + normal(weight.shape, noise, 0.004) for name, weight in base.items()}
        runs.append(RunFolder(mode, seed, rep, save(tmp_path / f"{mode}{seed}{rep}", after)))
    return tmp_path, base, runs


def test_a_row_for_each_pair_over_all_weights(study):
    path, base, runs = study
    rows = compare_updates(path / "base", runs, OverlapSettings(ETA))
    assert [row.pair for row in rows] == ["seeds", "modes", "modes", "both", "both", "repeats"]
    row = rows[0]
    assert (row.mode_a, row.seed_a, row.rep_a, row.mode_b, row.seed_b, row.rep_b) == (
        "fp32",
        1,
        1,
        "fp32",
        2,
        1,
    )
    masks = []
    for seed in (11, 21):
        after = {name: weight + normal(weight.shape, seed, 0.004) for name, weight in base.items()}
        masks.append(np.concatenate([changed_in_bf16(base[name], after[name]).ravel() for name in base]))
    assert row.density_a == masks[0].mean()
    assert row.jaccard == (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert row.jaccard_uniform == uniform_jaccard(masks[0].mean(), masks[1].mean())
    counts = sum_counts(
        count_overlap(
            [(weight.ravel(), [(weight + normal(weight.shape, s, 0.004)).ravel() for s in (11, 21)])], ETA
        )
        for weight in base.values()
    )
    assert [row.jaccard_magnitude, row.jaccard_rounding] == pytest.approx(indices(counts)[1:])
    assert row.same_direction_null == pytest.approx(
        counts.agreeing_rounding[0, 1] / counts.common_rounding[0, 1]
    )


def test_small_blocks_change_nothing(study, monkeypatch):
    path, _, runs = study
    whole = compare_updates(path / "base", runs, OverlapSettings(ETA))
    monkeypatch.setattr("rlvr.diagnostics.compare.BLOCK", 37)
    for one, other in zip(whole, compare_updates(path / "base", runs, OverlapSettings(ETA)), strict=True):
        assert astuple(one)[7:] == pytest.approx(astuple(other)[7:], rel=1e-12)


def test_runs_that_changed_nothing_have_no_overlap(study):
    path, _, runs = study
    still = [RunFolder("fp32", seed, 1, str(path / "base")) for seed in (1, 2)]
    row = compare_updates(path / "base", [*still, runs[0]], OverlapSettings(ETA))[0]
    assert (row.density_a, row.density_b) == (0.0, 0.0)
    assert math.isnan(row.jaccard) and math.isnan(row.same_direction)


def test_a_run_that_is_not_finite_empties_its_own_pairs(study, caplog):
    path, base, runs = study
    diverged = RunFolder("fp32", 3, 1, save(path / "diverged", base | {"b": torch.full((50,), math.nan)}))
    rows = compare_updates(path / "base", [*runs[:2], diverged], OverlapSettings(ETA))
    assert [math.isnan(row.jaccard) for row in rows] == [False, True, True]
    assert "/diverged: some weights are not finite" in caplog.text


def test_one_run_has_no_pair_and_the_table_its_head(study, tmp_path):
    path, _, runs = study
    assert compare_updates(path / "base", runs[:1], OverlapSettings(ETA)) == []
    write_overlap(tmp_path / "overlap.csv", [])
    assert (tmp_path / "overlap.csv").read_text().startswith("mode_a,seed_a,rep_a,mode_b")


def test_faults_are_named(study):
    path, _, runs = study
    with pytest.raises(UserError, match=r"/nowhere: no weights"):
        compare_updates(path / "base", [runs[0], RunFolder("fp32", 9, 1, "/nowhere")], OverlapSettings(ETA))


def test_the_table(study):
    path, _, runs = study
    compare_update_overlap(
        base=str(path / "base"),
        policies=[run.folder for run in runs],
        runs=[[run.mode, run.seed, run.rep] for run in runs],
        settings=OverlapSettings(ETA),
        table=str(path / "overlap.csv"),
    )
    with open(path / "overlap.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 6
    rows = compare_updates(path / "base", runs, OverlapSettings(ETA))
    assert [float(row["jaccard_rounding"]) for row in table] == [row.jaccard_rounding for row in rows]
