"""Log-probabilities and entropies of labels at a vocabulary of 151,936: all logits at once and in chunks.

    python bench/log_probs.py                                   # two minutes on a CPU, hidden size 64
    python bench/log_probs.py --device cuda --hidden 1536 --positions 16384 --chunk 2048

Forward and backward through the head alone, each way and dtype in a process of its own, the fastest of three
passes (on a CPU in seconds of CPU time). Peak: of torch's allocator on CUDA, on a CPU what the process's
resident memory grew by. Then the largest differences of the two ways: of log-probabilities and entropies in
nats, of gradients relative to their largest entry. In bf16 weights, hidden states and products are bf16, and
the softmax is fp32.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from rlvr.arithmetic import configure_arithmetic
from rlvr.models.label_scores import Head, Scoring, label_scores
from rlvr.precision import torch_dtype

VOCABULARY = 151_936
DTYPES = ("float32", "bfloat16")
WAYS = ("plain", "chunked")
NAMES = ("log-probs", "entropies", "gradient of hidden", "gradient of head")
WRITE = sys.stdout.write


def one_pass(
    options: argparse.Namespace, dtype: torch.dtype, chunk: int | None
) -> tuple[float, list[Tensor]]:
    """Seconds of a forward and backward, and what it gives."""
    device, generator = options.device, torch.Generator(options.device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device)

    hidden = normal(1, options.positions, options.hidden).to(dtype).requires_grad_()
    weight = (normal(VOCABULARY, options.hidden) * options.hidden**-0.5).to(dtype).requires_grad_()
    labels = torch.randint(VOCABULARY, hidden.shape[:2], generator=generator, device=device)
    outer = normal(1, options.positions)
    mask = torch.ones_like(labels, dtype=torch.bool)
    started = clock(device)
    scores = label_scores(Head(weight, None, dtype, True), hidden, labels, mask, Scoring(True, None, chunk))
    log_probs, entropies = scores
    log_probs.backward(outer)
    return clock(device) - started, [log_probs.detach(), entropies, hidden.grad, weight.grad]


def clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(options: argparse.Namespace, dtype: str, way: str, results: str) -> None:
    """In a process of its own: print seconds and bytes, and save what came out."""
    configure_arithmetic(options.threads, True, 0)
    chunk = options.chunk if way == "chunked" else None
    torch.ones(8, 8, device=options.device).mm(torch.ones(8, 8, device=options.device))  # libraries start
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    passes = [one_pass(options, torch_dtype(dtype), chunk) for _ in range(3)]
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    peak = torch.cuda.max_memory_allocated() if options.device == "cuda" else grown
    torch.save([tensor.cpu() for tensor in passes[-1][1]], results)
    WRITE(f"{min(seconds for seconds, _ in passes)} {peak}\n")


def difference(name: str, plain: Tensor, chunked: Tensor) -> float:
    """The largest, absolute for nats and relative to the largest entry for gradients."""
    largest = (plain.double() - chunked.double()).abs().max().item()
    return largest / plain.double().abs().max().item() if name.startswith("gradient") else largest


def report(options: argparse.Namespace, dtype: str, folder: Path) -> None:
    """Both ways in one dtype."""
    for way in WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--measure", dtype, way, str(folder / way)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        seconds, peak = float(answer[0]), int(answer[1])
        WRITE(f"{dtype} {way}: {1e3 * seconds:.0f} ms, peak {peak / 2**20:,.0f} MiB\n")
    plain, chunked = (torch.load(folder / way) for way in WAYS)
    for name, one, other in zip(NAMES, plain, chunked, strict=True):
        WRITE(f"  largest difference of {name}: {difference(name, one, other):.1e}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", nargs=3, metavar=("DTYPE", "WAY", "FILE"), help="one, in this process")
    options = parser.parse_args()
    if options.measure:
        measure(options, *options.measure)
        return
    WRITE(f"{options.positions} positions, hidden size {options.hidden}, chunks of {options.chunk}\n")
    with tempfile.TemporaryDirectory() as folder:
        for dtype in DTYPES:
            report(options, dtype, Path(folder))


if __name__ == "__main__":
    main()
