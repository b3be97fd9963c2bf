"""Direct preference optimisation: a loss from one prompt and two responses, of which one is preferred."""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from rlvr.data.packing import ALPACA, render_prompt
from rlvr.errors import UserError
from rlvr.models.tokenizers import AnyTokenizer
from rlvr.objectives import masked_normalize
from rlvr.policy import collate, get_response_log_probs


def per_instance_dpo_loss(
    policy: nn.Module,
    reference: nn.Module,
    tokenizer: AnyTokenizer,
    beta: float,
    prompt: str,
    response_chosen: str,
    response_rejected: str,
    template: str = ALPACA,
) -> Tensor:
    """−log σ(β·[log π/π_ref (chosen) − log π/π_ref (rejected)]): a scalar, in at least fp32.

    Equation 7 of Rafailov et al. 2023 (arXiv:2305.18290) for one preference. The log-probabilities are those
    of a response and the EOS behind it, given the prompt in `template` (which says `{prompt}` once and ends
    where the response begins), summed over tokens; prompt and responses are tokenised apart, as
    `rlvr.policy.tokenize_prompt_and_output` does it. No gradient reaches `reference`, which may be on another
    device than the policy; the loss is on the policy's. A β that is not positive, a tokenizer without EOS, or
    a prompt of no tokens raises UserError.
    """
    if beta <= 0:
        raise UserError(f"beta must be positive, not {beta}: a negative one would prefer what was rejected")
    batch = _preference_batch(tokenizer, render_prompt(template, prompt), response_chosen, response_rejected)
    chosen, rejected = _sequence_log_probs(policy, batch)
    with torch.no_grad():
        reference_chosen, reference_rejected = _sequence_log_probs(reference, batch).to(chosen.device)
    return -logsigmoid(beta * ((chosen - reference_chosen) - (rejected - reference_rejected)))


def _preference_batch(
    tokenizer: AnyTokenizer, prompt: str, response_chosen: str, response_rejected: str
) -> dict[str, Tensor]:
    """The chosen response in row 0, the rejected one in row 1 (see `rlvr.policy.collate`)."""
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no EOS token to end responses with; set tokenizer.eos_token")
    prompt_ids = tokenizer.encode(prompt)
    if not prompt_ids:  # the first token of a response would have no probability
        raise UserError("the prompt has no tokens; a template or a BOS token gives it some")
    responses = [
        [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        for text in (response_chosen, response_rejected)
    ]
    return collate([prompt_ids] * 2, responses, pad_id=tokenizer.eos_token_id)


def _sequence_log_probs(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Log-probability of each row's response, (2,)."""
    device = next(model.parameters()).device
    placed = {name: tensor.to(device) for name, tensor in batch.items()}
    log_probs = get_response_log_probs(model, placed["input_ids"], placed["labels"])["log_probs"]
    return masked_normalize(log_probs, placed["response_mask"], 1)
