"""pass@k and standard errors against enumeration and simulation."""

from itertools import combinations

import numpy as np
import pytest

from rlvr.evaluation import pass_at_k
from rlvr.evaluation.estimators import accuracy_halves, clustered_mean, sampling_error


@pytest.mark.parametrize(("n", "c", "k"), [(5, 0, 2), (5, 2, 1), (5, 2, 3), (6, 6, 4), (6, 1, 6), (7, 3, 5)])
def test_pass_at_k_by_enumeration(n, c, k):
    subsets = list(combinations(range(n), k))
    hits = sum(any(sample < c for sample in subset) for subset in subsets)
    assert pass_at_k(n, c, k) == pytest.approx(hits / len(subsets))


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_refuses_what_has_no_meaning(n, c, k):
    with pytest.raises(ValueError, match="pass@k needs"):
        pass_at_k(n, c, k)


def test_sampling_error_is_that_of_simulation():
    generator = np.random.default_rng(0)
    rates = generator.random(40)
    draws = generator.random((4000, 40, 6)) < rates[:, None]
    true_error = draws.mean(axis=(1, 2)).std()
    estimates = [sampling_error(correct) ** 2 for correct in draws[:500]]
    assert np.sqrt(np.mean(estimates)) == pytest.approx(true_error, rel=0.05)
    assert sampling_error(draws[0][:, :1]) is None


def test_clustered_mean_and_halves():
    assert clustered_mean([0.0, 1.0, 1.0, 0.0]) == (0.5, pytest.approx(np.sqrt(1 / 3) / 2))
    assert clustered_mean([0.25]) == (0.25, None)
    correct = np.array([[1, 0, 1, 0], [1, 1, 1, 0]], dtype=bool)
    assert accuracy_halves(correct) == (1.0, 0.25)
    assert accuracy_halves(correct[:, :1]) is None
