"""Log-probabilities of a batch's tokens under a model, each distinct row computed once."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlvr.config.precision import TrainerConfig
from rlvr.models.attention import AttentionDropout
from rlvr.models.label_scores import Scoring
from rlvr.models.policy_model import PolicyModel
from rlvr.processes import process_count, share_out, sum_over_processes
from rlvr.training.microbatches import microbatches

_BY_ROWS = TrainerConfig()


def response_log_probs(
    model: PolicyModel,
    batch: dict[str, Tensor],
    microbatch_size: int,
    entropy: bool,
    softmax_dtype: torch.dtype = torch.float32,
    trainer: TrainerConfig = _BY_ROWS,
) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities (B, S) of the labels under `model`, and token entropies if asked; no gradients.

    Zero outside the response mask. `model`: one of `load_policy`. Equal rows are computed once. Processes
    that share the job compute their share, and all get everything.
    """
    input_ids, labels, mask, place = distinct_rows(
        batch["input_ids"], batch["labels"], batch["response_mask"]
    )
    log_probs = torch.zeros(mask.shape, device=mask.device)
    entropies = torch.zeros_like(log_probs) if entropy else None
    scoring = Scoring(entropy, softmax_dtype, trainer.vocabulary_chunk)
    every = torch.arange(len(mask), device=mask.device)
    with torch.no_grad():
        for rows, own in share_out(microbatches(every, mask, microbatch_size, trainer.microbatch_tokens)):
            width = trimmed_width(mask[rows])
            of_tokens, of_entropies = model.label_scores(
                input_ids[rows, :width], labels[rows, :width], mask[rows, :width], scoring
            )
            if not own:
                continue
            log_probs[rows, :width] = of_tokens.float()
            if entropies is not None and of_entropies is not None:
                entropies[rows, :width] = of_entropies.float()
    log_probs = sum_over_processes(log_probs)[place]
    return log_probs, None if entropies is None else sum_over_processes(entropies)[place]


def distinct_rows(
    input_ids: Int[Tensor, "B S"], labels: Int[Tensor, "B S"], mask: Bool[Tensor, "B S"]
) -> tuple[Int[Tensor, "U S"], Int[Tensor, "U S"], Bool[Tensor, "U S"], Int[Tensor, " B"]]:
    """The rows that differ, and which of them each row is: a group often holds a response several times."""
    stacked = torch.stack([input_ids, labels, mask.long()])
    (input_ids, labels, kept), place = stacked.unique(dim=1, return_inverse=True)
    return input_ids, labels, kept.bool(), place


def trimmed_width(mask: Bool[Tensor, "B S"]) -> int:
    """Columns up to the last response token of any row: what is right of it is padding."""
    return int(mask.any(0).nonzero().max()) + 1


def score_labels(
    model: PolicyModel,
    input_ids: Int[Tensor, "B S"],
    labels: Int[Tensor, "B S"],
    mask: Bool[Tensor, "B S"],
    dropout: AttentionDropout | None,
    scoring: Scoring,
    learning: Bool[Tensor, " B"] | None = None,
) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B S"] | None]:
    """Log-probabilities of the labels, for backward, and entropies if asked for.

    Equal rows are computed once, and those that are not `learning`, whose loss has no gradient, without a
    backward pass. With dropout every row is computed, since each has a mask of its own.
    """
    if dropout is not None:
        return model.label_scores(input_ids, labels, mask, scoring, dropout)
    input_ids, labels, mask, place = distinct_rows(input_ids, labels, mask)
    if learning is None:
        log_probs, entropies = model.label_scores(input_ids, labels, mask, scoring)
        return log_probs[place], None if entropies is None else entropies[place]
    learns = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
    learns[place[learning]] = True
    # The loss goes backward in any case, and processes that share the job through both passes.
    learns[0] |= not learns.any()
    still, moving = (~learns).nonzero()[:, 0], learns.nonzero()[:, 0]
    parts = []
    if len(still) or process_count() > 1:
        rows = still if len(still) else moving[:1]
        with torch.no_grad():
            scores = model.label_scores(input_ids[rows], labels[rows], mask[rows], scoring)
        parts = [(rows, *scores)] if len(still) else []
    parts.append((moving, *model.label_scores(input_ids[moving], labels[moving], mask[moving], scoring)))
    place = torch.cat([rows for rows, _, _ in parts]).argsort()[place]
    log_probs = torch.cat([found for _, found, _ in parts])[place]
    asked = [found for _, _, found in parts if found is not None]
    return log_probs, torch.cat(asked)[place] if asked else None
