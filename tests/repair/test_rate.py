import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr.repair.rate import success_rate

TARGET = (0.1, 0.4)


def test_four_of_fifteen_is_undecided():
    """Wilson's interval by hand: (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959964."""
    rate = success_rate(15, 4, 0.95, TARGET)
    p, n, z = 4 / 15, 15, 1.959964
    centre, scale = p + z**2 / (2 * n), 1 + z**2 / n
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    assert (rate.low, rate.high) == pytest.approx(
        ((centre - half) / scale, (centre + half) / scale), abs=1e-6
    )
    assert (round(rate.low, 3), round(rate.high, 3)) == (0.109, 0.520)
    assert rate.rate == pytest.approx(0.2667, abs=1e-4) and rate.verdict == "undecided"


@pytest.mark.parametrize(
    ("runs", "passed", "verdict"),
    [(60, 15, "inside"), (100, 60, "outside"), (200, 2, "outside"), (15, 15, "outside"), (1, 0, "undecided")],
)
def test_a_verdict_needs_the_whole_interval(runs, passed, verdict):
    assert success_rate(runs, passed, 0.95, TARGET).verdict == verdict


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_the_interval_holds_the_rate_and_narrows_with_less_confidence(counts):
    wide, narrow = (success_rate(*counts, level, TARGET) for level in (0.95, 0.8))
    ends = [0, wide.low, narrow.low, narrow.rate, narrow.high, wide.high, 1]
    assert ends == pytest.approx(sorted(ends), abs=1e-12)  # in order, but for rounding at 0 and 1
