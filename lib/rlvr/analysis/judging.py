"""H1 to H3 of every arm, at equal steps and at equal on-task progress."""

from dataclasses import replace

from rlvr.analysis.divergence import divergence
from rlvr.analysis.hypothesis import Hypothesis
from rlvr.analysis.load import Study, missing_words
from rlvr.analysis.performance import on_task_equivalence
from rlvr.analysis.progress import Matched, match_progress, match_words
from rlvr.analysis.variability import off_task_variability
from rlvr.config.precision import AnalysisConfig

# What of a claim holds partly by construction, by the measure of progress and the claim.
CAVEATS = {
    ("kl", "H3"): "the steps were chosen by mean on-task KL, so that it is alike partly by construction",
    (
        "accuracy",
        "H1",
    ): "the steps were chosen by mean on-task gain, so that it is alike partly by construction",
}
# The parts that a choice of steps by on-task progress decides in part.
CHOSEN_PARTS = ("on-task KL alike", "KL on-task and off-task", "on-task equivalence")


def judge_at_steps(study: Study, config: AnalysisConfig, arm: str) -> list[Hypothesis]:
    """H1, H2 and H3 of one arm against the reference, whole claims and parts, as the study is."""
    return [
        on_task_equivalence(study, config, arm),
        *off_task_variability(study, config, arm),
        *divergence(study, config, arm),
    ]


def judge_at_progress(matched: Matched, config: AnalysisConfig) -> list[Hypothesis]:
    """The same claims between matched checkpoints; only the whole ones, untested, where nothing matches."""
    if matched.reason:
        return _unmatched_claims(matched)
    words = f"{match_words(matched, config.equal_progress)}; {_samples_words(matched.study)}"
    return [
        _at_progress(claim, words, config) for claim in judge_at_steps(matched.study, config, matched.arm)
    ]


def _at_progress(claim: Hypothesis, words: str, config: AnalysisConfig) -> Hypothesis:
    caveat = CAVEATS.get((config.equal_progress.measure, claim.id), "")
    caveat = caveat if claim.part in CHOSEN_PARTS else ""
    sentence = f"At equal on-task progress ({words}): {_uncapitalised(claim.sentence)}"
    if caveat:
        sentence += f" {caveat[0].upper()}{caveat[1:]}."
    return replace(claim, basis="progress", caveat=caveat, sentence=sentence)


def _samples_words(study: Study) -> str:
    """`4 samples per problem`."""
    counts = {scored.samples for run in study.runs for scored in run.tasks.values()}
    number = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return f"{number} sample{'s' if number != '1' else ''} per problem"


def _uncapitalised(sentence: str) -> str:
    """The sentence as it goes on after a colon; an abbreviation keeps its capitals."""
    return sentence if sentence[:2].isupper() else sentence[:1].lower() + sentence[1:]


def _unmatched_claims(matched: Matched) -> list[Hypothesis]:
    study = matched.study
    wholes = (
        ("H1", "on-task equivalence", study.on_task),
        ("H2", "off-task variability", "pooled"),
        ("H3", "KL on-task and off-task", "all"),
    )
    return [
        Hypothesis(
            id=name, part=part, arm=matched.arm, reference=study.reference, task=task, headline=True,
            effect_name="", basis="progress", reason=matched.reason,
            sentence=f"At equal on-task progress there is no test: {matched.reason}.",
            change=matched.change, seeds_arm=len(study.seeds(matched.arm)),
            seeds_reference=len(study.seeds(study.reference)),
        )
        for name, part, task in wholes
    ]  # fmt: skip


def _with_missing(claim: Hypothesis, study: Study) -> Hypothesis:
    """The claim, its sentence saying which seeds of its arms are missing."""
    lost = [words for arm in (claim.reference, claim.arm) if (words := missing_words(study, arm))]
    return replace(claim, sentence=" ".join([claim.sentence, *(f"{words}." for words in lost)]))


def judge_hypotheses(study: Study, config: AnalysisConfig) -> list[Hypothesis]:
    """H1, H2 and H3 of every arm against the reference: at equal steps, then at equal progress."""
    found = []
    for arm in study.treatments:
        found += judge_at_steps(study, config, arm)
        found += judge_at_progress(match_progress(study, config, arm), config)
    return [_with_missing(claim, study) for claim in found]
