"""How much two results may differ and still be equal within rounding: one fixed number for each dtype.

The tolerance is √u, u the unit roundoff of the dtype that was computed in. A sum of n products has a relative
error of at most n·u, and of about √n·u if its roundings are independent (Higham & Mary 2019, "A new approach
to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5)). The first bound says nothing beyond
n = 1/u, and at that length the second is √u: no sum that has a certain digit may differ by more. Half of the
digits agree then.
"""

from collections.abc import Iterable
from math import sqrt

from rlvr.precision import DtypeName, PrecisionMode

UNIT_ROUNDOFF: dict[DtypeName, float] = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def tolerance(dtypes: Iterable[DtypeName]) -> float:
    """√u of the coarsest of some dtypes: 2.4e-4 for float32, 0.022 for float16, 0.063 for bfloat16."""
    return sqrt(max(UNIT_ROUNDOFF[dtype] for dtype in dtypes))


def training_tolerance(mode: PrecisionMode) -> float:
    """The tolerance of what a mode trains: that of the coarsest dtype a step goes through."""
    return tolerance((mode.master, mode.optimizer_state, mode.compute, mode.reduce, mode.rollout))
