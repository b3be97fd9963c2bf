"""Which engine samples from a model."""

import torch

from rlvr.config.rollout import NATIVE, RolloutConfig
from rlvr.models.decoder import Decoder
from rlvr.models.policy_model import PolicyModel
from rlvr.models.tokenizers import TextTokenizer
from rlvr.rollout.engine import RolloutEngine
from rlvr.rollout.native import NativeEngine
from rlvr.rollout.transformers_engine import TransformersEngine
from rlvr.rollout.vllm_engine import VllmEngine


def open_engine(
    model: PolicyModel,
    tokenizer: TextTokenizer,
    dtype: torch.dtype,
    max_batch_rows: int,
    device: str | torch.device = "cpu",
    share_weights: bool = False,
    rollout: RolloutConfig = NATIVE,
    invariant: bool = False,
) -> RolloutEngine:
    """An engine with its own copy of the model's weights in `dtype`: native for a `Decoder`.

    `share_weights` spares the copy where it can, see `NativeEngine`; such an engine refuses `load_weights`.
    `rollout`: vLLM instead, where it says so; `invariant` asks for its mode in which what is computed
    together decides nothing.
    """
    if rollout.engine == "vllm":
        return VllmEngine(
            model, tokenizer, dtype, max_batch_rows, torch.device(device), rollout.vllm, invariant
        )
    if isinstance(model, Decoder):
        return NativeEngine(model, tokenizer, dtype, max_batch_rows, device, share_weights)
    return TransformersEngine(model, tokenizer, dtype, max_batch_rows, device)
