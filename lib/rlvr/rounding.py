"""How fp32 results are rounded into 16-bit storage: stochastic rounding, its random bits, compensation."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

WriteBack = Literal["nearest", "stochastic", "kahan"]

# What each write-back can round weights and moments into; fp32 results in fp32 storage are not rounded.
_SIXTEEN_BIT = (torch.bfloat16, torch.float16)
WEIGHT_DTYPES: dict[WriteBack, tuple[torch.dtype, ...]] = {
    "nearest": (torch.float32, *_SIXTEEN_BIT),
    "stochastic": (torch.bfloat16,),
    "kahan": _SIXTEEN_BIT,
}
STATE_DTYPES: dict[WriteBack, tuple[torch.dtype, ...]] = {
    "nearest": (torch.float32, *_SIXTEEN_BIT),
    "stochastic": (torch.float32, torch.bfloat16),
    "kahan": (torch.float32, *_SIXTEEN_BIT),
}

BF16_MAX = torch.finfo(torch.bfloat16).max
_LOW_HALF = 0xFFFF  # the bits of an fp32 number that bf16 drops


def require_dtype(
    what: str, dtype: torch.dtype, allowed: Sequence[torch.dtype], write_back: WriteBack
) -> None:
    """ValueError that names `what` and the allowed dtypes, unless `dtype` is one of them."""
    if dtype not in allowed:
        raise ValueError(
            f"{what} is {dtype}; with write_back {write_back!r} allowed: {', '.join(map(str, allowed))}"
        )


def derived_generator(device: torch.device, purpose: str, *numbers: int) -> torch.Generator:
    """A generator on `device` that is a function of (purpose, numbers) alone.

    Seeded by BLAKE2b. torch's CPU generator keeps 32 bits of a seed, so that two of some 10⁵ streams may be
    the same one by chance.
    """
    digest = hashlib.blake2b(repr((purpose, *numbers)).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def random_int16(count: int, generator: torch.Generator) -> Tensor:
    """`count` uniform int16 numbers, shape (count,); more of them start with the same ones.

    Drawn as 64-bit words, four numbers each.
    """
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=generator.device)
    return words.random_(-(2**63), None, generator=generator).view(torch.int16)[:count]


def round_stochastically(values: Tensor, noise: Tensor) -> Tensor:
    """fp32 `values` as bfloat16, each rounded to one of its two neighbours, without bias; same shape.

    A value at the share p of the way from the neighbour nearer to zero to the other one becomes the latter
    with probability p, in steps of 2⁻¹⁶ (the dropped bits, exactly). Values that bf16 holds are kept.
    `noise`: uniform int16 numbers of the same shape, see `random_int16`.

    Infinities and NaN stay what they are. Finite values beyond the largest bf16 number, 3.39e38, have no
    finite neighbour above: they are rounded to nearest.
    """
    # noise + 2¹⁵ is uniform in [0, 2¹⁶): its sum with the low half carries into the high half with
    # probability low/2¹⁶, and the carry goes up through the exponent as the next bf16 number needs it.
    bits = noise.to(torch.int32).add_(values.view(torch.int32)).add_(0x8000).bitwise_and_(~_LOW_HALF)
    rounded = bits.view(torch.float32).to(torch.bfloat16)
    if not values.numel():
        return rounded
    if values.device.type == "cpu":  # a reduction costs a tenth of an elementwise selection
        lowest, highest = (extreme.item() for extreme in values.aminmax())  # NaN if there is one
        if lowest >= -BF16_MAX and highest <= BF16_MAX:
            return rounded
    return torch.where(values.abs() <= BF16_MAX, rounded, values.to(torch.bfloat16))


def stochastic_noise(
    elements: int, device: torch.device, count: int, seed: int, step: int, index: int
) -> tuple[Tensor, ...]:
    """`count` flat tensors of noise for `round_stochastically`: int16, `elements` numbers each.

    A function of (seed, step, index, elements) on one kind of device; every tensor has a stream of its own.
    """
    return tuple(
        random_int16(elements, derived_generator(device, "stochastic rounding", seed, step, index, number))
        for number in range(count)
    )


def add_compensated(values: Tensor, update: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Round `values` + `update` to `dtype`; also the fp32 rest of `update` that rounding left out.

    `values`: fp32 numbers that `dtype` holds. Compensated summation (Kahan 1965, doi:10.1145/363707.363723).
    """
    rounded = (values + update).to(dtype)
    return rounded, update - (rounded.float() - values)
