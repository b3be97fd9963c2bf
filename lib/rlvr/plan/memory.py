"""Memory of one training job, part by part, in the precision mode's dtypes.

The parts are those of `rlvr.training`: what stays, and what each phase of a step adds. Sizes of activations
are what torch keeps for the backward pass of `rlvr.models.decoder`; docs/plan.md has the formulas and
docs/performance.md the measured peaks beside them.
"""

from dataclasses import dataclass, replace
from typing import Literal

from rlvr.models.decoder_config import DecoderConfig
from rlvr.plan.shapes import layer_sizes, tensor_sizes
from rlvr.precision import PrecisionMode

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Rows this short are attended to in the explicit form on a CPU (rlvr.models.attention.SHORT).
SHORT = 128
# Elements that the optimiser and the comparison of weights take at a time.
_OPTIMIZER_BUCKET = {"cpu": 2**17, "cuda": 2**24}
_COMPARED = 2**22

Phase = Literal["always", "sampling", "scoring", "backward", "optimiser", "comparing"]
PHASES: tuple[Phase, ...] = ("sampling", "scoring", "backward", "optimiser", "comparing")


@dataclass(frozen=True)
class TrainingLoad:
    """What a job computes at a time: `rows` of a microbatch, `drawn_rows` sampled together.

    `prompt` and `response` are the longest, in tokens; `samples` of one prompt. `tracked`: weights of each
    tensor whose updates are summed up. The last three: see `rlvr.config.precision.TrainerConfig`.
    """

    rows: int
    drawn_rows: int
    samples: int
    prompt: int
    response: int
    top_p: float
    tracked: int
    device: Literal["cpu", "cuda"]
    microbatch_tokens: int | None = None
    recompute_activations: bool = False
    vocabulary_chunk: int | None = None

    @property
    def positions(self) -> int:
        """Tokens of the longest row that are computed: the last one drawn never is."""
        return self.prompt + self.response - 1

    @property
    def tokens(self) -> int:
        """Tokens of the largest microbatch: of its rows, or at most the budget, which one row may exceed."""
        if self.microbatch_tokens is None:
            return self.rows * self.positions
        return min(self.rows * self.positions, max(self.microbatch_tokens, self.positions))

    @property
    def scored(self) -> int:
        """Positions of a microbatch whose logits exist together: those of responses only."""
        together = min(self.rows * self.response, self.tokens)
        return together if self.vocabulary_chunk is None else min(together, self.vocabulary_chunk)


@dataclass(frozen=True)
class Part:
    """Bytes of one thing. `sharded`: divided among GPUs by FSDP; the other parts are needed on each."""

    name: str
    size: int
    phase: Phase
    sharded: bool

    def on_each_of(self, gpus: int) -> float:
        """Bytes on one of so many GPUs."""
        return self.size / gpus if self.sharded else self.size


@dataclass(frozen=True)
class TrainingMemory:
    """The parts of one job, and the bytes of what FSDP gathers at a time where there are several GPUs."""

    parts: tuple[Part, ...]
    gathered: int

    def largest(self, name: str) -> int:
        """Bytes of a part on one device, in the phase that has most of it; 0 if the mode has none."""
        own = [part for part in self.parts if part.name == name]
        lasting = sum(part.size for part in own if part.phase == "always")
        return lasting + max((part.size for part in own if part.phase != "always"), default=0)

    def is_sharded(self, name: str) -> bool:
        """Whether a part is divided among GPUs."""
        return any(part.sharded for part in self.parts if part.name == name)

    @property
    def trained(self) -> int:
        """Weights, gradients and the optimiser's state."""
        return sum(part.size for part in self.parts if part.name in TRAINED)

    def in_phase(self, phase: Phase, gpus: int = 1) -> float:
        """Bytes on each GPU in a phase of a step, with what stays."""
        found = sum(part.on_each_of(gpus) for part in self.parts if part.phase in ("always", phase))
        return found + (self.gathered if gpus > 1 else 0)

    def peak_phase(self, gpus: int = 1) -> Phase:
        """The phase that needs most."""
        return max(PHASES, key=lambda phase: self.in_phase(phase, gpus))

    def peak(self, gpus: int = 1) -> float:
        """The most bytes on each GPU."""
        return self.in_phase(self.peak_phase(gpus), gpus)


WEIGHTS, GRADIENTS, MOMENTS, COMPENSATION = "weights", "gradients", "Adam's moments", "Kahan compensation"
TRAINED = (WEIGHTS, GRADIENTS, MOMENTS, COMPENSATION)
BASE, ENGINE, RECORD = "base policy (KL)", "rollout engine", "records of the weights"
CACHE, DRAWING, COPY = "key-value cache", "drawing of tokens", "weights in compute dtype"
ACTIVATIONS, LOGITS, WORK = "activations", "logits", "working buffers"
NAMES = (*TRAINED, BASE, ENGINE, RECORD, COPY, CACHE, DRAWING, ACTIVATIONS, LOGITS, WORK)


def training_memory(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> TrainingMemory:
    """Every part of a job that trains a policy of these sizes in a mode."""
    compute, reduce = BYTES[mode.compute], BYTES[mode.reduce]
    unit = max(sum(layer_sizes(sizes)), sizes.vocab_size * sizes.hidden_size)
    parts = (
        *_lasting(sizes, mode, load),
        *_sampling(sizes, mode, load),
        *_scoring(sizes, mode, load),
        *_backward(sizes, mode, load),
        *_updating(sizes, mode, load),
    )
    # Two layers in the compute dtype (one is prefetched) and the gradient of one before it is scattered.
    return TrainingMemory(tuple(part for part in parts if part.size), unit * (2 * compute + reduce))


def _lasting(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    tensors = tensor_sizes(sizes)
    count, master = sum(tensors), BYTES[mode.master]
    # Intended update and start in fp32, and the coordinate in int64.
    tracked = sum(min(load.tracked, size) for size in tensors) * 16
    named = {
        WEIGHTS: count * master,
        GRADIENTS: count * BYTES[mode.reduce],
        MOMENTS: count * 2 * BYTES[mode.optimizer_state],
        COMPENSATION: count * master if mode.write_back == "kahan" else 0,
        BASE: count * BYTES[mode.compute],
        ENGINE: count * BYTES[mode.rollout],
        RECORD: count * BYTES["bfloat16"] + tracked,
    }
    return tuple(Part(name, size, "always", sharded=True) for name, size in named.items())


def _sampling(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    number, rows = BYTES[mode.rollout], load.drawn_rows
    slot = 2 * sizes.kv_heads * sizes.head_dim * number
    # A layer exists twice while rows leave the batch, and once with every query head's keys and values.
    copied = slot + 2 * sizes.heads * sizes.head_dim * number
    cache = rows * load.positions * (sizes.layers * slot + copied)
    prompts = -(-rows // load.samples)
    prefill = prompts * load.prompt * _saved_per_token(sizes, number, load)
    # fp32 logits twice, then probabilities as float64 and int64; sorted ones and their sums besides.
    drawing = rows * sizes.vocab_size * (28 if load.top_p == 1 else 56)
    return (
        Part(CACHE, cache, "sampling", sharded=False),
        Part(DRAWING, drawing + prefill, "sampling", sharded=False),
    )


def _scoring(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """Log-probabilities and entropies before the update, without gradients: one layer's activations."""
    # Logits, log-probabilities, and for the entropy their exponential, a clamped copy and the product.
    return (
        _kept_weights(sizes, mode, "scoring"),
        Part(ACTIVATIONS, _saved(sizes, mode, load), "scoring", sharded=False),
        Part(LOGITS, load.scored * sizes.vocab_size * 20, "scoring", sharded=False),
    )


def _backward(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    compute, count = BYTES[mode.compute], sum(tensor_sizes(sizes))
    widened = _widened(load, compute)
    copy = count * ((compute if mode.compute != mode.master else 0) + (4 if widened else 0))
    # One layer more than are kept: its gradients, while they are computed.
    kept = 1 if load.recompute_activations else sizes.layers
    activations = (kept + 1) * _saved(sizes, mode, load)
    if load.recompute_activations:  # the input of each layer
        activations += sizes.layers * load.tokens * sizes.hidden_size * compute
    # Log-probabilities and the gradients of them and of the logits, all in fp32.
    logits = load.scored * sizes.vocab_size * 12
    gradient = max(tensor_sizes(sizes)) * (4 + BYTES[mode.reduce])
    if load.vocabulary_chunk is not None:
        logits += load.scored * sizes.vocab_size * 4  # which are computed again
        # The head's gradient is summed up in fp32, and what is added to it has that dtype too.
        gradient += sizes.vocab_size * sizes.hidden_size * (8 if compute == BYTES["bfloat16"] else 4)
    return (
        _kept_weights(sizes, mode, "backward"),
        Part(COPY, copy, "backward", sharded=True),
        Part(ACTIVATIONS, activations, "backward", sharded=False),
        Part(LOGITS, logits, "backward", sharded=False),
        Part(WORK, gradient, "backward", sharded=False),
    )


def _updating(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """The optimiser's step and the comparison of the weights before and after it."""
    largest = max(tensor_sizes(sizes))
    bucket = _OPTIMIZER_BUCKET[load.device]
    noise = max(largest, bucket) * 6 if mode.write_back == "stochastic" else 0
    disturbed = 12 * largest if mode.gradient_noise else 4 * largest
    return (
        _kept_weights(sizes, mode, "optimiser"),
        Part(WORK, max(disturbed, 24 * bucket + noise), "optimiser", sharded=False),
        _kept_weights(sizes, mode, "comparing"),
        Part(WORK, 24 * max(largest, min(_COMPARED, sum(tensor_sizes(sizes)))), "comparing", sharded=False),
    )


def _kept_weights(sizes: DecoderConfig, mode: PrecisionMode, phase: Phase) -> Part:
    """The copy of the weights before the step, from scoring to the comparison."""
    return Part(RECORD, sum(tensor_sizes(sizes)) * BYTES[mode.master], phase, sharded=True)


def _widened(load: TrainingLoad, number: int) -> bool:
    """Whether products go through fp32: 16-bit numbers on a CPU, unless it has the instructions."""
    return load.device == "cpu" and number == BYTES["bfloat16"]


def _saved_per_token(sizes: DecoderConfig, number: int, load: TrainingLoad) -> int:
    """Bytes that one layer keeps of a token for the backward pass, attention's square matrices apart.

    In fp32 on a GPU attention reads a copy of keys and values for each query head, see `attend_on_gpu`.
    """
    hidden, mlp = sizes.hidden_size, sizes.mlp_size
    queries, keys = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    norms = 2 * hidden * (4 + 2 * number)  # fp32 input; normalised; scaled, which the products read
    read = queries if load.device == "cuda" and number == BYTES["float32"] else keys
    attention = number * (queries + 2 * read + 2 * queries)  # rotated heads; mixed values and their layout
    products = 4 * number * mlp
    fp32_inputs = 4 * (5 * hidden + queries + mlp) if _widened(load, number) else 0
    return norms + attention + products + 4 * sizes.heads + fp32_inputs


def _saved(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> int:
    """Bytes that one layer keeps of a microbatch."""
    number, positions = BYTES[mode.compute], load.positions
    per_token, pair = _saved_per_token(sizes, number, load), _saved_per_pair(mode, load)
    return load.tokens * (per_token + pair * sizes.heads * positions)


def _saved_per_pair(mode: PrecisionMode, load: TrainingLoad) -> int:
    """Bytes kept of each pair of positions in each head; 0 where a fused kernel computes attention.

    The explicit form keeps fp32 probabilities and a copy in the compute dtype, and dropout its mask.
    """
    number = BYTES[mode.compute]
    widened = _widened(load, number)
    if mode.dropout.rate or (widened and load.positions <= SHORT):
        return 4 + (4 if widened else number) + (1 if mode.dropout.rate else 0)
    return 0


# What is left to CUDA's context, libraries and fragmentation.
USABLE_SHARE = 0.9
MOST_GPUS = 1024


def fewest_gpus(memory: TrainingMemory, gpu_bytes: float) -> int | None:
    """The fewest GPUs of this size on which the job fits when sharded; None if no number is enough."""
    usable = USABLE_SHARE * gpu_bytes
    return next((gpus for gpus in range(1, MOST_GPUS + 1) if memory.peak(gpus) <= usable), None)


def largest_rows(
    sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad, gpus: int, gpu_bytes: float
) -> tuple[int, int]:
    """The largest microbatch and batch of drawn rows, at most those of `load`, that fit; 0 for none."""

    def fits(changed: TrainingLoad, phases: tuple[Phase, ...]) -> bool:
        memory = training_memory(sizes, mode, changed)
        return max(memory.in_phase(phase, gpus) for phase in phases) <= USABLE_SHARE * gpu_bytes

    rows = (n for n in range(load.rows, 0, -1) if fits(replace(load, rows=n), PHASES[1:]))
    drawn = (n for n in range(load.drawn_rows, 0, -1) if fits(replace(load, drawn_rows=n), PHASES[:1]))
    return next(rows, 0), next(drawn, 0)
