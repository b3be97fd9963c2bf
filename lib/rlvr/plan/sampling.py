"""Memory of drawing rows with the native engine (`rlvr.rollout`), besides its weights."""

from dataclasses import dataclass

from rlvr.models.decoder_config import DecoderConfig
from rlvr.plan.activations import Device, passing_per_token
from rlvr.plan.parts import Part, worst_moment

CACHE, DRAWING = "key-value cache", "drawing of tokens"


@dataclass(frozen=True)
class SamplingLoad:
    """`rows` that are drawn together, `samples` of a prompt; `prompt` and `response`: the longest, in tokens.

    `number`: bytes of the dtype that the engine computes in.
    """

    rows: int
    samples: int
    prompt: int
    response: int
    top_p: float
    number: int
    device: Device

    @property
    def positions(self) -> int:
        """Tokens of the longest row that are computed: the last one drawn never is."""
        return self.prompt + self.response - 1


def sampling_parts(sizes: DecoderConfig, load: SamplingLoad, phase: str) -> tuple[Part, ...]:
    """Cache and what is computed beside it, at the worst of three moments.

    While prompts are read; while their cache is copied into one with room for the responses; while tokens are
    drawn, with one layer twice, since rows that leave the batch have theirs copied layer by layer.
    """
    prompts = -(-load.rows // load.samples)
    slot = 2 * sizes.kv_heads * sizes.head_dim * load.number
    # On a CPU attention reads a layer's keys and values once for each query head.
    copied = slot + (2 * sizes.heads * sizes.head_dim * load.number if load.device == "cpu" else 0)
    of_prompts = prompts * load.prompt * sizes.layers * slot
    reading = prompts * load.prompt * passing_per_token(sizes, load.number, load.device)
    growing = of_prompts + prompts * load.positions * sizes.layers * slot
    cache = load.rows * load.positions * (sizes.layers * slot + copied)
    # fp32 logits twice, then probabilities as float64 and int64; sorted ones and their sums besides.
    drawing = load.rows * sizes.vocab_size * (28 if load.top_p == 1 else 56)
    held, beside = worst_moment((of_prompts, reading), (growing, 0), (cache, drawing))
    return Part(CACHE, held, (phase,)), Part(DRAWING, beside, (phase,))
