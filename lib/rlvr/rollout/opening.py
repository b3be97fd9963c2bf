"""Which engine samples from a model."""

import torch
from torch import nn

from rlvr.models.decoder import Decoder
from rlvr.models.tokenizers import TextTokenizer
from rlvr.rollout.batched import BatchedEngine
from rlvr.rollout.native import NativeEngine
from rlvr.rollout.transformers_engine import TransformersEngine


def open_engine(
    model: nn.Module,
    tokenizer: TextTokenizer,
    dtype: torch.dtype,
    max_batch_rows: int,
    device: str | torch.device = "cpu",
    share_weights: bool = False,
) -> BatchedEngine:
    """An engine with its own copy of the model's weights in `dtype`: native for a `Decoder`.

    `share_weights` spares the copy where it can, see `NativeEngine`; such an engine refuses `load_weights`.
    """
    if isinstance(model, Decoder):
        return NativeEngine(model, tokenizer, dtype, max_batch_rows, device, share_weights)
    return TransformersEngine(model, tokenizer, dtype, max_batch_rows, device)
