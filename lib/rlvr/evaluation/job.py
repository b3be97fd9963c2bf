"""What one evaluation job is told."""

from dataclasses import dataclass

from rlvr.config.precision import EvaluationTaskConfig, KlConfig
from rlvr.config.rollout import RolloutConfig
from rlvr.config.verification import VerificationConfig


@dataclass(frozen=True)
class EvaluationJob:
    """Everything that decides an evaluation, besides its input files.

    `kl` and `sparsity_eta` are null for the base, which has no distance from itself. `steps` is the number of
    training steps behind the policy, null where it is not known here (base, external). `snapshot_samples` are
    drawn of each problem from a policy that is not the final one; null for the base, which has no snapshots.
    """

    arm: str
    seed: int
    rep: int
    suite: str
    tasks: dict[str, EvaluationTaskConfig]
    templates: dict[str, str]
    temperature: float
    top_p: float
    evaluation_seed: int
    samples_factor: int
    max_batch_rows: int
    rollout: RolloutConfig
    kl: KlConfig | None
    snapshot_samples: int | None
    sparsity_eta: float | None
    dtype: str
    steps: int | None
    device: str
    compute_threads: int
    verification: VerificationConfig


@dataclass(frozen=True)
class EvaluationFiles:
    """Inputs (`problems` one file a task, in the job's order), outputs, and the folder of checkpoints."""

    policy: str
    base: str | None
    problems: tuple[str, ...]
    result: str
    samples: str
    checkpoints: str
    kl: str | None = None
    snapshots: str | None = None
