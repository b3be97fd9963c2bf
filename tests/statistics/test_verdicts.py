import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from rlvr.statistics.verdicts import (
    agreeing_verdict,
    either_verdict,
    equivalence_verdict,
    holm,
    more_variable_verdict,
)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_equals_statsmodels(pvalues):
    assert holm(pvalues) == multipletests(pvalues, method="holm")[1].tolist()


@pytest.mark.parametrize(
    ("pvalue", "low", "high", "verdict"),
    [
        (0.05, -1.0, 1.5, "supported"),
        (0.051, -1.0, 2.5, "inconclusive"),
        (1.0, 2.1, 4.0, "refuted"),
        (1.0, -4.0, -2.1, "refuted"),
        (1.0, 1.9, 4.0, "inconclusive"),
    ],
)
def test_equivalence_rule(pvalue, low, high, verdict):
    assert equivalence_verdict(pvalue, low, high, margin=2.0, alpha=0.05) == verdict


@pytest.mark.parametrize(
    ("pvalue", "upper", "verdict"),
    [
        (0.05, 100.0, "supported"),
        (0.2, 1.99, "refuted"),
        (0.2, 2.0, "inconclusive"),
        (0.2, None, "inconclusive"),
    ],
)
def test_more_variable_rule(pvalue, upper, verdict):
    assert more_variable_verdict(pvalue, upper, smallest_ratio=2.0, alpha=0.05) == verdict


def test_combining_parts():
    assert either_verdict(["refuted", "supported"]) == "supported"
    assert either_verdict(["refuted", "refuted"]) == "refuted"
    assert either_verdict(["refuted", "inconclusive"]) == "inconclusive"
    assert agreeing_verdict(["supported", "supported"]) == "supported"
    assert agreeing_verdict(["refuted", "supported"]) == "inconclusive"


def test_statistics_and_analysis_need_no_torch():
    packages = "rlvr.statistics, rlvr.analysis.study, rlvr.figures.draw, rlvr.report.precision"
    code = f"import sys, {packages}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
