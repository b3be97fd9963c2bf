"""Sections `rollout`: which engine samples responses. It decides what is drawn, so jobs carry it."""

from dataclasses import dataclass
from typing import Literal

# The version of vLLM that the engine was tested with; its torch and transformers are those of this package.
TESTED_VERSION = "0.32.0"


@dataclass(frozen=True)
class VllmConfig:
    """Settings of `rlvr.rollout.vllm_engine`.

    `gpu_memory_utilization`: share of a GPU's memory that vLLM may fill, the weights included; `kv_cache_gb`:
    its cache on a CPU, in GiB. `sleep`: give the GPU's memory back between the calls.
    """

    tensor_parallel: int = 1
    gpu_memory_utilization: float = 0.6
    kv_cache_gb: float = 1.0
    prefix_caching: bool = True
    sleep: bool = False


@dataclass(frozen=True)
class RolloutConfig:
    """`native`: the engines of this package."""

    engine: Literal["native", "vllm"]
    vllm: VllmConfig


NATIVE = RolloutConfig("native", VllmConfig())
