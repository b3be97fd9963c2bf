"""The solvers by name."""

from collections.abc import Iterator
from contextlib import contextmanager

from rlvr.config.repair import RepairConfig
from rlvr.errors import UserError
from rlvr.repair.api_chats import AnthropicChat, OpenAIChat
from rlvr.repair.chat import Chat, EngineChat, renderer
from rlvr.repair.episode import ChatSolver
from rlvr.repair.mutations import MutationSolver
from rlvr.repair.solver import Solver
from rlvr.verify.sandbox.client import Sandbox


@contextmanager
def open_solver(config: RepairConfig, sandbox: Sandbox, device: str, parallel: int) -> Iterator[Solver]:
    """The solver that the config names, for `parallel` attempts at a time.

    UserError if it lacks a model, a package or a key.
    """
    if config.solver == "mutations":
        yield MutationSolver(config.seed)
        return
    if not config.model:
        raise UserError(f"solver {config.solver} needs a model; give its folder or name")
    with _open_chat(config, device, parallel) as chat:
        yield ChatSolver(config.solver, config.model, chat, sandbox, config.turns)


@contextmanager
def _open_chat(config: RepairConfig, device: str, parallel: int) -> Iterator[Chat]:
    if config.solver == "anthropic":
        yield AnthropicChat(config.model, config.max_tokens, config.temperature, config.base_url)
    elif config.solver == "openai-compatible":
        yield OpenAIChat(config.model, config.max_tokens, config.temperature, config.seed, config.base_url)
    else:
        with _open_engine_chat(config, device, parallel) as chat:
            yield chat


@contextmanager
def _open_engine_chat(config: RepairConfig, device: str, parallel: int) -> Iterator[EngineChat]:
    """A local policy: float32 on the CPU, bfloat16 on a GPU."""
    import torch

    from rlvr.devices import resolve_device
    from rlvr.models.loading import load_policy, load_tokenizer, policy_folder
    from rlvr.rollout.engine import SamplingParams
    from rlvr.rollout.opening import open_engine

    place = resolve_device(device)
    dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
    folder = policy_folder(config.model, config.revision)
    tokenizer = load_tokenizer(folder)
    model = load_policy(folder, dtype, dtype, device=place)
    params = SamplingParams(max_tokens=config.max_tokens, temperature=config.temperature)
    with open_engine(model, tokenizer, dtype, parallel, place, share_weights=True) as engine:
        yield EngineChat(engine, params, config.seed, renderer(tokenizer))
