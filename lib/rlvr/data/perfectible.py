"""Which training problems a sound algorithm must learn to solve: those that the base policy solves sometimes.

The sanity test of Qi et al. 2025, "Defeating the Training-Inference Mismatch via FP16" (arXiv:2510.26788): a
problem that is never solved gives no signal, and one that is always solved has nothing to teach. On what is
left, training accuracy must approach 1, so a run that stalls or collapses is at fault itself, not its data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlvr.config.precision import PerfectibleConfig
from rlvr.errors import UserError


@dataclass(frozen=True)
class PerfectibleSet:
    """Places of the kept problems, in order, and how many were left out because of which bound.

    `accuracy`: mean share of right responses over all sampled problems; `accuracy_kept`: over the kept ones.
    """

    kept: tuple[int, ...]
    too_hard: int
    too_easy: int
    accuracy: float
    accuracy_kept: float


@dataclass(frozen=True)
class PerfectibleEntry:
    """What the manifest says of the set: problems = kept + too_hard + too_easy + too_long.

    `too_long`: prompts that leave no room for a response, which no run trains on. `lowest` and `highest`
    bound the share of right responses out of `samples`, both inclusive. Accuracies are shares in [0, 1];
    `sha256` is that of the file of kept problems.
    """

    problems: int
    kept: int
    too_hard: int
    too_easy: int
    too_long: int
    samples: int
    lowest: float
    highest: float
    seed: int
    accuracy: float
    accuracy_kept: float
    sha256: str
    role: Literal["perfectible"] = "perfectible"


def choose_perfectible(right: Sequence[int], config: PerfectibleConfig) -> PerfectibleSet:
    """Keep what lies within the bounds, from the right responses (out of `config.samples`) of each problem.

    UserError if nothing does.
    """
    # A share of whole numbers and a decimal bound that are equal are the same float64: both are the nearest
    # one to the same number.
    shares = [count / config.samples for count in right]
    kept = tuple(place for place, share in enumerate(shares) if config.lowest <= share <= config.highest)
    too_hard = sum(share < config.lowest for share in shares)
    too_easy = sum(share > config.highest for share in shares)
    if not kept:
        raise UserError(
            f"precision.perfectible: the base solves none of {len(shares)} training problems in "
            f"{100 * config.lowest:g} to {100 * config.highest:g} % of {config.samples} samples "
            f"({too_hard} less often, {too_easy} more often); widen lowest and highest, or start from "
            "another base or data set"
        )
    accuracy_kept = sum(shares[place] for place in kept) / len(kept)
    return PerfectibleSet(kept, too_hard, too_easy, sum(shares) / len(shares), accuracy_kept)
