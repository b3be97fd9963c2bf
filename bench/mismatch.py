"""Log-probability mismatch between rollout engine and trainer in fp32, bf16 and fp16, on the tiny policy.

    python bench/mismatch.py [--policy results/default/base/policy] [--configfile config.yaml]

Both sides have the same weights, cast to the same dtype, and score the same tokens: what the engine sampled
at temperature 1 from training problems. The engine prefills and then takes one token at a time from the
key-value cache, the trainer runs over whole responses. Attention is that of

package   the package's own choice: on a CPU explicit in 16-bit dtypes, fused in fp32
explicit  the textbook form on both sides
fused     torch's fused kernel on both sides
mixed     the textbook form in the engine, the fused kernel in the trainer

Without --policy the base policy of the config is trained first, which takes a minute or so.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.build import build
from rlvr.config.load import load_config
from rlvr.config.policy import TinyPolicyConfig
from rlvr.data.families import family_problems
from rlvr.data.problem import Problem
from rlvr.models import decoder
from rlvr.models.attention import _attend_explicitly
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.policy import collate, get_response_log_probs
from rlvr.rollout.engine import Rollout, SamplingParams
from rlvr.rollout.judged import draw_rollouts
from rlvr.rollout.opening import open_engine
from rlvr.training.base import prepare_base_policy

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SAMPLES = 8
MICROBATCH = 256
# No ratio of mean differences is formed where no more than this share of the tokens has any.
FEWEST_DIFFERING = 0.01


@dataclass(frozen=True)
class Mismatch:
    """Of each response token: log π of the trainer minus log μ of the engine, in nats, and its problem."""

    differences: np.ndarray
    problems: np.ndarray

    @property
    def differing(self) -> float:
        """Share of the tokens whose log-probabilities are not equal."""
        return float((self.differences != 0).mean())

    @property
    def k3(self) -> np.ndarray:
        """Terms whose mean estimates KL(μ‖π) per token: r − 1 − log r with r = π/μ (Schulman 2020)."""
        return np.expm1(self.differences) - self.differences

    def sums(self, problems: int) -> np.ndarray:
        """Sum of absolute differences and number of tokens of each problem, (2, problems)."""
        sizes = np.bincount(self.problems, minlength=problems)
        return np.stack([np.bincount(self.problems, np.abs(self.differences), minlength=problems), sizes])


def fused(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: None) -> Tensor:
    """torch's own attention, whatever the dtype."""
    causal = mask is None
    return functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=causal, enable_gqa=True
    )


# Attention of engine and trainer.
COMPARISONS = {
    "package": (None, None),
    "explicit": (_attend_explicitly, _attend_explicitly),
    "fused": (fused, fused),
    "mixed": (_attend_explicitly, fused),
}


@contextmanager
def attention(form: Any) -> Iterator[None]:
    """Every decoder's attention is `form` meanwhile; None leaves the package's choice."""
    if form is None:
        yield
        return
    with patch.object(decoder, "attend", form):
        yield


def trainer_log_probs(folder: Path, dtype: torch.dtype, rollouts: Sequence[Rollout]) -> np.ndarray:
    """Log-probability of every sampled token, responses one after the other."""
    model = load_policy(folder, torch.float32, dtype)
    pad = load_tokenizer(folder).pad_token_id
    found = []
    for start in range(0, len(rollouts), MICROBATCH):
        rows = rollouts[start : start + MICROBATCH]
        batch = collate([row.prompt_ids for row in rows], [row.token_ids for row in rows], pad)
        with torch.no_grad():
            scores = get_response_log_probs(model, batch["input_ids"], batch["labels"])["log_probs"]
        found.append(scores[batch["response_mask"]].double().numpy())
    return np.concatenate(found)


def measure(
    forms: tuple[Any, Any], dtype: torch.dtype, folder: Path, problems: list[Problem], tokens: int
) -> Mismatch:
    """Sample with the engine and its form of attention, score with the trainer and its own."""
    engine_form, trainer_form = forms
    tokenizer, policy = load_tokenizer(folder), load_policy(folder, torch.float32, torch.float32)
    params = SamplingParams(max_tokens=tokens)
    with attention(engine_form), open_engine(policy, tokenizer, dtype, MICROBATCH) as engine:
        rollouts = draw_rollouts(problems, "plain", SAMPLES, params, engine, seed=0)
    with attention(trainer_form):
        trainer = trainer_log_probs(folder, dtype, rollouts)
    sampler = np.array(list(chain.from_iterable(rollout.log_probs for rollout in rollouts)))
    place = {problem.id: index for index, problem in enumerate(problems)}
    owners = [place[rollout.prompt_id] for rollout in rollouts for _ in rollout.token_ids]
    return Mismatch(trainer - sampler, np.array(owners))


def ratio_interval(
    first: Mismatch, second: Mismatch, problems: int, draws: int = 10_000
) -> tuple[float, float, float]:
    """Ratio of the mean absolute differences, and its 95 % percentile interval over resampled problems."""
    sums = np.stack([first.sums(problems), second.sums(problems)])
    weights = np.random.default_rng(0).multinomial(problems, np.full(problems, 1 / problems), size=draws)
    (first_sum, first_size), (second_sum, second_size) = sums @ weights.T
    resampled = (first_sum / first_size) / (second_sum / second_size)
    total = sums.sum(axis=2)
    ratio = (total[0, 0] / total[0, 1]) / (total[1, 0] / total[1, 1])
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(ratio), float(low), float(high)


def compare(kind: str, folder: Path, problems: list[Problem], tokens: int) -> None:
    print(f"\n{kind:13s} {'tokens':>7s} {'mean |d|':>10s} {'largest':>10s} {'k3':>10s} {'equal':>7s}")
    found = {
        name: measure(COMPARISONS[kind], dtype, folder, problems, tokens) for name, dtype in DTYPES.items()
    }
    for name, mismatch in found.items():
        size = np.abs(mismatch.differences)
        equal = f"{1 - mismatch.differing:.1%}"
        print(
            f"  {name:11s} {len(size):7d} {size.mean():10.2e} {size.max():10.2e} "
            f"{mismatch.k3.mean():10.2e} {equal:>7s}"
        )
    if all(found[name].differing > FEWEST_DIFFERING for name in ("bf16", "fp16")):
        ratio, low, high = ratio_interval(found["bf16"], found["fp16"], len(problems))
        print(f"  bf16 / fp16 of mean |d|: {ratio:.2g} (95 % interval {low:.2g} to {high:.2g})")
    else:
        print(f"  bf16 / fp16: none, since no more than {FEWEST_DIFFERING:.0%} of the tokens differ")


@contextmanager
def trained_policy(given: Path | None, config: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of a trained policy: the given one, or that of the config's base, trained meanwhile."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "policy"
        base = build(TinyPolicyConfig, config["base"])
        rest = folder.with_name("metrics.csv"), folder.with_name("checkpoints")
        prepare_base_policy(base, "", "cpu", folder, *rest)
        yield folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--policy", type=Path, help="folder of a trained policy (default: train the config's)"
    )
    parser.add_argument("--configfile", type=Path, default=Path(__file__).parents[1] / "config.yaml")
    parser.add_argument("--family", default="add", help="embedded family whose training problems are asked")
    parser.add_argument("--problems", type=int, default=512)
    arguments = parser.parse_args()
    config = load_config(arguments.configfile)
    tokens = config["precision"]["training"]["sampling"]["max_tokens"]
    problems = family_problems(arguments.family, "train")[: arguments.problems]
    with trained_policy(arguments.policy, config) as folder:
        configure_arithmetic(1, deterministic=True, seed=0)
        for kind in COMPARISONS:
            compare(kind, folder, problems, tokens)


if __name__ == "__main__":
    main()
