"""Bytes that one pass of `rlvr.models.decoder` holds, by token and by pair of positions."""

from typing import Literal

from rlvr.models.decoder_config import DecoderConfig

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Rows this short are attended to in the explicit form on a CPU (rlvr.models.attention.SHORT).
SHORT = 128
# Of each pair of positions in each head, beyond what is kept, while attention with dropout is computed.
PAIR_WORK = 9

Device = Literal["cpu", "cuda"]


def widened(device: Device, number: int) -> bool:
    """Whether products go through fp32: 16-bit numbers on a CPU, unless it has the instructions."""
    return device == "cpu" and number == BYTES["bfloat16"]


def kept_per_token(sizes: DecoderConfig, number: int, device: Device) -> int:
    """Bytes that one layer keeps of a token for the backward pass, attention's square matrices apart.

    `number`: bytes of the compute dtype.
    In fp32 on a GPU attention reads a copy of keys and values for each query head, see `attend_on_gpu`.
    """
    hidden, mlp = sizes.hidden_size, sizes.mlp_size
    queries, keys = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    norms = 2 * hidden * (4 + 2 * number)  # fp32 input; normalised; scaled, which the products read
    read = queries if device == "cuda" and number == BYTES["float32"] else keys
    attention = number * (queries + 2 * read + 2 * queries)  # rotated heads; mixed values and their layout
    products = 4 * number * mlp
    fp32_inputs = 4 * (5 * hidden + queries + mlp) if widened(device, number) else 0
    return norms + attention + products + 4 * sizes.heads + fp32_inputs


def backward_per_token(sizes: DecoderConfig, number: int, device: Device) -> int:
    """Bytes of a token beyond what is kept, while the gradients of one layer are computed.

    The most are those of the product in the MLP and of its two factors; and the gradients of the layer's
    input and output, and of a norm in fp32.
    """
    wide = 4 * sizes.mlp_size if widened(device, number) else 0
    return 3 * number * sizes.mlp_size + wide + sizes.hidden_size * (8 + 4 * number)


def passing_per_token(sizes: DecoderConfig, number: int, device: Device) -> int:
    """Bytes of a token while one layer is computed without gradients.

    Its input and the normed one, and the largest of: the MLP's product and its factors; queries on their way
    through the rotation, or with what attention reads and returns; a norm in fp32.
    """
    hidden, mlp, queries = sizes.hidden_size, sizes.mlp_size, sizes.heads * sizes.head_dim
    wide = 4 * mlp if widened(device, number) else 0
    return 2 * hidden * number + max(3 * mlp * number + wide, 6 * queries * number, 12 * hidden)


def kept_per_pair(number: int, device: Device, positions: int, dropout: bool) -> int:
    """Bytes kept of each pair of positions in each head; 0 where a fused kernel computes attention.

    The explicit form keeps fp32 probabilities and a copy in the compute dtype, and dropout its mask.
    """
    wide = widened(device, number)
    if dropout or (wide and positions <= SHORT):
        return 4 + (4 if wide else number) + dropout
    return 0
