"""Gate III on synthetic weights: what a storage format lets through of Adam's updates.

    python bench/gate_three.py         # about half a minute, one thread

2¹⁶ weights from N(0, 0.02²), representable in bf16; the gradient of weight i is μᵢ + N(0, 1) at every step,
with μᵢ ~ N(0, 0.1²), stored as the weights are; AdamW with lr 1e-6, β = (0.9, 0.999), no decay.
"""

import argparse
from dataclasses import dataclass

import torch

from rlvr.optim import AdamW
from rlvr.training.metrics import second_moments_stuck

ARMS = (
    ("fp32, seen in bf16", torch.float32, torch.float32, "nearest"),
    ("bf16, fp32 state", torch.bfloat16, torch.float32, "nearest"),
    ("bf16, bf16 state", torch.bfloat16, torch.bfloat16, "nearest"),
    ("bf16, fp32 state, stochastic", torch.bfloat16, torch.float32, "stochastic"),
    ("bf16, bf16 state, stochastic", torch.bfloat16, torch.bfloat16, "stochastic"),
    ("bf16, fp32 state, Kahan", torch.bfloat16, torch.float32, "kahan"),
    ("bf16, bf16 state, Kahan", torch.bfloat16, torch.bfloat16, "kahan"),
)


@dataclass(frozen=True)
class Seen:
    """One arm after some steps.

    `changed`: share of weights whose bf16 value is another than at the start. `projection`: <applied,
    intended>/<intended, intended>, intended the sum of the arm's own fp32 updates; `with_rest` adds the
    compensation buffer to applied. `lost`: AdamW.lost_update. `stuck`: second_moments_stuck.
    """

    changed: float
    projection: float
    with_rest: float
    lost: float
    stuck: float


def look(optimizer, weight, start):
    state = optimizer.state[weight]
    intended = state["intended"].double()
    applied = weight.detach().double() - start.double()
    rest = state["compensation"].double() if "compensation" in state else 0.0
    return Seen(
        changed=(weight.detach().bfloat16() != start).double().mean().item(),
        projection=(applied @ intended / (intended @ intended)).item(),
        with_rest=((applied + rest) @ intended / (intended @ intended)).item(),
        lost=optimizer.lost_update(),
        stuck=second_moments_stuck(optimizer),
    )


def run(dtype, state_dtype, write_back, weights, steps, seed=0):
    """What is seen of one arm after each number of `steps` (increasing)."""
    generator = torch.Generator().manual_seed(seed)
    start = (torch.randn(weights, generator=generator) * 0.02).bfloat16()
    mean = torch.randn(weights, generator=generator) * 0.1
    weight = torch.nn.Parameter(start.to(dtype, copy=True))
    optimizer = AdamW(
        [weight], lr=1e-6, state_dtype=state_dtype, write_back=write_back, seed=seed, tracked=weights
    )
    seen = []
    for step in range(1, steps[-1] + 1):
        weight.grad = torch.randn(weights, generator=generator).add_(mean).to(dtype)
        optimizer.step()
        if step in steps:
            seen.append(look(optimizer, weight, start))
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=2**16)
    weights = parser.parse_args().weights
    torch.set_num_threads(1)
    print(f"{weights:,} weights")
    print(f"{'':30s} steps  changed  projection  with the rest     lost    stuck")
    for name, dtype, state_dtype, write_back in ARMS:
        for steps, seen in zip(
            (400, 1200), run(dtype, state_dtype, write_back, weights, (400, 1200)), strict=True
        ):
            print(
                f"{name:30s} {steps:5d}  {seen.changed:6.2%}  {seen.projection:10.4f}  "
                f"{seen.with_rest:13.4f}  {seen.lost:7.4f}  {seen.stuck:6.2%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
