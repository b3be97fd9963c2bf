"""The state of one batch of responses while they are drawn."""

from collections.abc import Sequence, Set

import numpy as np
import torch
from torch import Tensor

from rlvr.models.tokenizers import TextTokenizer
from rlvr.policy import token_log_probs
from rlvr.rollout.engine import Rollout, SamplingParams
from rlvr.rollout.rows import Row
from rlvr.rollout.sampling import sample_tokens
from rlvr.rollout.stopping import StopStrings

# Rows that have ended leave the batch when a quarter of it has: each time, the whole cache is copied.
COMPACT_AT = 0.75


class Drawing:
    """All rows begin together, so that step t draws token t of every row that is still in the batch.

    `slots` maps the batch's rows to the responses' rows. A row that has ended but is still in the batch
    goes on drawing; `counts` says where its response ends. `end_ids`: tokens that end a response, to which
    stop strings that are special tokens are added.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        params: SamplingParams,
        tokenizer: TextTokenizer,
        end_ids: Set[int],
        device: torch.device,
    ):
        self._rows = rows
        self._params = params
        self._tokenizer = tokenizer
        self._stop = StopStrings(tokenizer, params.stop)
        self._end_ids = end_ids | self._stop.token_ids
        self._ends = torch.tensor(sorted(self._end_ids), device=device)
        self._uniforms = torch.from_numpy(np.stack([row.uniforms for row in rows])).to(device)
        self._tokens = torch.zeros(len(rows), params.max_tokens, dtype=torch.long, device=device)
        self._log_probs = torch.zeros(len(rows), params.max_tokens, dtype=torch.float32, device=device)
        self._counts = torch.full((len(rows),), params.max_tokens, device=device)
        self._stopped = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self._slots = torch.arange(len(rows), device=device)
        self._alive = torch.ones(len(rows), dtype=torch.bool, device=device)
        self._step = 0

    def draw(self, logits: Tensor) -> Tensor:
        """Draw the next token of each row in the batch from (R, V) logits; returns the tokens (R,)."""
        logits = logits.float()
        allowed = logits
        if self._step < self._params.min_tokens:
            allowed = logits.clone()
            # Configs may name an id that the model does not have.
            allowed[:, self._ends[self._ends < logits.shape[1]]] = float("-inf")
        uniforms = self._uniforms[self._slots, self._step] if self._params.temperature > 0 else self._uniforms
        tokens = sample_tokens(allowed, uniforms, self._params.temperature, self._params.top_p)
        self._tokens[self._slots, self._step] = tokens
        self._log_probs[self._slots, self._step] = token_log_probs(logits, tokens)
        self._step += 1
        at_end = (tokens[:, None] == self._ends).any(dim=1)
        ended = self._alive & (at_end | self._completes_stop_string())
        self._counts[self._slots[ended]] = self._step
        self._stopped[self._slots[ended]] = True
        self._alive &= ~ended
        return tokens

    def _completes_stop_string(self) -> Tensor:
        hits = torch.zeros_like(self._alive)
        if self._stop.texts and self._step >= self._params.min_tokens:
            alive = self._alive.nonzero()[:, 0]
            recent = self._tokens[self._slots[alive], max(0, self._step - self._stop.window) : self._step]
            places = self._stop.places(recent.tolist())
            hits[alive] = torch.tensor([place is not None for place in places], device=hits.device)
        return hits

    def remaining(self) -> Tensor | None:
        """Which rows of the batch go on, as indices; all of them while few have ended. None: all is drawn."""
        alive = int(self._alive.sum())
        if alive == 0 or self._step == self._params.max_tokens:
            return None
        if alive > COMPACT_AT * len(self._alive):
            return torch.arange(len(self._alive), device=self._alive.device)
        kept = self._alive.nonzero()[:, 0]
        self._slots, self._alive = self._slots[kept], self._alive[kept]
        return kept

    def rollouts(self) -> list[Rollout]:
        """The finished responses, in the order of the rows."""
        if not bool(self._log_probs.isfinite().all()):
            raise FloatingPointError("the model's logits are not finite: its weights have diverged")
        counts, stopped = self._counts.tolist(), self._stopped.tolist()
        tokens = [tuple(ids[:count]) for ids, count in zip(self._tokens.tolist(), counts, strict=True)]
        responses = list(zip(tokens, stopped, strict=True))
        texts = self._stop.response_texts(responses, self._end_ids, self._params.keep_stop)
        log_probs = self._log_probs.tolist()
        return [
            Rollout(
                prompt_id=row.prompt_id,
                sample=row.sample,
                prompt_ids=row.prompt_ids,
                token_ids=tokens[index],
                text=texts[index],
                finish_reason="stop" if stopped[index] else "length",
                log_probs=tuple(log_probs[index][: counts[index]]),
            )
            for index, row in enumerate(self._rows)
        ]
