"""Who talks in an episode: the contract of a chat, and a chat over any RolloutEngine."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from rlvr.errors import UserError

if TYPE_CHECKING:
    from rlvr.rollout.engine import GenerationRequest, RolloutEngine, SamplingParams

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class Conversation:
    """The messages so far, the user's last; `number` is the attempt's, and part of its random streams."""

    number: int
    messages: tuple[Message, ...]


class Chat(Protocol):
    """A model that answers conversations."""

    def reply(self, conversations: Sequence[Conversation]) -> list[str]:
        """The next reply of each, in order; UserError if the model cannot be asked at all."""


Render = Callable[[Sequence[Message]], str]


def render_plainly(messages: Sequence[Message]) -> str:
    """A conversation as plain text, for a policy without a chat template."""
    parts = [f"{message.role.capitalize()}:\n{message.content.rstrip()}\n\n" for message in messages]
    return "".join(parts) + "Assistant:\n"


@runtime_checkable
class _Templated(Protocol):
    chat_template: str | None

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: Literal[False], add_generation_prompt: bool
    ) -> str: ...


def renderer(tokenizer: object) -> Render:
    """The tokenizer's own chat template if it has one, else plain text."""
    if not isinstance(tokenizer, _Templated) or not tokenizer.chat_template:
        return render_plainly

    def render(messages: Sequence[Message]) -> str:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        return tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)

    return render


class EngineChat:
    """A chat over an engine. The conversations of one call are drawn together, each from its own stream."""

    def __init__(
        self,
        engine: "RolloutEngine",
        params: "SamplingParams",
        seed: int,
        render: Render = render_plainly,
    ):
        self._engine = engine
        self._params = params
        self._seed = seed
        self._render = render

    def reply(self, conversations: Sequence[Conversation]) -> list[str]:
        """The next replies; "" where a conversation has outgrown the engine, which ends it."""
        requests = [self._request(conversation) for conversation in conversations]
        fitting = [self._fits(*pair) for pair in zip(conversations, requests, strict=True)]
        asked = [request for request, fits in zip(requests, fitting, strict=True) if fits]
        drawn = iter(self._engine.generate(asked, self._params, self._seed) if asked else ())
        return [next(drawn).text if fits else "" for fits in fitting]

    def _request(self, conversation: Conversation) -> "GenerationRequest":
        from rlvr.rollout.engine import GenerationRequest

        prompt_id = f"repair/{conversation.number}/{len(conversation.messages)}"
        return GenerationRequest(prompt_id, self._render(conversation.messages), 1)

    def _fits(self, conversation: Conversation, request: "GenerationRequest") -> bool:
        """A first message that does not fit is the setting's mistake; a later one has grown too long."""
        try:
            self._engine.check_prompts([request], self._params.max_tokens)
        except UserError as error:
            if len(conversation.messages) == 1:
                raise
            logger.info("attempt %d ends, its conversation is too long: %s", conversation.number + 1, error)
            return False
        return True
