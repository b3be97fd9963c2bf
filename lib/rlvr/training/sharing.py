"""Rollouts and verdicts of processes that share one training job: every process ends up with all of them."""

from collections.abc import Iterable, Sequence
from typing import Self

from torch import Tensor

from rlvr.data.problem import Problem
from rlvr.processes import is_first_process, of_all_processes, of_first_process, process_count, process_rank
from rlvr.rollout.engine import GenerationRequest, Rollout, RolloutEngine, SamplingParams
from rlvr.verify.registry import Judge
from rlvr.verify.verdict import Response, Verdict


class SharedEngine:
    """A `RolloutEngine` that draws its process's share with an engine of its own, and collects the others'.

    A rollout's random stream depends on how often its prompt was asked for before in the call, so requests of
    one prompt id go to one process, in their order.
    """

    def __init__(self, engine: RolloutEngine):
        self._engine = engine
        self.max_positions = engine.max_positions

    def generate(
        self, requests: Sequence[GenerationRequest], params: SamplingParams, seed: int
    ) -> list[Rollout]:
        """The rollouts of all requests, in request order, in every process."""
        owners = _owners([request.prompt_id for request in requests])
        own = [request for request, owner in zip(requests, owners, strict=True) if owner == process_rank()]
        drawn = of_all_processes(self._engine.generate(own, params, seed) if own else [])
        remaining = [iter(rollouts) for rollouts in drawn]
        return [
            next(remaining[owner])
            for request, owner in zip(requests, owners, strict=True)
            for _ in range(request.samples)
        ]

    def check_prompts(self, requests: Sequence[GenerationRequest], max_tokens: int) -> int:
        """As the engine's own."""
        return self._engine.check_prompts(requests, max_tokens)

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """As the engine's own: every process's engine holds all weights."""
        self._engine.load_weights(named_tensors)

    def named_weights(self) -> Iterable[tuple[str, Tensor]]:
        """As the engine's own."""
        return self._engine.named_weights()

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._engine.__exit__(*exc_info)


def _owners(prompt_ids: Sequence[str]) -> list[int]:
    """Which process draws for each prompt: the different ones in turn."""
    turns = {prompt_id: turn for turn, prompt_id in enumerate(dict.fromkeys(prompt_ids))}
    return [turns[prompt_id] % process_count() for prompt_id in prompt_ids]


class SharedJudge(Judge):
    """A `Judge` whose verifiers run in the first process only; the others get its verdicts."""

    def judge(self, responses: Sequence[Response], problems: Sequence[Problem]) -> list[Verdict]:
        """As `Judge`, in every process."""
        own = super().judge(responses, problems) if is_first_process() else []
        return of_first_process(own)
