"""A short calibration of the embedded solver."""

from rlvr.config.repair import RepairConfig

MUTATIONS = RepairConfig(
    solver="mutations", model="", revision="", base_url="", runs=6, seed=3, turns=3, max_tokens=64,
    temperature=1.0, time_limit_s=4.0, confidence=0.95,
    target=(0.1, 0.4),
)  # fmt: skip
