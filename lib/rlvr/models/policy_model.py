"""What every policy model has, a `Decoder` as well as one that transformers computes."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rlvr.models.attention import AttentionDropout
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.label_scores import Scoring

if TYPE_CHECKING:  # it takes seconds to import
    from transformers import PreTrainedConfig


class PolicyModel(nn.Module):
    """A causal language model as `rlvr.models.loading.load_policy` returns it; for annotations, mostly.

    Its call returns an object with `.logits` (B, S, vocabulary). A model of transformers is no subclass, but
    has these attributes and methods too, set on the instance.
    """

    config: "DecoderConfig | PreTrainedConfig"
    compute: torch.dtype
    end_ids: frozenset[int]  # ids that end a response by the policy's own files

    @abstractmethod
    def attention_kernel(self, dropout: bool) -> str:
        """What computes attention in training."""

    @abstractmethod
    def logits_in_parts(self, input_ids: Tensor, mask: Tensor, positions: int) -> Iterator[Tensor]:
        """Logits (N, V) where `mask` (B, S) is true, row after row, of so many positions at a time."""

    @abstractmethod
    def label_scores(
        self,
        input_ids: Tensor,
        labels: Tensor,
        mask: Tensor,
        scoring: Scoring,
        dropout: AttentionDropout | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities (B, S) of the labels, and entropies if asked for, where `mask` is true."""
