"""Section `verification`, as far as it decides verdicts: the number of workers does not."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class VerificationConfig:
    """Limits of one answer or program, and how well programs must be locked in (`rlvr.verify.sandbox`)."""

    time_limit_s: float
    memory_mb: int
    require_isolation: Literal["any", "strong"]
