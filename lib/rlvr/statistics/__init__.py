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
    equivalence_detectable_margin,
    equivalence_power,
    greater_detectable_difference,
    greater_power,
    minimal_detectable_variance_ratio,
    permutation_detectable_variance_ratio,
    variance_test_power,
)
from rlvr.statistics.ratio_interval import permutation_variance_ratio_interval
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
    "equivalence_detectable_margin",
    "equivalence_power",
    "equivalence_test",
    "equivalence_verdict",
    "greater_detectable_difference",
    "greater_power",
    "holm",
    "mean_interval",
    "minimal_detectable_variance_ratio",
    "more_variable_verdict",
    "permutation_detectable_variance_ratio",
    "permutation_variance_ratio_interval",
    "pooled_variance_ratio_interval",
    "split_half_components",
    "variance_ratio_interval",
    "variance_ratio_permutation_test",
    "variance_test_power",
    "welch_greater",
    "within_group_components",
]
