"""The share of a policy's weights that a step can move, in each mode's storage dtype."""

from rlvr.plan.study import StudyToPlan
from rlvr.plan.warnings import normal_movable_fraction

# Larger files are not read for a plan.
MOST_BYTES = 10**9


def movable_shares(study: StudyToPlan) -> tuple[dict[str, float], bool]:
    """The share by mode, and whether it was measured on the policy's weights.

    Measured where the policy is on this machine and small; else estimated, see `normal_movable_fraction`.
    """
    folder = study.policy.folder
    files = list(folder.glob("*.safetensors")) if folder else []
    if folder is None or not files or sum(file.stat().st_size for file in files) > MOST_BYTES:
        rate = study.learning_rate
        return {mode.name: normal_movable_fraction(rate, mode.master) for mode in study.modes}, False
    from rlvr.diagnostics.sparsity import movable_fraction
    from rlvr.models.weights import read_weights
    from rlvr.precision import torch_dtype

    weights = dict(read_weights(folder))
    shares: dict[str, float] = {}
    for mode in study.modes:
        stored = {name: weight.to(torch_dtype(mode.master)) for name, weight in weights.items()}
        shares[mode.name] = movable_fraction(stored, study.learning_rate)
    return shares, True
