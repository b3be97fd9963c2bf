"""Section `rollout`: which engine samples responses. It changes what is drawn, so jobs carry it."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class VllmConfig:
    """Settings of `rlvr.rollout.vllm_engine`.

    `gpu_memory_utilization`: share of a GPU's memory that vLLM may fill, the weights included; `kv_cache_gb`:
    its cache on a CPU, in GiB.
    """

    tensor_parallel: int = 1
    gpu_memory_utilization: float = 0.6
    kv_cache_gb: float = 1.0
    enforce_eager: bool = False
    prefix_caching: bool = True
    sleep: bool = False


@dataclass(frozen=True)
class RolloutConfig:
    """`engine` auto: native for a `Decoder`, transformers for any other model."""

    engine: Literal["auto", "native", "transformers", "vllm"] = "auto"
    vllm: VllmConfig = field(default_factory=VllmConfig)
