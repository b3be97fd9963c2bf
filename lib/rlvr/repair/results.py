"""The figures of a calibration, as plain records."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from rlvr.config.repair import RepairConfig
from rlvr.repair.rate import SuccessRate, success_rate
from rlvr.repair.record import AttemptRecord
from rlvr.repair.task import RATES


@dataclass(frozen=True)
class Calibration:
    """The attempts of one setting, in order of their numbers."""

    config: RepairConfig
    attempts: tuple[AttemptRecord, ...]

    @property
    def rate(self) -> SuccessRate:
        """The success rate with its interval and verdict."""
        passed = sum(attempt.passed for attempt in self.attempts)
        return success_rate(len(self.attempts), passed, self.config.confidence, self.config.target)

    @property
    def failures(self) -> dict[str, int]:
        """Failed attempts by kind, the most frequent first."""
        counts = Counter(attempt.kind for attempt in self.attempts if not attempt.passed)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def variance_errors(self, rate: float) -> list[float]:
        """Signed relative errors of the variance at a drop rate, of the attempts where it was measured."""
        key = f"{rate:g}"
        return [a.variance_errors[key] for a in self.attempts if key in a.variance_errors]


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """Count, smallest, quartiles (inclusive) and largest of some values; None where there are none."""
    if not values:
        return {"count": 0, "min": None, "q1": None, "median": None, "q3": None, "max": None}
    several = len(values) > 1
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if several else [values[0]] * 3
    q1, median, q3 = quartiles
    return {
        "count": len(values), "min": min(values), "q1": q1, "median": median, "q3": q3, "max": max(values),
    }  # fmt: skip


def _server(base_url: str) -> str:
    """Host and port of an address; a name or password in it stays out of the results."""
    parts = urlsplit(base_url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""


def result_record(calibration: Calibration) -> dict[str, Any]:
    """validation_results.json: only `timings` differs between two runs of the same setting."""
    config, attempts = calibration.config, calibration.attempts
    settings = ("seed", "turns", "max_tokens", "temperature", "time_limit_s")
    return {
        "solver": {
            "name": config.solver,
            "model": config.model,
            "server": _server(config.base_url),
            **{key: getattr(config, key) for key in settings},
        },
        "confidence": config.confidence,
        "target": list(config.target),
        **asdict(calibration.rate),
        "failures": calibration.failures,
        "variance_errors": {f"{rate:g}": spread(calibration.variance_errors(rate)) for rate in RATES},
        "attempts": [_attempt(attempt) for attempt in attempts],
        "timings": {
            "grading_seconds": spread([attempt.grading_seconds for attempt in attempts]),
            "attempts": [
                {key: getattr(attempt, key) for key in ("number", "solving_seconds", "grading_seconds")}
                for attempt in attempts
            ],
        },
    }


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    plain = asdict(attempt)
    left_out = ("turns", "solving_seconds", "grading_seconds")
    return {key: value for key, value in plain.items() if key not in left_out} | {"turns": len(attempt.turns)}
