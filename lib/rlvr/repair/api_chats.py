"""Chats with models behind an API, through the official clients, which retry with back-off.

The clients retry on 408, 409, 429, 5xx and connection errors, waiting 0.5 s, then twice as long each time up
to 8 s, or what the server asks for. Keys come from the environment; no message, log line or result of ours
holds one.
"""

import hashlib
import importlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from rlvr.errors import UserError
from rlvr.repair.chat import Conversation

RETRIES = 6
MAX_THREADS = 32
ANTHROPIC_KEY = "ANTHROPIC_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"


def _client_package(name: str) -> ModuleType:
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"this solver needs the package {name}: pip install {name}") from error
    for library in ("httpx", "httpx2", name):  # each request's address is no news
        logging.getLogger(library).setLevel(logging.WARNING)
    return package


def _plain(conversation: Conversation) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in conversation.messages]


def _ask_side_by_side(ask: Callable[[Conversation], str], conversations: Sequence[Conversation]) -> list[str]:
    with ThreadPoolExecutor(MAX_THREADS) as pool:
        return list(pool.map(ask, conversations))


def _said(error: Exception, key: str) -> UserError:
    """The API's last word, without the key wherever it might stand."""
    words = " ".join(str(error).split())[:500].replace(key, "***")
    return UserError(f"the model cannot be asked: {type(error).__name__}: {words}")


class AnthropicChat:
    """The messages API."""

    def __init__(self, model: str, max_tokens: int, temperature: float, base_url: str = ""):
        package = _client_package("anthropic")
        self._key = os.environ.get(ANTHROPIC_KEY, "")
        if not self._key:
            raise UserError(f"solver anthropic needs a key: set the environment variable {ANTHROPIC_KEY}")
        self._client = package.Anthropic(api_key=self._key, base_url=base_url or None, max_retries=RETRIES)
        self._error = package.AnthropicError
        self._settings: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
        if temperature != 1.0:  # the API's default, which some models take alone; newer clients know no other
            self._settings["extra_body"] = {"temperature": temperature}

    def reply(self, conversations: Sequence[Conversation]) -> list[str]:
        """The text of each answer; UserError once an API call has failed for good."""
        return _ask_side_by_side(self._ask, conversations)

    def _ask(self, conversation: Conversation) -> str:
        try:
            message = self._client.messages.create(messages=_plain(conversation), **self._settings)
        except self._error as error:
            raise _said(error, self._key) from None
        return "".join(block.text for block in message.content if block.type == "text")


class OpenAIChat:
    """The chat completions API, which vLLM and other local servers speak; a local server needs no key."""

    def __init__(self, model: str, max_tokens: int, temperature: float, seed: int, base_url: str = ""):
        package = _client_package("openai")
        self._key = os.environ.get(OPENAI_KEY, "") or ("none" if base_url else "")
        if not self._key:
            raise UserError(
                "solver openai-compatible needs the base_url of a server, or a key: set the environment "
                f"variable {OPENAI_KEY}"
            )
        self._client = package.OpenAI(api_key=self._key, base_url=base_url or None, max_retries=RETRIES)
        self._error = package.OpenAIError
        self._seed = seed
        # Local servers know the older name, OpenAI's newer models only the other.
        limit = "max_tokens" if base_url else "max_completion_tokens"
        self._settings = {"model": model, limit: max_tokens, "temperature": temperature}

    def reply(self, conversations: Sequence[Conversation]) -> list[str]:
        """The text of each answer; UserError once an API call has failed for good."""
        return _ask_side_by_side(self._ask, conversations)

    def _ask(self, conversation: Conversation) -> str:
        stream = f"{self._seed}/{conversation.number}/{len(conversation.messages)}"
        seed = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4]) >> 1
        try:
            answer = self._client.chat.completions.create(
                messages=_plain(conversation), seed=seed, **self._settings
            )
        except self._error as error:
            raise _said(error, self._key) from None
        return answer.choices[0].message.content or ""
