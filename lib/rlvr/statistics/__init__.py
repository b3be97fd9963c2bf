"""Tests, intervals, power, variance components and verdict rules of the studies."""

from rlvr.statistics.components import VarianceComponents, split_half_components, within_group_components
from rlvr.statistics.equivalence import (
    EquivalenceResult,
    MeanInterval,
    equivalence_test,
    mean_interval,
    welch_greater,
)
from rlvr.statistics.power import (
    equivalence_power,
    minimal_detectable_variance_ratio,
    permutation_detectable_variance_ratio,
)
from rlvr.statistics.variance import (
    PermutationResult,
    RatioInterval,
    TestResult,
    brown_forsythe_one_sided,
    pooled_variance_ratio_interval,
    variance_ratio_interval,
    variance_ratio_permutation_test,
)
from rlvr.statistics.verdicts import (
    agreeing_verdict,
    either_verdict,
    equivalence_verdict,
    holm,
    more_variable_verdict,
)

__all__ = [
    "EquivalenceResult",
    "MeanInterval",
    "PermutationResult",
    "RatioInterval",
    "TestResult",
    "VarianceComponents",
    "agreeing_verdict",
    "brown_forsythe_one_sided",
    "either_verdict",
    "equivalence_power",
    "equivalence_test",
    "equivalence_verdict",
    "holm",
    "mean_interval",
    "minimal_detectable_variance_ratio",
    "more_variable_verdict",
    "permutation_detectable_variance_ratio",
    "pooled_variance_ratio_interval",
    "split_half_components",
    "variance_ratio_interval",
    "variance_ratio_permutation_test",
    "welch_greater",
    "within_group_components",
]
