"""Sampling by vLLM, with this package's tokens, stops, streams and log-probabilities."""

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import torch
from torch import Tensor

from rlvr.config.rollout import VllmConfig
from rlvr.errors import UserError
from rlvr.files import write_json
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.policy_model import PolicyModel
from rlvr.models.tokenizers import TextTokenizer
from rlvr.models.weights import write_weights
from rlvr.rollout.engine import GenerationRequest, Rollout, SamplingParams
from rlvr.rollout.freshness import TOLERANCES, check_fresh, policy_reference, probes
from rlvr.rollout.rows import Asked, ask, longest_prompt
from rlvr.rollout.sampling import check_sampling
from rlvr.rollout.stopping import StopStrings
from rlvr.rollout.streams import rollout_seed
from rlvr.rollout.vllm_model import repack_tied_head, weight_dtypes
from rlvr.rollout.vllm_process import Start, memory_explained, own_kernels, start_vllm, stop_vllm

# vLLM raises lower temperatures to this one.
LOWEST_TEMPERATURE = 0.01


@dataclass
class _Drawn:
    """A response as far as it has been drawn."""

    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    finish_reason: Literal["stop", "length"] | None = None

    @property
    def ended_by(self) -> Literal["stop", "length"]:
        """Why a finished response ended."""
        assert self.finish_reason is not None, "the response is unfinished"
        return self.finish_reason


class VllmEngine:
    """A `RolloutEngine` over vLLM's offline `LLM`, which it ends when its context is left.

    Each response is a request with a seed of its own, so it depends on no other; prompts that are the same
    are computed once by prefix caching. Stop strings are matched here, by the rules of `StopStrings`, and
    what they end is aborted. After every update of the weights a few responses are drawn and scored by the
    policy itself; another result than vLLM's raises StaleEngine.
    """

    def __init__(
        self,
        model: PolicyModel,
        tokenizer: TextTokenizer,
        dtype: torch.dtype,
        max_batch_rows: int,
        device: torch.device,
        config: VllmConfig,
        invariant: bool,
    ):
        """`model`: from `load_policy`, whose weights of the time `load_weights` will be given.

        `invariant`: see `Start`.
        """
        from transformers import AutoConfig

        own = model.config
        raw = own.to_hf() if isinstance(own, DecoderConfig) else own.to_dict()
        self._folder = TemporaryDirectory(prefix="rlvr-vllm-")
        folder = Path(self._folder.name)
        write_json(folder / "config.json", raw)
        self._config = AutoConfig.from_pretrained(folder)
        self._start = Start(folder, self._config, dtype, max_batch_rows, device, invariant, config)
        self._tokenizer = tokenizer
        self._shapes = {name: weight.shape for name, weight in model.named_parameters()}
        # Configs may name an id that the model does not have.
        self._end_ids = frozenset(
            token for token in model.end_ids | {tokenizer.eos_token_id} if token < self._config.vocab_size
        )
        self._reference = policy_reference(model, tokenizer.pad_token_id)
        self._tolerance = max(TOLERANCES[dtype], TOLERANCES[model.compute])
        self._asleep = False
        self.max_positions = self._config.max_position_embeddings
        if not self._start.in_memory:
            write_weights(self._cast(model.named_parameters()), folder)
        self._llm = start_vllm(self._start)
        self.load_weights(model.named_parameters())

    def generate(
        self, requests: Sequence[GenerationRequest], params: SamplingParams, seed: int
    ) -> list[Rollout]:
        """Rollouts of each request, in request order, the samples of a request side by side."""
        check_sampling(params)
        if 0 < params.temperature < LOWEST_TEMPERATURE:
            raise UserError(
                f"temperature is {params.temperature}, which vLLM would raise to {LOWEST_TEMPERATURE}; "
                "allowed is 0 (greedy), that or more"
            )
        asked = ask(requests, params.max_tokens, self._tokenizer, self.max_positions)
        with self._awake():
            return self._rollouts(asked, params, seed)

    def check_prompts(self, requests: Sequence[GenerationRequest], max_tokens: int) -> int:
        """Tokens of the longest prompt; UserError for an empty one, or if `max_tokens` more do not fit."""
        return longest_prompt(requests, max_tokens, self._tokenizer, self.max_positions)

    def load_weights(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Give vLLM all weights, cast to the engine's dtype, and check that it samples from them.

        They are handed over in memory where the model is in this process, else through a file.
        A missing or unknown name, or another shape, is a UserError.
        """
        tensors = self._all_weights(named_tensors)
        with self._awake(), memory_explained():
            if self._start.in_memory:
                self._llm.collective_rpc(
                    "reload_weights", kwargs={"weights_iterator": self._cast(tensors.items())}
                )
            else:
                write_weights(self._cast(tensors.items()), self._start.folder)
                self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(self._start.folder)})
            if self._config.tie_word_embeddings and self._start.device.type == "cpu":
                self._llm.apply_model(repack_tied_head)
            # Keys and values of the old weights.
            self._llm.reset_prefix_cache()
            self._check_fresh()

    def named_weights(self) -> Iterable[tuple[str, Tensor]]:
        """vLLM's parameters by its own names, as empty tensors of their dtypes: the values are packed."""
        with self._awake():
            found = self._llm.apply_model(weight_dtypes)[0]
        return [(name, torch.empty(0, dtype=getattr(torch, dtype))) for name, dtype in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        stop_vllm(self._llm)
        del self._llm
        self._folder.cleanup()

    def _cast(self, named_tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        return ((name, tensor.detach().to(self._start.dtype)) for name, tensor in named_tensors)

    @contextmanager
    def _awake(self) -> Iterator[None]:
        """Between the uses of an engine that sleeps, its memory on the GPU is the trainer's."""
        if self._asleep:
            self._llm.wake_up()
            self._asleep = False
        with own_kernels():
            yield
        if self._start.config.sleep:
            # Level 1 keeps the weights in host memory: a call of `generate` may come without new ones.
            self._llm.sleep(level=1)
            self._asleep = True

    def _all_weights(self, named_tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        tensors = dict(named_tensors)
        for name, tensor in tensors.items():
            if name not in self._shapes:
                raise UserError(f"weight {name} is not part of the model")
            if tensor.shape != self._shapes[name]:
                raise UserError(
                    f"weight {name} has shape {tuple(tensor.shape)}; "
                    f"the model needs {tuple(self._shapes[name])}"
                )
        if missing := self._shapes.keys() - tensors.keys():
            raise UserError(f"weights are missing: {', '.join(sorted(missing))}")
        return tensors

    def _check_fresh(self) -> None:
        asked, length = probes(self._config.vocab_size, self.max_positions)
        rollouts = self._rollouts(asked, SamplingParams(length, min_tokens=length), seed=0)
        check_fresh(rollouts, self._reference, self._tolerance)

    def _rollouts(self, asked: Sequence[Asked], params: SamplingParams, seed: int) -> list[Rollout]:
        stop = StopStrings(self._tokenizer, params.stop)
        end_ids = self._end_ids | stop.token_ids
        with memory_explained():
            drawn = self._draw(asked, params, seed, stop, end_ids)
        if not all(torch.tensor(one.log_probs).isfinite().all() for one in drawn):
            raise FloatingPointError("the model's logits are not finite: its weights have diverged")
        responses = [(tuple(one.token_ids), one.finish_reason == "stop") for one in drawn]
        texts = stop.response_texts(responses, end_ids, params.keep_stop)
        return [
            Rollout(
                prompt_id=place.prompt_id,
                sample=place.sample,
                prompt_ids=place.prompt_ids,
                token_ids=tuple(one.token_ids),
                text=text,
                finish_reason=one.ended_by,
                log_probs=tuple(one.log_probs),
            )
            for place, one, text in zip(asked, drawn, texts, strict=True)
        ]

    def _draw(
        self, asked: Sequence[Asked], params: SamplingParams, seed: int, stop: StopStrings, end_ids: Set[int]
    ) -> list[_Drawn]:
        """Draw all responses; requests are named by their index."""
        from vllm.inputs.engine import tokens_input

        engine = self._llm.llm_engine
        drawn = [_Drawn() for _ in asked]
        try:
            for index, place in enumerate(asked):
                own = rollout_seed(seed, place.prompt_id, place.occurrence, place.sample)
                settings = _vllm_params(params, own, end_ids, by_step=bool(stop.texts))
                engine.add_request(str(index), tokens_input(list(place.prompt_ids)), settings)
            while engine.has_unfinished_requests():
                changed = [int(output.request_id) for output in engine.step() if _extend(drawn, output)]
                ended = self._stopped([drawn[index] for index in changed], stop, params.min_tokens)
                engine.abort_request([str(changed[position]) for position in ended])
        finally:
            # None unless an error came between: they would go on in the next call.
            engine.abort_request([str(index) for index, one in enumerate(drawn) if not one.finish_reason])
        return drawn

    def _stopped(self, changed: Sequence[_Drawn], stop: StopStrings, min_tokens: int) -> list[int]:
        """End those responses whose newest token completes a stop string; their positions in `changed`."""
        if not stop.texts:
            return []
        open_ones = [index for index, one in enumerate(changed) if len(one.token_ids) >= min_tokens]
        recent = [changed[index].token_ids[-stop.window :] for index in open_ones]
        ended = [
            index for index, place in zip(open_ones, stop.places(recent), strict=True) if place is not None
        ]
        for index in ended:
            changed[index].finish_reason = "stop"
        return ended


def _extend(drawn: list[_Drawn], output: Any) -> bool:
    """Add what a step of vLLM has drawn to its response; whether that is anything."""
    (completion,) = output.outputs
    one = drawn[int(output.request_id)]
    one.token_ids += completion.token_ids
    one.log_probs += [
        entry[token].logprob for entry, token in zip(completion.logprobs, completion.token_ids, strict=True)
    ]
    if completion.finish_reason not in (None, "stop", "length"):
        raise RuntimeError(f"vLLM ended a response by {completion.finish_reason}")
    one.finish_reason = completion.finish_reason
    return bool(completion.token_ids)


def _vllm_params(params: SamplingParams, seed: int, end_ids: Set[int], by_step: bool) -> Any:
    """One request's sampling. `by_step`: every token is handed out as it is drawn, else all at the end.

    vLLM keeps a stop token in the ids, and forbids those tokens until `min_tokens` are drawn.
    """
    from vllm import SamplingParams as VllmParams
    from vllm.sampling_params import RequestOutputKind

    return VllmParams(
        n=1,
        seed=seed,
        temperature=params.temperature,
        top_p=params.top_p,
        max_tokens=params.max_tokens,
        min_tokens=params.min_tokens,
        stop_token_ids=sorted(end_ids),
        logprobs=0,  # of the sampled token only
        detokenize=False,
        output_kind=RequestOutputKind.DELTA if by_step else RequestOutputKind.FINAL_ONLY,
    )
