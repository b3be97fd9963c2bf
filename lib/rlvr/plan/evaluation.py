"""Memory of the jobs that draw responses without training: each on one GPU, whatever `resources` gives it.

The parts are those of `rlvr.evaluation`, of `rlvr.training.perfectible` and of `rlvr.alignment.zero_shot`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlvr.models.decoder_config import DecoderConfig
from rlvr.plan.activations import BYTES, passing_per_token
from rlvr.plan.fitting import USABLE_SHARE, largest_that_fits
from rlvr.plan.memory import (
    ACTIVATIONS,
    BASE,
    ENGINE,
    LOGITS,
    SAMPLING,
    SCORED,
    SCORING,
    WEIGHTS,
)
from rlvr.plan.parts import JobMemory, Part, worst_moment
from rlvr.plan.sampling import CACHE, DRAWING, SamplingLoad, sampling_parts
from rlvr.plan.shapes import tensor_sizes
from rlvr.plan.study import StudyToPlan

Config = Mapping[str, Any]

DIVERGENCE = "KL to the base"
EVALUATION_NAMES = (WEIGHTS, BASE, ENGINE, CACHE, DRAWING, ACTIVATIONS, LOGITS)
# Logits of one model that are compared or scored at once (rlvr.models.label_scores.MAX_LOGITS).
MAX_LOGITS = 2**24
# The base of a study and policies from elsewhere are evaluated in fp32, and perfectible problems chosen so.
ELSEWHERE = "float32"


@dataclass(frozen=True)
class DrawingJob:
    """A job of `rule`, of the policies `whose`: what it holds, what it draws, and what it does with that.

    `held` is there all the time, `after` in the phase `then`, which follows the sampling. `rows_key`: the key
    that bounds the rows that are drawn together.
    """

    rule: str
    whose: str
    rows_key: str
    sizes: DecoderConfig
    sampling: SamplingLoad
    held: Mapping[str, int]
    then: str
    after: Mapping[str, int]

    def memory(self) -> JobMemory:
        """All parts."""
        phases = (SAMPLING, self.then)
        parts = (
            *(Part(name, size, phases) for name, size in self.held.items()),
            *sampling_parts(self.sizes, self.sampling, SAMPLING),
            *(Part(name, size, (self.then,)) for name, size in self.after.items()),
        )
        return JobMemory(tuple(part for part in parts if part.size), phases)

    def largest_rows(self, gpu_bytes: float) -> int:
        """The most rows, at most those now, that can be drawn together on a GPU; 0 for none."""
        return largest_that_fits(
            self.sampling.rows,
            lambda rows: self.of_rows(rows).memory().in_phase(SAMPLING) <= USABLE_SHARE * gpu_bytes,
        )

    def of_rows(self, rows: int) -> "DrawingJob":
        """The same with so many rows drawn together."""
        return replace(self, sampling=replace(self.sampling, rows=rows))


def drawing_jobs(config: Config, study: StudyToPlan, prompt: int | None) -> list[DrawingJob]:
    """The jobs of a study that draw and do not train, one of each kind and mode.

    `prompt`: tokens of the longest, None for what the model's positions leave.
    """
    if study.name == "alignment":
        return [_zero_shot(study)]
    return list(_precision(config, study, prompt)) if study.name == "precision" else []


def _precision(config: Config, study: StudyToPlan, prompt: int | None) -> Iterator[DrawingJob]:
    precision = config["precision"]
    for mode in study.modes:
        yield _evaluation(config, study, prompt, ("evaluate_policy", mode.name), mode.evaluation, True)
    yield _evaluation(config, study, prompt, ("evaluate_base", "the base"), ELSEWHERE, False)
    if precision["external_policies"]:
        yield _evaluation(config, study, prompt, ("evaluate_external", "external"), ELSEWHERE, True)
    if precision["perfectible"]["enabled"]:
        yield _selection(precision["perfectible"], study)


def _evaluation(
    config: Config, study: StudyToPlan, prompt: int | None, job: tuple[str, str], dtype: str, compared: bool
) -> DrawingJob:
    """`job`: rule and whose. `compared`: with the base, which is held beside the policy."""
    sizes, evaluation = study.policy.sizes, config["precision"]["evaluation"]
    tasks = [evaluation["tasks"][task] for suite in evaluation["suites"].values() for task in suite]
    samples = [task["samples"] for task in tasks]
    if compared:
        samples += [evaluation["kl"]["samples"], evaluation["snapshot_samples"]]
    response = max(task["max_tokens"] for task in tasks)
    sampling = SamplingLoad(
        rows=evaluation["max_batch_rows"],
        samples=min(samples) * (1 if compared else evaluation["base_samples_factor"]),
        prompt=max(sizes.max_positions - response, 0) if prompt is None else prompt,
        response=response,
        top_p=evaluation["top_p"],
        number=BYTES[dtype],
        device=study.load.device,
    )
    weights = sum(tensor_sizes(sizes)) * BYTES[dtype]
    held = {WEIGHTS: weights, BASE: weights * compared}
    responses = evaluation["kl"]["problems"] * evaluation["kl"]["samples"] if compared else 0
    after = _divergence(sizes, sampling, responses)
    return DrawingJob(*job, "precision.evaluation.max_batch_rows", sizes, sampling, held, DIVERGENCE, after)


def _divergence(sizes: DecoderConfig, load: SamplingLoad, responses: int) -> dict[str, int]:
    """`rlvr.evaluation.kl.sequence_kl` of as many of the responses as are compared at once, in float64."""
    together = max(1, MAX_LOGITS // ((load.positions + 1) * sizes.vocab_size))
    rows = min(together, responses)
    tokens, scored = rows * load.positions, rows * load.response
    logits = min(scored * sizes.vocab_size, max(MAX_LOGITS, sizes.vocab_size) * bool(rows))
    states = tokens * sizes.hidden_size * load.number
    activations, compared = worst_moment(
        (tokens * passing_per_token(sizes, load.number, load.device) + states, 0),  # of the base, the second
        # Logits and log-probabilities of both, and of the sum the exponential, difference and product.
        (2 * states, 48 * logits),
    )
    return {ACTIVATIONS: activations, LOGITS: compared}


def _selection(settings: Config, study: StudyToPlan) -> DrawingJob:
    """The base sampled on the training problems, in fp32 and as training samples."""
    sizes, number = study.policy.sizes, BYTES[ELSEWHERE]
    sampling = replace(study.load.sampling(number), rows=study.max_batch_rows, samples=settings["samples"])
    held = {WEIGHTS: sum(tensor_sizes(sizes)) * number}
    key = "precision.training.sampling.max_batch_rows"
    return DrawingJob("select_perfectible", "the base", key, sizes, sampling, held, SAMPLING, {})


def _zero_shot(study: StudyToPlan) -> DrawingJob:
    """The base as it is trained, an engine beside it, and the responses scored for their entropies."""
    sizes, mode = study.policy.sizes, study.modes[0]
    count, sampling = sum(tensor_sizes(sizes)), study.load.sampling(BYTES[mode.rollout])
    held = {WEIGHTS: count * BYTES[mode.master], ENGINE: count * BYTES[mode.rollout]}
    # By tokens, at least one response: see `rlvr.training.validation`.
    rows = max(1, MAX_LOGITS // sizes.vocab_size // sampling.positions)
    after = {
        ACTIVATIONS: rows
        * sampling.positions
        * passing_per_token(sizes, BYTES[mode.compute], study.load.device),
        LOGITS: rows * sampling.response * sizes.vocab_size * SCORED,
    }
    sampling = replace(sampling, rows=study.max_batch_rows, samples=1)
    key = "alignment.generation.max_batch_rows"
    return DrawingJob("evaluate_zero_shot", "the base", key, sizes, sampling, held, SCORING, after)
