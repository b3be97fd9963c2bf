"""Process-wide switches of the arithmetic, set once at the start of a job and recorded."""

import os
import random

import numpy as np
import torch


def configure_arithmetic(threads: int, deterministic: bool, seed: int) -> dict[str, object]:
    """Set threads, determinism and fp32 matmul precision (no TF32); return what was set, for provenance.

    The global generators are seeded as a safety net only: everything here draws from generators of its own.
    """
    # cuBLAS reads this at its first call; without it deterministic matmuls raise an error on CUDA.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # The switch of torch.use_deterministic_algorithms, which would import torch's compiler first (1.7 s).
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    # cuDNN's attention plans anew for every new shape, which took 0.4 s on an H200: every token of a rollout.
    torch.backends.cuda.enable_cudnn_sdp(False)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return {
        "threads": threads,
        "deterministic_algorithms": deterministic,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        # As read back, since an environment variable of torch's goes before what is set.
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        "cudnn_attention": False,
        "seed": seed,
    }
