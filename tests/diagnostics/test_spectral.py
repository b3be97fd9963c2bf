"""Spectral shift, principal angles and their isotropic null against numpy and scipy."""

from dataclasses import astuple

import numpy as np
import pytest
import scipy.linalg
import torch

from rlvr.diagnostics.spectral import (
    AgainstNull,
    drifts,
    isotropic_drifts,
    principal_angles,
    spectral_shift,
    spectrum,
    top_rank,
    update_norm,
)

SHAPES = [(40, 24), (24, 40), (32, 32)]


def generator():
    return np.random.default_rng(7)


def drift(before, after):
    (only,) = drifts(before, after)
    return only


def matrix(shape, seed=0):
    """A matrix with singular values from 1 down to about 1e-3, as trained weights have them."""
    rng = np.random.default_rng(seed)
    side = min(shape)
    left = np.linalg.qr(rng.standard_normal((shape[0], side)))[0]
    right = np.linalg.qr(rng.standard_normal((shape[1], side)))[0]
    return torch.from_numpy(left * np.geomspace(1.0, 1e-3, side) @ right.T)


def nudge(weight, size=1e-2, seed=1):
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(weight.shape)))
    return weight + size * noise / noise.norm() * weight.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_are_those_of_an_svd_to_the_error_of_the_gram_matrix(shape):
    weight = matrix(shape)
    expected = np.linalg.svd(weight.numpy(), compute_uv=False)
    # Eigenvalues s² are exact to a few n·eps·s_max²; ds = d(s²) / 2s.
    error = len(expected) * np.finfo(float).eps * expected[0] ** 2 / expected
    assert (np.abs(spectrum(weight, 8).values[0].numpy() - expected) <= error).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 5])
def test_shift_and_angles_are_those_of_full_svds(shape, rank):
    before, after = matrix(shape), nudge(matrix(shape))
    u0, s0, v0 = np.linalg.svd(before.numpy(), full_matrices=False)
    u1, s1, v1 = np.linalg.svd(after.numpy(), full_matrices=False)
    found = drift(spectrum(before, rank), spectrum(after, rank))
    assert found.nss == pytest.approx(np.linalg.norm(s1 - s0) / np.linalg.norm(s0), rel=1e-9)
    left = np.degrees(scipy.linalg.subspace_angles(u0[:, :rank], u1[:, :rank]))
    right = np.degrees(scipy.linalg.subspace_angles(v0[:rank].T, v1[:rank].T))
    expected = [left.max(), left.mean(), right.max(), right.mean()]
    assert astuple(found)[1:] == pytest.approx(expected, rel=1e-7)
    # The largest angle also from the projectors: ‖P − P₀‖₂ = sin θ_max.
    projectors = [u[:, :rank] @ u[:, :rank].T for u in (u0, u1)]
    assert np.sin(np.radians(found.angle_left)) == pytest.approx(
        np.linalg.norm(projectors[1] - projectors[0], 2), rel=1e-7
    )


def test_an_angle_that_is_known():
    before = torch.diag(torch.tensor([2.0, 1.0, 0.5, 0.1], dtype=torch.float64))
    turn = torch.eye(4, dtype=torch.float64)
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    turn[1:3, 1:3] = torch.tensor([[c, -s], [s, c]])
    found = drift(spectrum(before, 2), spectrum(turn @ before, 2))
    assert astuple(found) == pytest.approx((0.0, 30.0, 15.0, 0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_rotating_both_sides_of_both_matrices_changes_nothing(shape):
    before, after = matrix(shape), nudge(matrix(shape))
    rng = np.random.default_rng(3)
    left, right = (torch.from_numpy(np.linalg.qr(rng.standard_normal((n, n)))[0]) for n in shape)
    plain = drift(spectrum(before, 4), spectrum(after, 4))
    rotated = drift(spectrum(left @ before @ right, 4), spectrum(left @ after @ right, 4))
    assert astuple(rotated) == pytest.approx(astuple(plain), rel=1e-7)


def test_transposing_swaps_left_and_right():
    before, after = matrix((40, 24)), nudge(matrix((40, 24)))
    plain = drift(spectrum(before, 4), spectrum(after, 4))
    transposed = drift(spectrum(before.T, 4), spectrum(after.T, 4))
    assert (transposed.angle_left, transposed.angle_right) == pytest.approx(
        (plain.angle_right, plain.angle_left), rel=1e-9
    )


def test_blocks_of_rows_give_what_one_block_gives(monkeypatch):
    before, after = matrix((40, 24)), nudge(matrix((40, 24)))

    def measure():
        return spectral_shift(before, spectrum(before, 4), after, 4, 3, generator)

    whole = measure()
    monkeypatch.setattr("rlvr.diagnostics.spectral._BLOCK", 7 * 24)
    for one, many in zip(astuple(whole), astuple(measure()), strict=True):
        assert many == pytest.approx(one, rel=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_null_is_the_mean_and_sd_over_gaussian_updates_of_the_same_norm(shape):
    before, after = matrix(shape), nudge(matrix(shape))
    shift = spectral_shift(before, spectrum(before, 4), after, 4, 3, generator)
    values, angles = [], []
    drawn = generator().standard_normal((max(shape), 3, min(shape)))
    for noise in drawn.swapaxes(0, 1):
        update = noise * np.linalg.norm((after - before).numpy()) / np.linalg.norm(noise)
        null = before.numpy() + (update if shape[0] >= shape[1] else update.T)
        u0, s0, _ = np.linalg.svd(before.numpy())
        u1, s1, _ = np.linalg.svd(null)
        values.append(np.linalg.norm(s1 - s0) / np.linalg.norm(s0))
        angles.append(np.degrees(scipy.linalg.subspace_angles(u0[:, :4], u1[:, :4])).max())
    assert (shift.nss.null, shift.nss.null_sd) == pytest.approx(
        (np.mean(values), np.std(values, ddof=1)), rel=1e-7
    )
    assert (shift.angle_left.null, shift.angle_left.null_sd) == pytest.approx(
        (np.mean(angles), np.std(angles, ddof=1)), rel=1e-6
    )
    assert shift.nss.ratio == shift.nss.observed / shift.nss.null


def test_an_isotropic_update_is_like_its_null_and_an_update_along_the_top_directions_is_not():
    before = matrix((48, 32))
    u, _, v = np.linalg.svd(before.numpy())
    along = before + 0.02 * torch.from_numpy(
        np.outer(u[:, 0], v[0])
    )  # makes the top value larger, turns nothing
    start = spectrum(before, 4)
    isotropic = spectral_shift(before, start, nudge(before, seed=9), 4, 40, generator)
    for name in ("nss", "angle_left", "angle_right"):
        measure = getattr(isotropic, name)
        assert abs(measure.observed - measure.null) < 4 * measure.null_sd
    principal = spectral_shift(before, start, along, 4, 4, generator)
    assert principal.nss.observed == pytest.approx(0.02 / before.norm().item(), rel=1e-9)
    assert principal.nss.ratio > 1.5
    assert principal.angle_left.ratio < 1e-5


def test_no_update_has_no_shift_and_no_null():
    before = matrix((24, 40))
    shift = spectral_shift(before, spectrum(before, 4), before.clone(), 4, 3, generator)
    for measure in (
        shift.nss,
        shift.angle_left,
        shift.angle_left_mean,
        shift.angle_right,
        shift.angle_right_mean,
    ):
        assert measure.observed == 0.0
        assert np.isnan([measure.null, measure.null_sd, measure.ratio]).all()


def test_one_draw_has_a_mean_but_no_deviation():
    before = matrix((24, 40))
    shift = spectral_shift(before, spectrum(before, 4), nudge(before), 4, 1, generator)
    assert shift.nss.null > 0
    assert np.isnan(shift.nss.null_sd)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stored_weights_are_measured_in_float64(dtype):
    before, after = matrix((40, 24)).to(dtype), nudge(matrix((40, 24))).to(dtype)
    s0, s1 = (np.linalg.svd(weight.double().numpy(), compute_uv=False) for weight in (before, after))
    found = drift(spectrum(before, 4), spectrum(after, 4))
    assert found.nss == pytest.approx(np.linalg.norm(s1 - s0) / np.linalg.norm(s0), rel=1e-9)
    assert update_norm(before, after) == pytest.approx(
        (after.double() - before.double()).norm().item(), rel=1e-12
    )


def test_what_is_not_defined_is_nan():
    rank_one = torch.outer(torch.arange(1.0, 7.0), torch.arange(1.0, 5.0)).double()
    found = drift(spectrum(rank_one, 2), spectrum(nudge(rank_one), 2))  # it has no two top directions
    assert found.nss > 0
    assert np.isnan(astuple(found)[1:]).all()
    zero = torch.zeros(6, 4)
    assert np.isnan(astuple(drift(spectrum(zero, 2), spectrum(rank_one, 2)))).all()
    row = torch.ones(1, 5)
    assert top_rank((1, 5), 8) == 0
    assert np.isnan(drift(spectrum(row, 8), spectrum(2 * row, 8)).angle_left)
    assert AgainstNull(1.0, 0.0, 0.0).ratio != AgainstNull(1.0, 0.0, 0.0).ratio


def test_draws_differ_and_the_same_stream_gives_the_same_null():
    before = matrix((24, 16))
    start = spectrum(before, 4)
    first = isotropic_drifts(before, start, 0.1, 4, 2, generator)
    assert first[0] != first[1]
    assert first == isotropic_drifts(before, start, 0.1, 4, 2, generator)


@pytest.mark.parametrize("degrees", [1e-9, 1e-3, 44.0, 46.0, 90.0])
def test_angles_keep_their_digits_from_tiny_to_right(degrees):
    turn = np.radians(degrees)
    before, after = torch.zeros(5, 2).double(), torch.zeros(5, 2).double()
    before[0, 0] = before[1, 1] = after[1, 1] = 1.0
    after[0, 0], after[2, 0] = np.cos(turn), np.sin(turn)
    assert principal_angles(before, after).tolist() == pytest.approx([0.0, degrees], rel=1e-12)
