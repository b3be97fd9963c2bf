"""What the freshness check of the vLLM engine sees, on a CPU: correct and stale engines, dtype by dtype.

    python bench/freshness.py     (in the environment of `make test-vllm`; some minutes)

The policy takes steps of a learning rate (the sign of a policy gradient, as large as AdamW's first steps).
Differences of log-probabilities between engine and policy, in nats, over the tokens of the check:

stale  one step ahead of the engine's weights
head   the engine has the new weights, but the output head of the step before (tied, and not packed anew)
fresh  the engine has the new weights
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.build import build
from rlvr.config.load import load_config
from rlvr.config.policy import TinyPolicyConfig
from rlvr.config.rollout import RolloutConfig, VllmConfig
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.policy import collate, get_response_log_probs
from rlvr.rollout import vllm_engine
from rlvr.rollout.engine import Rollout
from rlvr.rollout.freshness import Reference, differences
from rlvr.rollout.opening import open_engine
from rlvr.training.base import prepare_base_policy

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LEARNING_RATES = (1e-6, 1e-5, 1e-4)
STEPS = 4


class Recorder:
    """Stands for `check_fresh`, and keeps what it is given."""

    def __init__(self) -> None:
        self.rollouts: list[Rollout] = []
        self.found = torch.empty(0)

    def __call__(self, rollouts: list[Rollout], reference: Reference, tolerance: float) -> None:
        self.rollouts, self.found = rollouts, differences(rollouts, reference)


@contextmanager
def policies(small: bool) -> Iterator[Path]:
    """The base policy of config.yaml with heads of 32, trained less, or a random one of 8 layers of 512."""
    with tempfile.TemporaryDirectory() as name:
        section = load_config("config.yaml")["base"]
        if small:
            section["architecture"] |= {"heads": 2, "kv_heads": 1}
            section["sft"] |= {"steps": 200}
        else:
            section["architecture"] |= {
                "hidden_size": 512,
                "layers": 8,
                "heads": 8,
                "kv_heads": 4,
                "mlp_size": 1536,
            }
            section["sft"] |= {"steps": 1, "learning_rate": 1e-9}
        folder = Path(name)
        config = build(TinyPolicyConfig, section)
        prepare_base_policy(
            config, "", "cpu", folder / "policy", folder / "metrics.csv", folder / "checkpoints"
        )
        yield folder / "policy"


def take_step(model: nn.Module, rollouts: list[Rollout], pad_id: int, learning_rate: float) -> None:
    """Every weight moves by the learning rate, along random advantages of the rollouts."""
    tokens = collate([one.prompt_ids for one in rollouts], [one.token_ids for one in rollouts], pad_id)
    scores = get_response_log_probs(model, tokens["input_ids"], tokens["labels"])["log_probs"]
    advantages = torch.randn(len(rollouts), 1)
    model.zero_grad()
    (advantages * scores * tokens["response_mask"]).mean().backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(weight.grad.sign(), alpha=learning_rate)


def show(name: str, found: list[Tensor]) -> None:
    means = [float(one.mean()) for one in found]
    largest = max(float(one.max()) for one in found)
    print(
        f"{name:24} mean {min(means):.2g} to {max(means):.2g}   largest of a token {largest:.2g}", flush=True
    )


def measure(folder: Path, name: str, dtype: torch.dtype) -> None:
    """Walk by `STEPS` steps of each learning rate, and show what the check finds on the way."""
    tokenizer, model = load_tokenizer(folder), load_policy(folder, torch.float32, dtype)
    recorder = Recorder()
    vllm = RolloutConfig("vllm", VllmConfig())
    with (
        patch.object(vllm_engine, "check_fresh", recorder),
        open_engine(model, tokenizer, dtype, 256, rollout=vllm) as engine,
    ):
        for rate in LEARNING_RATES:
            found: dict[str, list[Tensor]] = {"stale": [], "head": [], "fresh": []}
            for _ in range(STEPS):
                take_step(model, recorder.rollouts, tokenizer.pad_token_id, rate)
                engine._check_fresh()
                found["stale"].append(recorder.found)
                with patch.object(vllm_engine, "repack_tied_head", type):  # does nothing to a model
                    engine.load_weights(model.named_parameters())
                found["head"].append(recorder.found)
                engine.load_weights(model.named_parameters())
                found["fresh"].append(recorder.found)
            for kind, values in found.items():
                show(f"{name} lr {rate:g} {kind}", values)


if __name__ == "__main__":
    configure_arithmetic(1, deterministic=False, seed=0)
    for small in (True, False):
        with policies(small) as folder:
            print("base policy" if small else "8 layers of 512, random")
            for name, dtype in DTYPES.items():
                measure(folder, name, dtype)
