"""The records that an evaluation writes and the analysis reads."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from rlvr.config.build import build
from rlvr.files import read_json, write_json


@dataclass(frozen=True)
class RunLabel:
    """Which policy was evaluated: arm (a mode, an external arm, or "base"), training seed and repeat."""

    arm: str
    seed: int
    rep: int


@dataclass(frozen=True)
class TaskResult:
    """Accuracy on one task; shares and standard errors are in [0, 1], not points.

    `accuracy` is avg@k over `problems` × `samples`. `accuracy_se_problems` is clustered by problem (for new
    problems), `accuracy_se_sampling` is for the same problems sampled anew. `accuracy_halves` are the
    accuracies of two disjoint halves of each problem's samples (None for one sample). `strata` gives the
    accuracy per `metadata["stratum"]`, where problems have one.
    """

    task: str
    problems: int
    samples: int
    accuracy: float
    accuracy_se_problems: float | None
    accuracy_se_sampling: float | None
    accuracy_halves: tuple[float, float] | None
    pass_at: dict[str, float]
    pass_at_se: dict[str, float | None]
    format_ok: float
    stopped: float
    response_tokens: float
    strata: dict[str, float]


@dataclass(frozen=True)
class KlResult:
    """KL(policy || base) per response in nats, sampled at temperature 1, with problem-clustered errors.

    `full`: full-vocabulary KL summed over tokens; `k1`, `k3`: the estimators of Schulman (2020) on the same
    responses.
    """

    task: str
    problems: int
    samples: int
    full: float
    full_se: float | None
    k1: float
    k1_se: float | None
    k3: float
    k3_se: float | None
    response_tokens: float


@dataclass(frozen=True)
class Snapshot:
    """One task's result of the policy as it was after `step` training steps, and its KL to the base.

    `scored` has the samples that every snapshot gets; at the last step they are the first ones of each
    problem in the whole evaluation, so that all checkpoints of a run have equally much sampling noise (not
    the same noise).
    """

    step: int
    scored: TaskResult
    kl: KlResult


@dataclass(frozen=True)
class WeightChange:
    """How far the weights moved from the base: the share equal in bf16 (`sparsity`), and |Δw| / |w|."""

    sparsity: float
    eta: float
    weights: int
    relative_change: float


@dataclass(frozen=True)
class SuiteResult:
    """One evaluation job: `{suite}.json`. `kl` and `weight_change` are empty for the base.

    `drift` has the snapshots of a run and its last step, task by task.
    """

    run: RunLabel
    suite: str
    weight_hash: str
    tasks: tuple[TaskResult, ...]
    kl: tuple[KlResult, ...]
    weight_change: WeightChange | None
    seconds: dict[str, float]
    drift: tuple[Snapshot, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote."""
        record: Any = read_json(path)
        return build(cls, record)
