"""Seconds of one AdamW step beside torch.optim.AdamW(foreach=True), paired and interleaved.

    python bench/optimizer.py          # some minutes, 4 GB of memory

Sets of parameters: the policy of the embedded default, and 12 transformer layers with an embedding, 100 M
elements. Steps alternate; the ratio is the median of the ratios of neighbouring steps. On a machine that does
other work at the same time, the ratio of the fastest steps is the better one. Columns: dtype of the weights,
of the moments, write-back.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
import yaml

from rlvr.config.build import build
from rlvr.config.policy import ArchitectureConfig
from rlvr.models.decoder import Decoder
from rlvr.models.tiny import decoder_config
from rlvr.models.tokenizers import character_tokenizer
from rlvr.optim import AdamW

CONFIG = Path(__file__).parents[1] / "config.yaml"
SETTINGS = {"lr": 1e-6, "betas": (0.9, 0.999), "weight_decay": 0.01}
VARIANTS = (
    ("float32", "float32", "nearest"),
    ("bfloat16", "bfloat16", "nearest"),
    ("bfloat16", "bfloat16", "stochastic"),
    ("bfloat16", "bfloat16", "kahan"),
    ("bfloat16", "float32", "nearest"),
    ("bfloat16", "float32", "stochastic"),
    ("bfloat16", "float32", "kahan"),
)


def tiny_shapes():
    architecture = build(ArchitectureConfig, yaml.safe_load(CONFIG.read_text())["base"]["architecture"])
    model = Decoder(decoder_config(architecture, len(character_tokenizer())), torch.float32, torch.float32)
    return [parameter.shape for parameter in model.parameters()]


def large_shapes(hidden=768, mlp=2048, layers=12, vocabulary=20_000):
    square, bias = (hidden, hidden), (hidden,)
    layer = [square, bias, square, bias, square, bias, square, (mlp, hidden), (mlp, hidden), (hidden, mlp)]
    return [(vocabulary, hidden), *[*layer, bias, bias] * layers, bias]


def parameters_of(shapes, dtype):
    generator = torch.Generator().manual_seed(0)
    parameters = []
    for shape in shapes:
        parameter = torch.nn.Parameter((torch.randn(shape, generator=generator) * 0.02).to(dtype))
        parameter.grad = torch.randn(shape, generator=generator).to(dtype)
        parameters.append(parameter)
    return parameters


def seconds(optimizer):
    start = time.perf_counter()
    optimizer.step()
    return time.perf_counter() - start


def compare(ours, theirs, pairs):
    """Seconds of `pairs` neighbouring steps, ours and theirs; three uncounted steps before."""
    for optimizer in (ours, theirs) * 3:
        optimizer.step()
    return [(seconds(ours), seconds(theirs)) for _ in range(pairs)]


def report(name, times):
    own, torchs = zip(*times, strict=True)
    ratio = statistics.median(a / b for a, b in times)
    print(
        f"  {name:30s} {1e3 * statistics.median(own):8.2f} ms; torch, fp32 "
        f"{1e3 * statistics.median(torchs):8.2f} ms; ratio {ratio:.2f}; "
        f"ratio of the fastest {min(own) / min(torchs):.2f}",
        flush=True,
    )


def bench(name, shapes, variants, pairs, threads):
    elements = sum(torch.Size(shape).numel() for shape in shapes)
    torch.set_num_threads(threads)
    print(f"{name}: {len(shapes)} tensors, {elements:,} elements; {threads} threads, {pairs} pairs")
    theirs = torch.optim.AdamW(parameters_of(shapes, torch.float32), foreach=True, **SETTINGS)
    for weights, state, write_back in variants:
        ours = AdamW(
            parameters_of(shapes, getattr(torch, weights)),
            state_dtype=getattr(torch, state),
            write_back=write_back,
            **SETTINGS,
        )
        report(f"{weights} {state} {write_back}", compare(ours, theirs, pairs))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", type=int, default=len(VARIANTS), help="the first so many only")
    variants = VARIANTS[: parser.parse_args().variants]
    for threads in (1, 2):
        bench("tiny policy", tiny_shapes(), variants, 101, threads)
    for threads in (1, 2):
        bench("large set", large_shapes(), variants, 21, threads)


if __name__ == "__main__":
    main()
