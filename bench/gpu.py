"""Training and decoding of Qwen2.5-Math-shaped policies with random weights on one GPU.

    python bench/gpu.py                     # the 1.5B shape in three modes, and decoding; about two minutes
    python bench/gpu.py --shape 7b --modes bf16 --rows 4
    python bench/gpu.py --rows 32 --recompute --chunk 4096      # see `trainer` of the config

Training: forward with log-probabilities, backward and the optimiser's step on rows of random tokens, the
fastest of three steps each. FLOP: 6 a weight and token, and attention's causal products; utilisation is of
the chip's dense bf16 peak (`--peak`, TFLOP/s), in fp32 modes too. The peak of memory stands beside the
planner's for the same parts. Each mode runs twice from the same weights, and the line after says whether both
end with the same hash. Decoding: the native engine in bf16.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import torch

from rlvr.arithmetic import configure_arithmetic
from rlvr.models.decoder import Decoder
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.label_scores import Scoring
from rlvr.models.recomputation import recompute_layers
from rlvr.models.tiny import initialise
from rlvr.models.tokenizers import character_tokenizer
from rlvr.models.weights import weight_hash
from rlvr.plan import memory as plan
from rlvr.plan.parts import JobMemory
from rlvr.precision import PrecisionMode, resolve_mode, torch_dtype
from rlvr.rollout.native import NativeEngine
from rlvr.training.optimizer import make_optimizer


def shape(
    vocabulary: int, hidden: int, layers: int, heads: tuple[int, int], mlp: int, tied: bool
) -> DecoderConfig:
    """Sizes of a Qwen2 policy; `heads`: of queries and of keys."""
    return DecoderConfig(
        model_type="qwen2", vocab_size=vocabulary, hidden_size=hidden, layers=layers, heads=heads[0],
        kv_heads=heads[1], head_dim=hidden // heads[0], mlp_size=mlp, max_positions=4096, rope_theta=1e4,
        rms_norm_eps=1e-6, tied_embeddings=tied, qkv_bias=True, output_bias=False, mlp_bias=False,
    )  # fmt: skip


SHAPES = {
    "tiny": shape(512, 256, 2, (2, 1), 512, tied=True),
    "1.5b": shape(151_936, 1536, 28, (12, 2), 8960, tied=True),
    "7b": shape(152_064, 3584, 28, (28, 4), 18_944, tied=False),
}
NOT_HERE = (plan.BASE, plan.ENGINE, plan.RECORD)  # parts of a job that are not part of the bench
INIT_STD = 0.02
WRITE = sys.stdout.write


@dataclass(frozen=True)
class Step:
    """Seconds of the phases of a step."""

    forward: float
    backward: float
    optimizer: float


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def train(sizes: DecoderConfig, mode: PrecisionMode, load: plan.TrainingLoad) -> tuple[Step, str, int]:
    """Fastest phases of three steps, the hash of the weights after them, and the number of weights."""
    device = load.device
    configure_arithmetic(torch.get_num_threads(), mode.deterministic, 0)
    with torch.device(device):
        model = Decoder(sizes, torch_dtype(mode.master), torch_dtype(mode.compute), mode.logits_fp32)
    initialise(model, INIT_STD, 0, device)
    if load.recompute_activations:
        recompute_layers(model)
    optimizer = make_optimizer(model, mode, 1e-6, (0.9, 0.999), 1e-8, 0.0, seed=0, tracked=65536)
    generator = torch.Generator(device).manual_seed(1)
    size = (load.rows, load.positions + 1)
    tokens = torch.randint(sizes.vocab_size, size, device=device, generator=generator)
    mask = torch.ones_like(tokens[:, 1:], dtype=torch.bool)
    scoring = Scoring(False, torch_dtype(mode.logits), load.vocabulary_chunk)
    steps = []
    for _ in range(3):
        started = clock(device)
        log_probs, _ = model.label_scores(tokens[:, :-1], tokens[:, 1:], mask, scoring)
        loss = -log_probs.mean()
        forward = clock(device)
        loss.backward()
        backward = clock(device)
        optimizer.step()
        optimizer.zero_grad()
        steps.append(Step(forward - started, backward - forward, clock(device) - backward))
        del log_probs, loss
    fastest = Step(
        *(min(getattr(step, phase) for step in steps) for phase in ("forward", "backward", "optimizer"))
    )
    return fastest, weight_hash(model.named_parameters()), sum(p.numel() for p in model.parameters())


def planned_bytes(sizes: DecoderConfig, mode: PrecisionMode, load: plan.TrainingLoad) -> float:
    """The planner's peak of the backward pass and the optimiser's step, for the parts that are here."""
    parts = plan.training_memory(sizes, mode, load).parts
    here = tuple(part for part in parts if part.name not in NOT_HERE)
    return JobMemory(here, (plan.HEAD, plan.LAYERS, plan.END, plan.OPTIMISER)).peak()


def report_training(name: str, mode_name: str, load: plan.TrainingLoad, peak: float) -> str:
    """One run, printed; the hash of its weights."""
    rows, width, device = load.rows, load.positions, load.device
    sizes, mode = SHAPES[name], resolve_mode(mode_name, 0.0, {})
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step, digest, weights = train(sizes, mode, load)
    tokens, seconds = rows * width, step.forward + step.backward
    attention = 6 * sizes.layers * sizes.heads * sizes.head_dim * rows * width**2  # causal: half of all pairs
    flops = (6 * weights * tokens + attention) / seconds
    used = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    planned = planned_bytes(sizes, mode, load)
    times = (f"{phase} {1e3 * taken:.0f}" for phase, taken in vars(step).items())
    WRITE(f"{name} {mode_name}, {rows} x {width}: {', '.join(times)} ms; {tokens / seconds:,.0f} tokens/s, ")
    WRITE(f"{flops / 1e12:.0f} TFLOP/s, {flops / peak / 1e10:.1f} % of the peak; ")
    WRITE(f"memory {used / 2**30:.1f} GiB, planned {planned / 2**30:.1f}; weights {digest[:12]}\n")
    sys.stdout.flush()
    return digest


def report_decoding(name: str, rows: int, prompt: int, steps: int, device: str) -> None:
    """Prefill and `steps` steps of decoding, the second time, since the first one has CUDA's start in it."""
    with torch.device(device):
        model = Decoder(SHAPES[name], torch.bfloat16, torch.bfloat16)
    initialise(model, INIT_STD, 0, device)
    engine = NativeEngine(model, character_tokenizer(), torch.bfloat16, rows, device, share_weights=True)
    with torch.inference_mode():
        for _ in range(2):
            started = clock(device)
            logits = engine._prefill([tuple(range(row, row + prompt)) for row in range(rows)], steps + 1)
            prefilled = clock(device)
            for _ in range(steps):
                logits = engine._advance(logits.argmax(-1))
            seconds = (clock(device) - prefilled) / steps
    WRITE(
        f"{name} decoding, {rows} rows after {prompt} tokens: prefill {1e3 * (prefilled - started):.0f} ms, "
        f"step {1e3 * seconds:.1f} ms, {rows / seconds:,.0f} tokens/s\n"
    )
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="1.5b")
    parser.add_argument("--modes", nargs="*", default=["bf16_mixed", "bf16", "fp32"])
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--recompute", action="store_true", help="activations in the backward pass")
    parser.add_argument("--chunk", type=int, help="positions whose logits exist at a time")
    parser.add_argument("--decode-rows", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument(
        "--peak", type=float, default=989.0, help="dense bf16 TFLOP/s of the chip (H100 SXM, H200)"
    )
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try the bench itself"
    )
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: there is no GPU here; --device cpu --shape tiny tries the bench itself")
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    WRITE(f"{name}, torch {torch.__version__}\n")
    load = plan.TrainingLoad(
        rows=options.rows, drawn_rows=1, samples=1, prompt=1, response=options.width, top_p=1.0,
        tracked=65536, device=options.device, recompute_activations=options.recompute,
        vocabulary_chunk=options.chunk, accumulates=False,
    )  # fmt: skip
    for mode in options.modes:
        first, second = (report_training(options.shape, mode, load, options.peak) for _ in range(2))
        WRITE(f"{mode}: two runs are {'equal' if first == second else 'different'}\n")
    for rows in options.decode_rows:
        report_decoding(options.shape, rows, options.prompt, 100, options.device)


if __name__ == "__main__":
    main()
