"""Memory of one training job, part by part, in the precision mode's dtypes.

The parts are those of `rlvr.training`: what stays, and what each phase of a step adds. Sizes of activations
are what torch keeps for the backward pass of `rlvr.models.decoder`; what several GPUs divide, and what each
of them gathers, is what `rlvr.models.sharding` has FSDP2 do. docs/plan.md has the formulas and
docs/performance.md the measured peaks beside them.
"""

from dataclasses import dataclass

from rlvr.models.decoder_config import DecoderConfig
from rlvr.plan.activations import (
    BYTES,
    PAIR_WORK,
    Device,
    backward_per_token,
    kept_per_pair,
    kept_per_token,
    passing_per_token,
    widened,
)
from rlvr.plan.parts import JobMemory, Part, worst_moment
from rlvr.plan.sampling import CACHE, DRAWING, SamplingLoad, sampling_parts
from rlvr.plan.shapes import layer_sizes, tensor_sizes
from rlvr.precision import PrecisionMode

# Elements that the optimiser and the comparison of weights take at a time.
_OPTIMIZER_BUCKET = {"cpu": 2**17, "cuda": 2**24}
_COMPARED = 2**22
# Bytes of a logit while it is scored with its entropy, in fp32: logits, log-probabilities, and for the
# entropy their exponential, a clamped copy and the product.
SCORED = 20

# The backward pass begins at the head and ends at the embeddings.
SAMPLING, SCORING, OPTIMISER, COMPARING = "sampling", "scoring", "optimiser", "comparing"
HEAD, LAYERS, END = "backward (head)", "backward", "backward (end)"
PHASES = (SAMPLING, SCORING, HEAD, LAYERS, END, OPTIMISER, COMPARING)


@dataclass(frozen=True)
class TrainingLoad:
    """What a job computes at a time: `rows` of a microbatch, `drawn_rows` sampled together.

    `prompt` and `response` are the longest, in tokens; `samples` of one prompt. `tracked`: weights of each
    tensor whose updates are summed up. The next three: see `rlvr.config.precision.TrainerConfig`.
    `accumulates`: whether an update sums up several microbatches. `one_update`: whether a step makes a single
    one, whose own pass then has the log-probabilities of before it, where the mode leaves them to it.
    """

    rows: int
    drawn_rows: int
    samples: int
    prompt: int
    response: int
    top_p: float
    tracked: int
    device: Device
    microbatch_tokens: int | None = None
    recompute_activations: bool = False
    vocabulary_chunk: int | None = None
    accumulates: bool = True
    one_update: bool = False

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

    def sampling(self, number: int) -> SamplingLoad:
        """What is drawn together, by an engine whose numbers have so many bytes."""
        return SamplingLoad(
            self.drawn_rows, self.samples, self.prompt, self.response, self.top_p, number, self.device
        )


WEIGHTS, GRADIENTS, MOMENTS, COMPENSATION = "weights", "gradients", "Adam's moments", "Kahan compensation"
TRAINED = (WEIGHTS, GRADIENTS, MOMENTS, COMPENSATION)
BASE, ENGINE, RECORD = "base policy (KL)", "rollout engine", "records of the weights"
COPY, GATHERED = "weights in compute dtype", "gathered from other GPUs"
ACTIVATIONS, LOGITS, WORK = "activations", "logits", "working buffers"
NAMES = (*TRAINED, BASE, ENGINE, RECORD, COPY, CACHE, DRAWING, ACTIVATIONS, LOGITS, WORK)


def training_memory(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> JobMemory:
    """Every part of a job that trains a policy of these sizes in a mode."""
    parts = (
        *_lasting(sizes, mode, load),
        *_gradients(sizes, mode, load),
        *sampling_parts(sizes, load.sampling(BYTES[mode.rollout]), SAMPLING),
        *_scoring(sizes, mode, load),
        *_of_head(sizes, mode, load),
        *_of_layers(sizes, mode, load),
        *_end(sizes, mode, load),
        *_updating(sizes, mode, load),
        *_gathered(sizes, mode),
    )
    return JobMemory(tuple(part for part in parts if part.size), PHASES)


def trained_bytes(memory: JobMemory) -> int:
    """Weights, gradients and the optimiser's state."""
    return sum(memory.largest(name) for name in TRAINED)


def _lasting(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    tensors = tensor_sizes(sizes)
    count, master = sum(tensors), BYTES[mode.master]
    # Intended update and start in fp32, and the coordinate in int64.
    tracked = sum(min(load.tracked, size) for size in tensors) * 16
    divided = {
        WEIGHTS: count * master,
        MOMENTS: count * 2 * BYTES[mode.optimizer_state],
        COMPENSATION: count * master if mode.write_back == "kahan" else 0,
        BASE: count * BYTES[mode.compute],
        RECORD: count * BYTES["bfloat16"] + tracked,
    }
    return (
        *(Part(name, size, PHASES, "divided") for name, size in divided.items()),
        # The copy of the weights before the step.
        Part(RECORD, count * master, PHASES[PHASES.index(SCORING) :], "divided"),
        Part(ENGINE, count * BYTES[mode.rollout], PHASES),
    )


def _gradients(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """They are dropped where an update ends, so its first microbatch has none before its backward pass."""
    reduce = BYTES[mode.reduce]
    size = sum(tensor_sizes(sizes)) * reduce
    phases = (HEAD, LAYERS, END, OPTIMISER) if load.accumulates else (END, OPTIMISER)
    of_head = _head(sizes) * reduce
    # FSDP divides the gradients of head and embeddings at the end of the backward pass.
    alone = Part(GRADIENTS, of_head, (LAYERS,), "gathered" if load.accumulates else "whole")
    return Part(GRADIENTS, size, phases, "divided"), alone


def _scoring(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """Log-probabilities and entropies before the update, without gradients and dropout."""
    number = BYTES[mode.compute]
    pair = kept_per_pair(number, load.device, load.positions, dropout=False)
    pair += PAIR_WORK if pair else 0
    passing = passing_per_token(sizes, number, load.device) + pair * sizes.heads * load.positions
    return (
        Part(COPY, _head(sizes) * _cast(mode, load), (SCORING,)),
        Part(ACTIVATIONS, load.tokens * passing, (SCORING,)),
        Part(LOGITS, load.scored * sizes.vocab_size * SCORED, (SCORING,)),
    )


def _of_head(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """The forward pass ends, and the backward pass begins, with all activations and the logits."""
    number, cast, head = BYTES[mode.compute], _cast(mode, load), _head(sizes)
    # The last norm, and the positions that are scored: fp32 input; normalised, scaled, chosen, its gradient.
    last = load.tokens * sizes.hidden_size * (4 + 4 * number)
    of_layers = 0 if load.recompute_activations else sizes.layers * sum(layer_sizes(sizes))
    logits, gradient = _logits(sizes, mode, load)
    return (
        Part(COPY, (head + of_layers) * cast, (HEAD,)),
        Part(ACTIVATIONS, _kept(sizes, mode, load) + last, (HEAD,)),
        Part(LOGITS, logits, (HEAD,)),
        Part(WORK, gradient, (HEAD,)),
    )


def _logits(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[int, int]:
    """Bytes of the logits, and of the gradient of the head beside them, at the worst moment."""
    number, reduce, head = BYTES[mode.compute], BYTES[mode.reduce], _head(sizes)
    count = load.scored * sizes.vocab_size
    forward = count * SCORED if scores_itself(mode, load) else 0, 0
    if load.vocabulary_chunk is None:
        # Log-probabilities and the gradients of them and of the logits, in fp32; then the gradient of the
        # product, and of the head in its dtype and in that of the sum.
        return worst_moment(forward, (count * 12, 0), (count * number, head * (number + reduce)))
    # The same, beside the product, which is computed again, and the gradient of the chunk before; the head's
    # gradient is summed up in fp32, and 16-bit products come in fp32 to be added.
    return worst_moment(
        forward,
        (count * (12 + 2 * number), head * 4),
        (count * number, head * (4 + 4 * (number == BYTES["bfloat16"]))),
        (count * number, head * (4 + number + reduce)),
    )


def scores_itself(mode: PrecisionMode, load: TrainingLoad) -> bool:
    """Whether an update's own pass computes the entropies too (`rlvr.training.batch.is_on_policy`)."""
    return load.one_update and not mode.dropout.rate and mode.importance_cap is None


def _of_layers(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """The backward pass comes to the first layer, when the activations of all are still there."""
    of_layer, cast = sum(layer_sizes(sizes)), _cast(mode, load)
    held = _kept(sizes, mode, load) + _layer_work(sizes, mode, load)
    if load.recompute_activations:
        held += _saved(sizes, mode, load)
    return (
        Part(COPY, (1 if load.recompute_activations else sizes.layers) * of_layer * cast, (LAYERS,)),
        Part(ACTIVATIONS, held, (LAYERS,)),
        Part(WORK, _weight_gradient(sizes, mode), (LAYERS,)),
    )


def _end(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """The last layer, and then the embeddings, whose gradient has a row for every token."""
    last_layer = _saved(sizes, mode, load) + _layer_work(sizes, mode, load)
    of_input = load.tokens * sizes.hidden_size * BYTES[mode.compute]
    activations, gradient = worst_moment(
        (last_layer, _weight_gradient(sizes, mode)), (of_input, _head(sizes) * BYTES[mode.reduce])
    )
    return (
        Part(COPY, sum(layer_sizes(sizes)) * _cast(mode, load), (END,)),
        Part(ACTIVATIONS, activations, (END,)),
        Part(WORK, gradient, (END,)),
    )


def _updating(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> tuple[Part, ...]:
    """The optimiser's step and the comparison of the weights before and after it."""
    largest = max(tensor_sizes(sizes))
    bucket = _OPTIMIZER_BUCKET[load.device]
    noise = max(largest, bucket) * 6 if mode.write_back == "stochastic" else 0
    disturbed = 12 * largest if mode.gradient_noise else 4 * largest
    return (
        Part(WORK, max(disturbed, 24 * bucket + noise), (OPTIMISER,)),
        Part(WORK, 24 * max(largest, min(_COMPARED, sum(tensor_sizes(sizes)))), (COMPARING,)),
    )


def _gathered(sizes: DecoderConfig, mode: PrecisionMode) -> tuple[Part, ...]:
    """What each GPU holds of the others' share, in the dtype in which it is stored.

    Embeddings, head and last norm from the beginning of a pass to its end; a layer, the next one, and that
    one's buffer. In the backward pass the gradients of a layer and the buffer that sums up those of the one
    before; at the end, of embeddings and head.
    """
    of_layer, root = sum(layer_sizes(sizes)), _root(sizes)
    master, reduce = BYTES[mode.master], BYTES[mode.reduce]
    sizes_of = {
        SCORING: (root + 3 * of_layer) * max(master, BYTES[mode.compute]),  # of the policy or the base
        HEAD: (root + 2 * of_layer) * master,
        LAYERS: (root + 3 * of_layer) * master + 2 * of_layer * reduce,
        END: 2 * root * reduce,
    }
    return tuple(Part(GATHERED, size, (phase,), "gathered") for phase, size in sizes_of.items())


def _head(sizes: DecoderConfig) -> int:
    """Elements of the head, or of the embeddings."""
    return sizes.vocab_size * sizes.hidden_size


def _root(sizes: DecoderConfig) -> int:
    """Elements of what belongs to no layer."""
    return sum(tensor_sizes(sizes)) - sizes.layers * sum(layer_sizes(sizes))


def _cast(mode: PrecisionMode, load: TrainingLoad) -> int:
    """Bytes of each weight in the copy that products read; 0 where they read the weights themselves."""
    if widened(load.device, BYTES[mode.compute]):
        return BYTES["float32"]
    return BYTES[mode.compute] if mode.compute != mode.master else 0


def _weight_gradient(sizes: DecoderConfig, mode: PrecisionMode) -> int:
    """The largest gradient of a layer's weight as it is computed, and in the dtype in which it is added."""
    return max(layer_sizes(sizes)) * (BYTES[mode.compute] + BYTES[mode.reduce])


def _saved(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> int:
    """Bytes that one layer keeps of a microbatch."""
    number = BYTES[mode.compute]
    pair = kept_per_pair(number, load.device, load.positions, bool(mode.dropout.rate))
    per_token = kept_per_token(sizes, number, load.device)
    return load.tokens * (per_token + pair * sizes.heads * load.positions)


def _kept(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> int:
    """Bytes that all layers keep of a microbatch: everything, or their inputs."""
    if load.recompute_activations:
        return sizes.layers * load.tokens * sizes.hidden_size * BYTES[mode.compute]
    return sizes.layers * _saved(sizes, mode, load)


def _layer_work(sizes: DecoderConfig, mode: PrecisionMode, load: TrainingLoad) -> int:
    """Bytes beyond what is kept while a layer is computed or its gradients are."""
    number = BYTES[mode.compute]
    explicit = kept_per_pair(number, load.device, load.positions, bool(mode.dropout.rate)) > 0
    pairs = PAIR_WORK * sizes.heads * load.positions if explicit else 0
    return load.tokens * (backward_per_token(sizes, number, load.device) + pairs)
