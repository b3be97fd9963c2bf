"""What keeps the trainer's log-probabilities in fp32 from being exactly those of the rollout engine.

    python bench/batch_invariance.py [--policy results/default/base/policy] [--configfile config.yaml]

Both sides have the same fp32 weights and score the same tokens (`bench/mismatch.py`). They differ in shapes
only: the engine prefills prompts and then computes one position of as many branches as are left, with keys
and values from a cache; the trainer computes all positions of a padded microbatch.

First, each operation of the decoder on the same numbers, laid out as the trainer and as the engine has them:
the share of results that are not equal. Then both sides as a whole, with products and attention in forms in
which a row's result depends on nothing but the row:

blocks     products in blocks of ROWS rows, the last one filled up with zeros: always a product of one shape
rows       a product of its own for each row
window     attention over a fixed number of slots, each query a product of its own, masked slots adding zero

Without --policy the base policy of the config is trained first, which takes a minute or so.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from mismatch import MICROBATCH, SAMPLES, trained_policy, trainer_log_probs
from torch import Tensor
from torch.nn import functional

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.load import load_config
from rlvr.data.families import family_problems
from rlvr.data.problem import Problem
from rlvr.models import decoder
from rlvr.models.attention import attend, rotary_table
from rlvr.models.decoder import Decoder
from rlvr.models.label_scores import log_softmax
from rlvr.models.loading import load_policy, load_tokenizer
from rlvr.policy import collate, get_response_log_probs
from rlvr.rollout.engine import Rollout, SamplingParams
from rlvr.rollout.judged import draw_rollouts
from rlvr.rollout.opening import open_engine

ROWS = 64
WINDOW = 32
REPEATS = 3
# Branches that are left in the engine's batch.
PARTS = (256, 37, 1)


def in_blocks(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b by products of (ROWS, K) with Wᵀ, whatever the number of rows."""
    rows = x.reshape(-1, x.shape[-1])
    padded = functional.pad(rows, (0, 0, 0, -len(rows) % ROWS))
    products = [functional.linear(block, weight, bias) for block in padded.split(ROWS)]
    return torch.cat(products)[: len(rows)].view(*x.shape[:-1], -1)


def by_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b by a product of (1, K) with Wᵀ for each row."""
    rows = x.reshape(-1, x.shape[-1])
    products = [functional.linear(row, weight, bias) for row in rows.split(1)]
    return torch.cat(products).view(*x.shape[:-1], -1)


def in_window(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: None) -> Tensor:
    """Attention of each query over WINDOW slots: products of (1, D) with (D, WINDOW), softmax over WINDOW."""
    batch, heads, length, head_dim = queries.shape
    slots, sharing = keys.shape[2], heads // keys.shape[1]
    if mask is None:
        mask = torch.ones(length, slots, dtype=torch.bool).tril()[None, None]
    mask = functional.pad(mask, (0, WINDOW - slots)).expand(batch, heads, length, WINDOW)

    def each_query(stored: Tensor) -> Tensor:
        filled = functional.pad(stored, (0, 0, 0, WINDOW - slots)).repeat_interleave(sharing, dim=1)
        return filled.unsqueeze(2).expand(-1, -1, length, -1, -1).reshape(-1, WINDOW, head_dim)

    scores = torch.bmm(queries.reshape(-1, 1, head_dim), each_query(keys).transpose(1, 2)) / math.sqrt(
        head_dim
    )
    scores = scores.masked_fill(~mask.reshape(-1, 1, WINDOW), float("-inf"))
    return torch.bmm(scores.softmax(dim=-1), each_query(values)).view(queries.shape)


# Products and attention, None being the package's own.
FORMS: dict[str, tuple[Callable | None, Callable | None]] = {
    "package": (None, None),
    "blocks": (in_blocks, None),
    "window": (None, in_window),
    "blocks + window": (in_blocks, in_window),
    "rows": (by_rows, None),
    "rows + window": (by_rows, in_window),
}


@contextmanager
def forms(products: Callable | None, attention: Callable | None) -> Iterator[None]:
    """Every decoder computes so meanwhile."""
    with ExitStack() as stack:
        if products is not None:
            stack.enter_context(patch.object(decoder, "linear", products))
        if attention is not None:
            stack.enter_context(patch.object(decoder, "attend", attention))
        yield


def draw(folder: Path, problems: list[Problem], tokens: int) -> list[Rollout]:
    """What the engine samples, with its log-probabilities."""
    tokenizer, policy = load_tokenizer(folder), load_policy(folder, torch.float32, torch.float32)
    with open_engine(policy, tokenizer, torch.float32, MICROBATCH) as engine:
        return draw_rollouts(problems, "plain", SAMPLES, SamplingParams(max_tokens=tokens), engine, seed=0)


def timed(work: Callable[[], object]) -> float:
    """Fewest seconds of some calls, of this process's CPU: other processes may be busy."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def train(folder: Path, rollouts: Sequence[Rollout]) -> None:
    """One forward and backward pass over a microbatch, for its time."""
    model, rows = load_policy(folder, torch.float32, torch.float32), rollouts[:MICROBATCH]
    pad = load_tokenizer(folder).pad_token_id
    batch = collate([row.prompt_ids for row in rows], [row.token_ids for row in rows], pad)
    scores = get_response_log_probs(model, batch["input_ids"], batch["labels"])["log_probs"]
    scores[batch["response_mask"]].sum().backward()


def whole(folder: Path, problems: list[Problem], tokens: int) -> None:
    """Engine against trainer, form by form, with the times beside the package's."""
    head = ("tokens", "equal", "mean |d|", "largest", "engine", "scores", "update")
    print(f"\n{'form':16s} " + " ".join(f"{name:>8s}" for name in head))
    package: list[float] = []
    for name, (products, attention) in FORMS.items():
        with forms(products, attention):
            rollouts = draw(folder, problems, tokens)
            scores = trainer_log_probs(folder, torch.float32, rollouts)
            works = (
                lambda: draw(folder, problems, tokens),
                lambda drawn=rollouts: trainer_log_probs(folder, torch.float32, drawn),
                lambda drawn=rollouts: train(folder, drawn),
            )
            seconds = [timed(work) for work in works]
        package = package or seconds
        sampler = np.array(list(chain.from_iterable(rollout.log_probs for rollout in rollouts)))
        apart = np.abs(scores - sampler)
        times = " ".join(f"{f'× {now / then:.1f}':>8s}" for now, then in zip(seconds, package, strict=True))
        equal = f"{np.mean(apart == 0):.2%}"
        print(f"{name:16s} {len(apart):8d} {equal:>8s} {apart.mean():8.1e} {apart.max():8.1e} {times}")


def single(model: Decoder) -> None:
    """Each operation on random numbers of the shapes of the model, laid out in two ways."""
    torch.manual_seed(0)
    config, length = model.config, 14
    x = torch.randn(MICROBATCH, length, config.hidden_size)
    wide = torch.randn(MICROBATCH, length, config.mlp_size)
    print(
        f"{'not equal, beside ' + f'{MICROBATCH} × {length}':40s} "
        + " ".join(f"{f'{n} × 1':>8s}" for n in PARTS)
    )

    def show(name: str, function: Callable[[Tensor], Tensor], given: Tensor) -> None:
        with torch.no_grad():
            whole = function(given)[:, -1]
            parts = [function(given[:count, -1:])[:, 0] for count in PARTS]
        print(f"  {name:38s} " + " ".join(unequal(whole, part) for part in parts))

    layer = model.model.layers[0]
    products = {
        "hidden to queries": (layer.self_attn.q_proj.weight, layer.self_attn.q_proj.bias, x),
        "hidden to keys": (layer.self_attn.k_proj.weight, layer.self_attn.k_proj.bias, x),
        "hidden to MLP": (layer.mlp.up_proj.weight, None, x),
        "MLP to hidden": (layer.mlp.down_proj.weight, None, wide),
        "hidden to vocabulary": (model.model.embed_tokens.weight, None, x),
    }
    for name, (weight, bias, given) in products.items():
        for kind, form in (("", functional.linear), (", blocks", in_blocks)):
            show(f"product, {name}{kind}", lambda rows, w=weight, b=bias, f=form: f(rows, w, b), given)
    show("RMSNorm", layer.input_layernorm, x)
    show("SiLU", functional.silu, wide)
    show("softmax over the vocabulary", log_softmax, torch.randn(MICROBATCH, length, config.vocab_size))
    positions = torch.arange(length).expand(MICROBATCH, length)
    show(
        "rotary table",
        lambda places: rotary_table(places, config.head_dim, config.rope_theta, torch.float32)[0],
        positions,
    )
    queries = torch.randn(MICROBATCH, config.heads, length, config.head_dim)
    keys, values = (torch.randn(MICROBATCH, config.kv_heads, length, config.head_dim) for _ in range(2))
    for name, form in (("attention", attend), ("attention, window", in_window)):
        full = form(queries, keys, values, None, None)[:, :, -1]
        steps = [
            form(
                queries[:n, :, -1:], keys[:n], values[:n], torch.ones(n, 1, 1, length, dtype=torch.bool), None
            )
            for n in PARTS
        ]
        print(f"  {name:38s} " + " ".join(unequal(full, step[:, :, 0]) for step in steps))


def unequal(whole: Tensor, part: Tensor) -> str:
    """Share of the numbers of a part that are not those of the whole."""
    return f"{float((whole[: len(part)] != part).float().mean()):8.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--policy", type=Path, help="folder of a trained policy (default: train the config's)"
    )
    parser.add_argument("--configfile", type=Path, default=Path(__file__).parents[1] / "config.yaml")
    parser.add_argument("--problems", type=int, default=512)
    arguments = parser.parse_args()
    config = load_config(arguments.configfile)
    tokens = config["precision"]["training"]["sampling"]["max_tokens"]
    problems = family_problems("add", "train")[: arguments.problems]
    with trained_policy(arguments.policy, config) as folder:
        configure_arithmetic(1, deterministic=True, seed=0)
        single(load_policy(folder, torch.float32, torch.float32))
        whole(folder, problems, tokens)


if __name__ == "__main__":
    main()
