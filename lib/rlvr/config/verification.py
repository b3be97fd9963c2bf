"""Section `verification`: the pool that judges answers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VerificationConfig:
    """Worker processes, and seconds one of them may take for an answer before it is killed."""

    workers: int
    time_limit_s: float
