"""What the study says was found: numbers of the tables, and no effect where none was shown."""

import re
import shutil

import pandas as pd
import pytest
from synthetic_advantage import (
    ESTIMATORS,
    METHODS,
    SEEDS,
    Study,
    write_advantage_study,
    write_estimator,
    write_scores,
)

from rlvr.files import read_json


def told(study):
    """Sentences by group."""
    return {one["group"]: one["sentences"] for one in read_json(study.analysis.findings)}


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    study = write_advantage_study(tmp_path_factory.mktemp("advantage"))
    study.analyse()
    return study


@pytest.fixture
def study(made_up, tmp_path):
    """A study to change."""
    shutil.copytree(made_up.folder, tmp_path / "copy")
    return Study(tmp_path / "copy", made_up.methods)


def set_scores(study, scores):
    for method, own in scores.items():
        write_scores(study.folder / "reference" / method / "scores.csv", dict(zip(SEEDS, own, strict=True)))


def test_groups_stand_in_order_with_titles(study):
    found = read_json(study.analysis.findings)
    assert [one["group"] for one in found] == ["comparison", "decays", "sweep", "variants", "grpo"]
    assert all(one["title"] and one["sentences"] for one in found)


def test_scores_are_those_of_the_table(study):
    row = pd.read_csv(study.analysis.methods).set_index("method").loc["batch"]
    numbers = [row[name] for name in ("score_mean", "score_low", "score_high", "score_sd")]
    mean, low, high, sd = (f"{value:.2f}".replace("-", "−") for value in numbers)
    sentence = f"With batch statistics a run scores {mean} (95 % interval {low} to {high}, sd {sd}, 4 seeds)."
    assert told(study)["comparison"][0] == sentence
    assert "is higher than batch" in told(study)["comparison"][1]
    assert "higher in 4 of 4 seeds" in told(study)["comparison"][1]


def test_the_best_decay_is_named_with_how_it_was_found(study):
    text = " ".join(told(study)["decays"])
    assert "0.5 has the highest mean score: −" in text and "sd" in text
    assert "It is higher than buffer: +" in text
    assert "best of 2 by the same numbers, so its mean is flattered" in text


def test_a_decay_that_cannot_be_told_apart_is_named(study):
    set_scores(study, {"ema-0.5": (-6.0, -7.0, -5.0, -6.0), "ema-0.9": (-7.0, -6.0, -6.0, -5.5)})
    study.analyse()
    assert "0.9 cannot be told apart from it" in " ".join(told(study)["decays"])


def test_no_difference_is_said_to_be_not_shown(study):
    set_scores(study, {"buffer": (-50.0, -30.0, -60.0, -40.0), "batch": (-49.0, -31.0, -62.0, -38.0)})
    study.analyse()
    sentence = told(study)["comparison"][1]
    assert "is not shown to differ from batch: " in sentence and "higher than batch" not in sentence


def test_a_difference_that_only_the_correction_takes_away_is_told_so(study):
    # Alone p = 0.02; of the six comparisons of the variants it is not the smallest.
    reference = (-8.0, -9.0, -8.5, -7.5)
    near = tuple(own + gain for own, gain in zip(reference, (1.0, 0.4, 0.9, 0.5), strict=True))
    wild = {"batch-accumulating": (-5.0, -40.0, -60.0, -10.0), "buffer-accumulating": (-20.0, -3, -9, -5)}
    set_scores(study, {"buffer": reference, "buffer-before": near} | wild)
    study.analyse()
    text = next(one for one in told(study)["variants"] if one.startswith("buffer-before"))
    assert "is not shown to differ from buffer after correction for several comparisons: +0.70" in text


def test_grpo_without_an_effect_says_so(study):
    for estimator in ESTIMATORS:
        write_estimator(study.folder, estimator, {1: 0.5, 2: 0.52, 3: 0.48, 4: 0.51})
    write_estimator(study.folder, "batch", {1: 0.52, 2: 0.5, 3: 0.49, 4: 0.5}, diverged=[4])
    study.analyse()
    text = " ".join(told(study)["grpo"])
    assert "no effect against group was shown with 4 seeds, which is no evidence that there is none" in text
    assert "1 of 4 seeds of batch diverged; their numbers are in all means." in text


def test_grpo_tells_what_tracking_adds_to_batch_statistics(study):
    text = " ".join(told(study)["grpo"])
    assert re.search(
        r"Held-out accuracy after training against group – batch .*per prompt ema higher, \+", text
    )
    assert re.search(r"against batch – per prompt buffer higher, \+[\d.]+ points \(95 % interval", text)


def test_what_is_missing_is_told_and_the_rest_goes_on(study):
    set_scores(study, {"ema-0.5": (-6.0, float("nan"), -5.0, -6.0)})
    for name in ("ema-0.9", "batch"):
        write_scores(study.folder / "reference" / name / "scores.csv", {})
    write_estimator(study.folder, "per_prompt_ema", {})
    study.analyse()
    found = told(study)
    assert found["comparison"][0] == "With batch statistics a run scores no finite number in any seed."
    assert "ema-0.5, no finite number of seed 2" in found["comparison"][-1]
    assert "is higher than buffer" in " ".join(found["decays"])
    assert "There is no result of per prompt ema." in found["grpo"]


def test_a_study_of_the_comparison_alone(study):
    alone = Study(study.folder, [one for one in METHODS if one.part == "comparison"])
    alone.analyse()
    assert told(alone)["sweep"] == ["The sweep has no cell besides the buffer itself."]
    assert told(alone)["variants"] == ["No variant was compared."]
