"""The mean of the spectral measures that figure and table share. Light: it imports no matplotlib."""

import numpy as np
import pandas as pd

from rlvr.analysis.mechanism import SPECTRAL


def spectral_ratios(geometry: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Each ratio of `SPECTRAL` to its isotropic null by `keys`: the geometric mean over matrices.

    Tensors without the ratio (vectors, matrices that did not change) are passed over; NaN where there is no
    other.
    """
    logs = pd.DataFrame(np.log(geometry[list(SPECTRAL)]))
    return pd.DataFrame(np.exp(logs.groupby([geometry[key] for key in keys]).mean()))
