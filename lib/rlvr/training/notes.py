"""What the report must say about a run, in plain sentences: factors that cannot act, prompts left out."""

from collections.abc import Mapping, Sequence

import torch

from rlvr.config.precision import GrpoConfig
from rlvr.precision import PrecisionMode
from rlvr.training.metrics import Row

# Log-probabilities this near are equal but for the rounding of fp32: weights of 1.00001 do nothing.
NO_MISMATCH = 1e-5
# With fewer microbatches order cannot matter: a + b and b + a are the same number.
FEWEST_REORDERED = 3


def notes(
    mode: PrecisionMode,
    inert: Mapping[str, str],
    metrics: Sequence[Row],
    prompts: Mapping[str, int],
) -> list[str]:
    """Every note on a finished run; `inert`: see `inert_factors`."""
    found = list(dict.fromkeys(inert.values()))
    if skipped := sum(row["updates_skipped"] for row in metrics):
        found.append(
            f"{mode.name}: updates were skipped because the scaled gradient overflowed float16 "
            f"(in one run {skipped} of {sum(row['updates'] for row in metrics)})."
        )
    if prompts["too_long"]:
        found.append(
            f"{prompts['too_long']} training prompts of more than {prompts['room']} tokens were left out."
        )
    return found


def inert_factors(
    mode: PrecisionMode, device: torch.device, config: GrpoConfig, metrics: Sequence[Row]
) -> dict[str, str]:
    """Factors of the mode that can make no difference in this run, by name, and why."""
    found = {}
    if not mode.deterministic and device.type == "cpu":
        found["deterministic"] = (
            f"{mode.name} allows non-deterministic kernels; on a CPU there are none, "
            "so a repeat of a seed is identical unless the mode adds a noise of its own."
        )
    rows = -(-config.prompts_per_step // config.minibatches) * config.group_size
    microbatches = -(-rows // config.microbatch_size)
    by_rows = (
        config.trainer.microbatch_tokens is None
    )  # how many hold so many tokens differs from step to step
    if mode.shuffle_reduction and by_rows and microbatches < FEWEST_REORDERED:
        found["shuffle_reduction"] = (
            f"{mode.name} adds up microbatches in random order, but an update has at most {microbatches} "
            f"here, and the order of fewer than {FEWEST_REORDERED} cannot matter: the factor does nothing "
            "(precision.training.microbatch_size decides)."
        )
    differ = any(row["logprob_mismatch_max"] > NO_MISMATCH for row in metrics)
    if mode.importance_cap is not None and not differ:
        found["importance_cap"] = found["importance_level"] = (
            f"{mode.name} corrects for a difference between engine and trainer, but their log-probabilities "
            "were equal up to rounding in every step: every importance weight was 1."
        )
    return found
