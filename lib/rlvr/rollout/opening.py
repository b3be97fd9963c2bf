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
) -> BatchedEngine:
    """An engine with its own copy of the model's weights in `dtype`: native for a `Decoder`."""
    engine = NativeEngine if isinstance(model, Decoder) else TransformersEngine
    return engine(model, tokenizer, dtype, max_batch_rows, device)
