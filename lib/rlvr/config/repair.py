"""Section `repair`: who attempts the repair task, how often, and how the success rate is judged."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RepairConfig:
    """The calibration of the repair environment.

    `solver` and `model` (a policy's folder or a model's name; "" for `mutations`) are named in every result.
    `base_url`: server of the API solvers, "" for their own. An attempt has at most `turns` replies of at most
    `max_tokens` tokens. `time_limit_s`: seconds of one grading. The Wilson interval has level `confidence`;
    the success rate should lie in `target`.
    """

    solver: Literal["mutations", "engine", "anthropic", "openai-compatible"]
    model: str
    revision: str
    base_url: str
    runs: int
    seed: int
    turns: int
    max_tokens: int
    temperature: float
    time_limit_s: float
    confidence: float
    target: tuple[float, float]
