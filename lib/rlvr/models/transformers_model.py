"""Models of architectures that `rlvr.models.decoder` does not have, computed by transformers."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rlvr.errors import UserError
from rlvr.models.label_scores import Head, Scoring, label_scores, scores_of_logits
from rlvr.models.policy_model import PolicyModel

if TYPE_CHECKING:  # it takes seconds to import
    from transformers import PreTrainedModel


def load_transformers_model(
    folder: Path, master: torch.dtype, compute: torch.dtype, logits_fp32: bool, device: torch.device
) -> PolicyModel:
    """Weights in `master`, and torch's autocast to `compute` where the two differ.

    It has `compute` and the methods `label_scores`, without dropout, `logits_in_parts` and `attention_kernel`
    of `Decoder`.
    """
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=master)
    model: Any = loaded.to(device).eval()  # type: ignore[arg-type]  # its decorator of `to` hides `self`
    autocast = torch.autocast(device.type, dtype=compute, enabled=compute != master)
    scorer = _LabelScores(model, autocast, compute, logits_fp32)
    # Replaced on the instance, so that the weights keep their names.
    if compute != master:
        model.forward = autocast(model.forward)
    if logits_fp32:
        model.forward = _with_fp32_logits(model.forward)
    model.compute = compute
    model.label_scores = scorer
    model.logits_in_parts = scorer.logits_in_parts
    model.attention_kernel = lambda dropout: f"transformers: {model.config._attn_implementation}"
    return model


def _with_fp32_logits(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def cast(*arguments: Any, **settings: Any) -> Any:
        output = forward(*arguments, **settings)
        output.logits = output.logits.float()
        return output

    return cast


class _LabelScores:
    """`Decoder.label_scores` and `logits_in_parts` of a model, where its head is a plain product.

    Some architectures scale or cap their logits; those are computed for all positions at once.
    """

    def __init__(
        self, model: "PreTrainedModel", autocast: torch.autocast, compute: torch.dtype, logits_fp32: bool
    ):
        self._model, self._autocast = model, autocast
        self._compute, self._logits_fp32 = compute, logits_fp32
        self._plain = self._has_plain_head()

    @torch.no_grad()
    def _has_plain_head(self) -> bool:
        # Several tokens, since the states of a padding token may be zero.
        embeddings = self._model.get_input_embeddings()
        assert isinstance(embeddings.num_embeddings, int)  # of nn.Embedding, and of what stands in for it
        tokens = torch.arange(min(8, embeddings.num_embeddings), device=self._model.device)[None]
        with self._autocast:
            logits = self._model(tokens, use_cache=False).logits
            hidden = self._model.base_model(tokens, use_cache=False)[0]
            head = self._model.get_output_embeddings()
            return isinstance(head, nn.Linear) and torch.equal(head(hidden), logits)

    def __call__(
        self, input_ids: Tensor, labels: Tensor, mask: Tensor, scoring: Scoring, dropout: None = None
    ) -> tuple[Tensor, Tensor | None]:
        """See `Decoder.label_scores`; UserError for chunks where the head is more than a product."""
        if self._plain:
            linear = self._model.get_output_embeddings()
            head = Head(linear.weight, linear.bias, self._compute, self._logits_fp32)
            return label_scores(head, self._hidden(input_ids), labels, mask, scoring)
        if scoring.chunk is not None:
            raise UserError(
                f"{type(self._model).__name__} does more than one product to its logits, so they cannot be "
                "computed part by part; set trainer.vocabulary_chunk to null for this model"
            )
        logits = self._model.forward(input_ids, use_cache=False).logits
        return scores_of_logits(logits, labels, mask, scoring)

    def logits_in_parts(self, input_ids: Tensor, mask: Tensor, positions: int) -> Iterator[Tensor]:
        """See `Decoder.logits_in_parts`; all exist at once where the head is more than a product."""
        if not self._plain:
            yield from self._model.forward(input_ids, use_cache=False).logits[mask].split(positions)
            return
        head = self._model.get_output_embeddings()
        for part in self._hidden(input_ids)[mask].split(positions):
            with self._autocast:
                logits = head(part)
            yield logits.float() if self._logits_fp32 else logits

    def _hidden(self, input_ids: Tensor) -> Tensor:
        with self._autocast:
            return self._model.base_model(input_ids, use_cache=False)[0].to(self._compute)
