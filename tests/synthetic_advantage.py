"""A made-up advantage study on disk: methods and estimators with plausible numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlvr.advantage_study.analysis import analyse_advantage_study
from rlvr.advantage_study.files import AdvantageAnalysisFiles
from rlvr.advantage_study.methods import StudyMethod, study_methods
from rlvr.advantage_study.problem import REFERENCE_PROBLEM
from rlvr.alignment.results import VALIDATION_COLUMNS
from rlvr.config.advantage import ReferenceConfig, SweepConfig, TrackerConfig
from rlvr.figures.advantage import draw_reference_figures
from rlvr.figures.advantage_data import ReferenceFigureInputs
from rlvr.figures.advantage_grpo import draw_estimator_figure
from rlvr.files import write_csv, write_json

CONFIG = ReferenceConfig(
    4, REFERENCE_PROBLEM, TrackerConfig(32, 16, 0.9, 1e-7), (0.5, 0.9), SweepConfig(4, (8, 32), (4, 16)), 0.95
)
METHODS = study_methods(CONFIG)
SEEDS = (1, 2, 3, 4)
EPOCHS, PROMPTS = 30, 4
ESTIMATORS = ("group", "batch", "per_prompt_buffer", "per_prompt_ema")
STEPS, SCORE_STEPS = 20, 5
# Mean score by method; that of the others is that of their tracker.
MEANS = {"batch": -50.0, "buffer": -8.0, "ema-0.5": -6.0, "ema-0.9": -7.0, "batch-accumulating": -30.0}
# Held-out accuracy after training, in points above that of `group`.
GAINS = {"group": 0.0, "batch": 1.0, "per_prompt_buffer": 6.0, "per_prompt_ema": 8.0}


@dataclass(frozen=True)
class Study:
    """Folder of a study, and whose files it has."""

    folder: Path
    methods: list[StudyMethod]
    estimators: tuple[str, ...] = ESTIMATORS

    @property
    def analysis(self) -> AdvantageAnalysisFiles:
        return AdvantageAnalysisFiles.in_folder(self.folder / "analysis")

    def reference(self, name):
        return [self.folder / "reference" / method.name / name for method in self.methods]

    def grpo(self, name):
        return [self.folder / "grpo" / estimator / name for estimator in self.estimators]

    def analyse(self):
        analyse_advantage_study(
            self.methods,
            self.reference("scores.csv"),
            self.estimators,
            self.grpo("metrics.csv"),
            self.grpo("validation.csv"),
            SCORE_STEPS,
            CONFIG.confidence,
            self.analysis,
        )
        return self.analysis

    def figure_inputs(self):
        return ReferenceFigureInputs(
            self.methods,
            self.reference("scores.csv"),
            self.reference("rewards.csv"),
            self.reference("statistics.npz"),
            CONFIG.confidence,
        )

    def draw(self, folder):
        draw_reference_figures(self.figure_inputs(), folder)
        runs = self.grpo("metrics.csv"), self.grpo("validation.csv")
        draw_estimator_figure(self.estimators, *runs, CONFIG.confidence, folder)


def write_scores(path, scores):
    """`scores` by seed."""
    write_csv(path, ("seed", "score"), [{"seed": seed, "score": own} for seed, own in scores.items()])


def write_method(folder, method, scores):
    """The three files of a method whose runs have these scores, by seed."""
    place, epochs = Path(folder) / "reference" / method.name, np.arange(1, EPOCHS + 1)
    write_scores(place / "scores.csv", scores)
    rewards = [
        {"seed": seed, "epoch": int(epoch), "reward": score - 40 * np.exp(-epoch / 8)}
        for seed, score in scores.items()
        for epoch in epochs
    ]
    write_csv(place / "rewards.csv", ("seed", "epoch", "reward"), rewards)
    write_statistics(place / "statistics.npz", list(scores), method.method.tracker == "batch")


def write_statistics(path, seeds, batch=False):
    """Statistics of PROMPTS prompts (of the batch alone, if it is `batch`) in every epoch."""
    prompts = 1 if batch else PROMPTS
    names = [[""] if batch else [f"prompt{place}of{seed}" for place in range(prompts)] for seed in seeds]
    shape = (len(seeds), EPOCHS, prompts)
    progress = np.linspace(0, 1, EPOCHS)[None, :, None]
    mean = np.broadcast_to(-80 + 75 * progress, shape).astype(np.float32).copy()
    mean[:, 0, -1] = np.nan
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        seed=np.array(seeds, dtype=np.int64),
        prompt=np.array(names, dtype=np.str_).reshape(len(seeds), prompts),
        epoch=np.arange(1, EPOCHS + 1),
        mean=mean,
        std=np.full(shape, 3, dtype=np.float32),
        count=np.ones(shape, dtype=np.int32),
    )


def write_estimator(folder, estimator, finals, diverged=()):
    """Files of the GRPO runs that end at the accuracies `finals`, by seed; a step's reward is its number."""
    place = Path(folder) / "grpo" / estimator
    metrics = [
        {"seed": seed, "step": step, "reward_mean": final + step / 100}
        for seed, final in finals.items()
        for step in range(1, STEPS + 1)
    ]
    write_csv(place / "metrics.csv", ("seed", "step", "reward_mean"), metrics)
    empty = dict.fromkeys(VALIDATION_COLUMNS, 0.0) | {"reason": ""}
    validation = [
        empty | {"seed": seed, "step": step, "accuracy": accuracy, "final": last, "diverged": lost}
        for seed, final in finals.items()
        for step, accuracy, last, lost in (
            (0, 0.4, False, False),
            (STEPS, final, True, seed in diverged),
        )
    ]
    write_csv(place / "validation.csv", VALIDATION_COLUMNS, validation)
    runs = [{"seed": seed, "seconds": 1.0, "weight_hash": "cd" * 32} for seed in finals]
    write_json(
        place / "provenance.json", {"method": "grpo", "arm": "default", "code_digest": "0", "runs": runs}
    )


def write_advantage_study(folder, methods=METHODS):
    """A whole study."""
    rng = np.random.default_rng(0)
    luck = dict(zip(SEEDS, rng.normal(0, 2, len(SEEDS)), strict=True))
    for method in methods:
        mean = MEANS.get(method.name, MEANS.get(method.method.tracker, -7.5))
        write_method(
            folder, method, {seed: float(mean + own + rng.normal(0, 0.3)) for seed, own in luck.items()}
        )
    for estimator, gain in GAINS.items():
        finals = {
            seed: float(0.5 + (gain + own / 4 + rng.normal(0, 0.6)) / 100) for seed, own in luck.items()
        }
        write_estimator(folder, estimator, finals)
    return Study(Path(folder), list(methods))
