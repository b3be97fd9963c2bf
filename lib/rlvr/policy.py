"""What a policy assigns to given responses: token ids, log-probabilities and entropies."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlvr.errors import UserError
from rlvr.models.label_scores import entropy_of, log_softmax, of_labels
from rlvr.models.tokenizers import AnyTokenizer


def collate(
    prompt_ids: Sequence[Sequence[int]], output_ids: Sequence[Sequence[int]], pad_id: int
) -> dict[str, Tensor]:
    """Next-token prediction batch of prompts followed by outputs, right-padded to the longest row.

    Returns int64 `input_ids` and `labels` (B, longest - 1), labels one token ahead, and a boolean
    `response_mask` over the labels: true on output tokens, false on prompt and padding.
    """
    if len(prompt_ids) != len(output_ids):
        raise UserError(
            f"{len(prompt_ids)} prompts but {len(output_ids)} outputs; they are paired by position"
        )
    starts = torch.tensor([len(ids) for ids in prompt_ids])
    ends = starts + torch.tensor([len(ids) for ids in output_ids])
    width = int(ends.max())
    rows = [
        [*prompt, *output, *[pad_id] * (width - len(prompt) - len(output))]
        for prompt, output in zip(prompt_ids, output_ids, strict=True)
    ]
    ids = torch.tensor(rows, dtype=torch.long)
    predicted = torch.arange(1, width)  # position, in the whole row, of each label
    mask = (predicted >= starts[:, None]) & (predicted < ends[:, None])
    return {"input_ids": ids[:, :-1], "labels": ids[:, 1:], "response_mask": mask}


def tokenize_prompt_and_output(
    prompt_strs: Sequence[str], output_strs: Sequence[str], tokenizer: AnyTokenizer
) -> dict[str, Tensor]:
    """Tokenise prompts and outputs apart and join them (see `collate` for what is returned).

    Prompts are tokenised as the tokenizer does by default (a BOS included), outputs without special tokens.
    Padding is on the right, with EOS where the tokenizer has no pad token.
    """
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    if pad_id is None:
        raise UserError("the tokenizer has neither a pad nor an EOS token; set tokenizer.eos_token")
    prompts = [tokenizer.encode(text) for text in prompt_strs]
    outputs = [tokenizer.encode(text, add_special_tokens=False) for text in output_strs]
    return collate(prompts, outputs, pad_id)


def compute_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of each next-token distribution: logits (B, S, V) to (B, S), in at least fp32."""
    return entropy_of(log_softmax(logits))


def token_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability, in at least fp32, of the label at each position: (…, V) and (…) to (…)."""
    return of_labels(log_softmax(logits), labels)


def get_response_log_probs(
    model: nn.Module,
    input_ids: Tensor,
    labels: Tensor,
    return_token_entropy: bool = False,
    forward_kwargs: Mapping[str, Any] | None = None,
    softmax_dtype: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Log-probability of each label given what stands before it, (B, S), in at least fp32 and unmasked.

    `model(input_ids).logits` must be (B, S, V). With `return_token_entropy` the entropies in nats of the
    same distributions come as `token_entropy`, without gradients (they are a metric).
    `forward_kwargs` go to the model: `{"dropout": AttentionDropout(...)}` for a `Decoder` in training.
    `softmax_dtype`: of the softmax over the vocabulary, instead of at least fp32.
    """
    logits = model(input_ids, **(forward_kwargs or {})).logits
    log_probs = log_softmax(logits, softmax_dtype)
    result = {"log_probs": of_labels(log_probs, labels)}
    if return_token_entropy:
        result["token_entropy"] = entropy_of(log_probs.detach())
    return result
