import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.repair.checks import check_array, check_dropped, check_identity, check_variance, variance_error
from rlvr.repair.inputs import Case, hidden_identity_cases, hidden_training_cases, published_cases
from rlvr.repair.secret import hidden_seed
from rlvr.repair.task import RATES, SHAPE
from rlvr.repair.variance_table import ALL_RATES, theoretical_variance_error, variance_rows

STATE = (np.zeros(624, dtype=np.uint32), 0, 0, 0.0)


def make_case(rate=0.5, training=True, shape=(400, 50), seed=0):
    return Case(rate, training, np.random.default_rng(seed).standard_normal(shape), STATE)


def dropped(case, scale):
    mask = np.random.default_rng(1).random(case.inputs.shape) >= case.rate
    return case.inputs * mask * scale


def test_published_inputs_are_one_stream_of_the_layer_and_its_inputs():
    stream = np.random.RandomState(42)
    for rate, case in zip(RATES, published_cases(), strict=True):
        assert np.array_equal(case.inputs, stream.randn(*SHAPE)) and case.rate == rate
        drawn = np.random.RandomState()
        drawn.set_state(("MT19937", *case.state))
        mask = stream.binomial(1, 1 - rate, size=SHAPE)
        assert np.array_equal(drawn.binomial(1, 1 - rate, size=SHAPE), mask)


def test_hidden_inputs_are_fixed_by_secret_and_submission():
    seeds = [hidden_seed(*pair) for pair in ((b"s", b"x"), (b"s", b"x"), (b"s", b"y"), (b"t", b"x"))]
    one, again, other_text, other_secret = map(hidden_training_cases, seeds)
    assert [case.rate for case in one] == [case.rate for case in again]
    assert all(np.array_equal(*(case.inputs for case in pair)) for pair in zip(one, again, strict=True))
    for other in (other_text, other_secret):
        assert not np.array_equal(one[0].inputs, other[0].inputs) and one[-1].rate != other[-1].rate
    assert [case.inputs.shape for case in one[:3]] == [SHAPE] * 3
    assert one[-1].inputs.shape != SHAPE and 0.25 <= one[-1].rate <= 0.75
    identity, repeated = hidden_identity_cases(seeds[0]), hidden_identity_cases(seeds[1])
    assert np.array_equal(identity.rate_zero.inputs, repeated.rate_zero.inputs)
    assert not any(case.training for case in identity.evaluation) and identity.rate_zero.rate == 0.0


@given(rate=st.floats(0.05, 0.9), factor=st.floats(0.5, 3.0))
def test_variance_error_of_a_scale_follows_from_that_of_another(rate, factor):
    case = make_case(rate)
    one, other = (variance_error(case.inputs, dropped(case, scale)) for scale in (1.0, factor))
    assert other + 1 == pytest.approx(factor**2 * (one + 1), rel=1e-9)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_only_the_right_scale_passes_and_the_share_is_checked(rate):
    case = make_case(rate, shape=(4000, 100))
    right = dropped(case, (1 - rate) ** -0.5)
    assert check_variance(case, right)[0].passed and check_dropped(case, right).passed
    assert not check_variance(case, dropped(case, 1 / (1 - rate)))[0].passed
    assert not check_dropped(make_case(rate + 0.02, shape=(4000, 100)), right).passed


def test_kept_units_must_carry_their_inputs():
    case = make_case(shape=(4000, 100))
    right = dropped(case, 2**0.5)
    noise = np.where(right != 0, np.random.default_rng(3).standard_normal(right.shape) * 2**0.5, 0.0)
    flipped = right * np.where(np.random.default_rng(4).random(right.shape) < 0.5, -1, 1)
    assert check_dropped(case, right).passed
    assert not check_dropped(case, noise).passed and not check_dropped(case, flipped).passed
    assert not check_dropped(case, -right).passed


def test_identity_forgives_rounding_and_nothing_more():
    case = make_case(training=False)
    assert check_identity(case, case.inputs * (1 + 1e-9)).passed
    assert not check_identity(case, case.inputs * 1.001).passed
    assert check_identity(case, case.inputs * 1.001).kind == "evaluation"
    assert check_identity(make_case(rate=0.0), case.inputs * 0).kind == "rate_zero"


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float32),
        lambda x: x[:-1],
        lambda x: x.reshape(-1),
        lambda x: np.where(x == x[0, 0], np.nan, x),
        lambda x: np.where(x == x[0, 0], np.inf, x),
        lambda x: x.astype(object),
        np.ma.masked_array,
        lambda x: x.tolist(),
        lambda x: None,
    ],
)
def test_anything_but_a_finite_array_of_the_same_form_is_refused(change):
    case = make_case(shape=(20, 10))
    assert check_array(case, case.inputs.copy()) is None
    assert check_array(case, change(case.inputs)).kind == "output"


def test_theory_is_what_the_issue_states_and_the_measurement_agrees():
    bug = [100 * theoretical_variance_error(1 / keep, keep) for keep in (0.7, 0.5, 0.3)]
    assert bug == pytest.approx([42.857, 100, 233.333], abs=1e-3)
    rows = list(variance_rows())
    assert [row.rate for row in rows] == [*ALL_RATES] * 3
    for row in rows:
        # The standard error of the mean of y² over 1.28 million units, for the widest of these distributions.
        tolerance = 5 * (row.theory + 1) * (3 / (1 - row.rate)) ** 0.5 * 1.28e6**-0.5
        assert row.measured == pytest.approx(row.theory, abs=tolerance)
    offset = [row for row in rows if row.mean == 1.0]
    assert [row.theory for row in offset] == pytest.approx(ALL_RATES)
