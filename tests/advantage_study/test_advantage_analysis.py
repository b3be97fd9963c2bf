"""Tables of the analysis against scipy, worked values, and what is missing."""

import math
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_advantage import (
    ESTIMATORS,
    METHODS,
    SCORE_STEPS,
    SEEDS,
    STEPS,
    Study,
    write_advantage_study,
    write_estimator,
    write_scores,
)

from rlvr.advantage_study.comparisons import Pair, compare_pairs, study_pairs
from rlvr.advantage_study.grpo import estimator_pairs
from rlvr.errors import UserError


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = write_advantage_study(tmp_path_factory.mktemp("advantage"))
    study.analyse()
    return study


@pytest.fixture
def copy(study, tmp_path):
    """The same study, to be damaged."""
    shutil.copytree(study.folder, tmp_path / "copy")
    return Study(tmp_path / "copy", study.methods)


def scores_of(study, method):
    table = pd.read_csv(study.folder / "reference" / method / "scores.csv")
    return table.sort_values("seed")["score"].to_numpy()


def row_of(table, **values):
    chosen = np.logical_and.reduce([table[name] == value for name, value in values.items()])
    (row,) = table[chosen].to_dict("records")
    return row


def test_means_and_intervals_are_students(study):
    methods = pd.read_csv(study.analysis.methods)
    assert list(methods["method"]) == [one.name for one in METHODS]
    for method in ("batch", "ema-0.5", "buffer-8-4"):
        own, row = scores_of(study, method), row_of(methods, method=method)
        low, high = stats.t.interval(0.95, len(own) - 1, own.mean(), stats.sem(own))
        expected = [own.mean(), own.std(ddof=1), low, high]
        found = [row[name] for name in ("score_mean", "score_sd", "score_low", "score_high")]
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        assert row["seeds"] == len(SEEDS) and math.isnan(row["note"])


def test_settings_that_a_tracker_does_not_have_are_empty(study):
    lines = study.analysis.methods.read_text().splitlines()
    assert "batch,comparison,batch,,,,False,," in lines[1]
    assert any(line.startswith("buffer,comparison,buffer,32,16,,False,after,4,") for line in lines)
    assert any(line.startswith("ema-0.5,comparison,ema,,16,0.5,False,,4,") for line in lines)
    assert len(pd.read_csv(study.analysis.scores)) == len(METHODS) * len(SEEDS)


def test_comparisons_are_paired_t_tests(study):
    comparisons = pd.read_csv(study.analysis.comparisons)
    for _, row in comparisons.iterrows():
        treatment, reference = scores_of(study, row["method"]), scores_of(study, row["reference"])
        test = stats.ttest_rel(treatment, reference)
        interval = test.confidence_interval(0.95)
        expected = [(treatment - reference).mean(), interval.low, interval.high, test.pvalue]
        np.testing.assert_allclose(row[["difference", "low", "high", "p"]].astype(float), expected, rtol=1e-8)
        assert row["better"] == (treatment > reference).sum() and row["seeds"] == len(SEEDS)


def test_p_is_adjusted_within_a_part_as_holm_says(study):
    for _, own in pd.read_csv(study.analysis.comparisons).groupby("part"):
        ordered = own["p"].sort_values()
        factors = np.arange(len(own), 0, -1)
        expected = np.minimum(1, np.maximum.accumulate(factors * ordered.to_numpy()))
        np.testing.assert_allclose(own.loc[ordered.index, "p_holm"], expected, rtol=1e-12)


def test_what_is_compared_with_what():
    pairs = list(study_pairs(METHODS))
    assert pairs == [
        ("comparison", "buffer", "batch"),
        ("comparison", "ema-0.5", "batch"),
        ("comparison", "ema-0.5", "buffer"),
        ("comparison", "ema-0.9", "batch"),
        ("comparison", "ema-0.9", "buffer"),
        ("sweep", "buffer-8-4", "buffer"),
        ("sweep", "buffer-32-4", "buffer"),
        ("variants", "batch-accumulating", "batch"),
        ("variants", "buffer-accumulating", "buffer"),
        ("variants", "buffer-accumulating", "batch-accumulating"),
        ("variants", "ema-0.9-accumulating", "ema-0.9"),
        ("variants", "ema-0.9-accumulating", "batch-accumulating"),
        ("variants", "buffer-before", "buffer"),
    ]
    without_plain = [one for one in METHODS if one.name != "ema-0.9"]
    assert ("variants", "ema-0.9-accumulating", "ema-0.9") not in list(study_pairs(without_plain))


def test_verdicts_need_interval_and_adjusted_p():
    reference = pd.Series([0.0, 0.0, 0.0, 0.0], index=[1, 2, 3, 4])
    clear = pd.Series([1.0, 1.1, 0.9, 1.0], index=[1, 2, 3, 4])
    none = pd.Series([1.0, -1.1, 0.9, -1.0], index=[1, 2, 3, 4])
    rows = compare_pairs([Pair({"method": "m"}, own, reference) for own in (clear, -clear, none)], 0.95)
    assert [row["verdict"] for row in rows] == ["higher", "lower", "no difference seen"]
    # p = 0.03, which is below 0.05 only before the correction for three
    close = pd.Series([1.0, 0.3, 0.9, 0.45], index=[1, 2, 3, 4])
    alone, *_ = compare_pairs([Pair({}, close, reference)], 0.95)
    among, *_ = compare_pairs([Pair({}, own, reference) for own in (close, none, none)], 0.95)
    assert alone["low"] == among["low"] > 0
    assert (alone["verdict"], among["verdict"]) == ("higher", "no difference seen")


def test_the_last_steps_and_accuracies_of_grpo(study):
    runs = pd.read_csv(study.analysis.grpo)
    assert list(runs.groupby("estimator", sort=False).size().items()) == [(one, 4) for one in ESTIMATORS]
    for _, row in runs.iterrows():
        # A step's reward is the final accuracy and a hundredth of its number.
        last = row["accuracy_final"] + (STEPS - (SCORE_STEPS - 1) / 2) / 100
        assert row["reward_last"] == pytest.approx(last, rel=1e-12)
        assert row["reward_all"] == pytest.approx(row["accuracy_final"] + (STEPS + 1) / 200, rel=1e-12)
        assert row["gain_points"] == pytest.approx(100 * (row["accuracy_final"] - 0.4), rel=1e-12)
        assert (row["accuracy_start"], row["steps"], row["diverged"]) == (0.4, STEPS, False)


def test_estimators_are_compared_with_the_first_and_tracked_ones_with_batch(study):
    compared = pd.read_csv(study.analysis.grpo_comparisons)
    assert estimator_pairs(ESTIMATORS) == {
        "group": ["batch", "per_prompt_buffer", "per_prompt_ema"],
        "batch": ["per_prompt_buffer", "per_prompt_ema"],
    }
    assert estimator_pairs(["batch", "per_prompt_ema"]) == {"batch": ["per_prompt_ema"]}
    runs = pd.read_csv(study.analysis.grpo)
    ema, batch = (
        100 * runs.loc[runs["estimator"] == name, "accuracy_final"] for name in ("per_prompt_ema", "batch")
    )
    row = row_of(compared, metric="accuracy_final", estimator="per_prompt_ema", reference="batch")
    test = stats.ttest_rel(ema, batch)
    assert row["difference"] == pytest.approx((ema.to_numpy() - batch.to_numpy()).mean())
    assert row["p"] == pytest.approx(test.pvalue)
    assert row["p"] <= row["p_holm"] <= 2 * row["p"] * (1 + 1e-12)


def test_a_method_without_runs_and_a_score_that_is_no_number_are_named(copy):
    write_scores(copy.folder / "reference" / "ema-0.5" / "scores.csv", {})
    write_scores(copy.folder / "reference" / "ema-0.9" / "scores.csv", {1: -7.0, 2: math.nan, 3: -6, 4: -8})
    write_scores(copy.folder / "reference" / "buffer-8-4" / "scores.csv", {1: -math.inf, 2: -6.0})
    files = copy.analyse()
    methods = pd.read_csv(files.methods)
    gone, one = row_of(methods, method="ema-0.5"), row_of(methods, method="buffer-8-4")
    assert gone["seeds"] == 0 and gone["note"].startswith("no finite number of seed 1, 2, 3, 4")
    assert row_of(methods, method="ema-0.9")["note"] == "no finite number of seed 2"
    assert row_of(methods, method="ema-0.9")["score_mean"] == -7.0
    assert one["score_mean"] == -6.0 and math.isnan(one["score_low"]) and "two seeds" in one["note"]
    comparisons = pd.read_csv(files.comparisons)
    pair = row_of(comparisons, method="ema-0.5", reference="batch")
    assert pair["verdict"] == "not compared" and math.isnan(pair["p_holm"])
    pair = row_of(comparisons, method="ema-0.9", reference="batch")
    assert pair["seeds"] == 3 and pair["note"] == "3 of 4 seeds have both"
    others = comparisons[(comparisons["part"] == "comparison") & comparisons["p"].notna()]
    assert others["p_holm"].max() == pytest.approx(min(1, others["p_holm"].max()))


def test_one_seed_gives_means_and_no_verdict(copy):
    for method in METHODS:
        write_scores(copy.folder / "reference" / method.name / "scores.csv", {1: -5.0})
    for estimator in ESTIMATORS:
        write_estimator(copy.folder, estimator, {1: 0.5})
    files = copy.analyse()
    assert (pd.read_csv(files.methods)["score_mean"] == -5.0).all()
    assert set(pd.read_csv(files.comparisons)["verdict"]) == {"not compared"}
    assert set(pd.read_csv(files.grpo_comparisons)["verdict"]) == {"not compared"}


def test_diverged_seeds_are_told(copy):
    write_estimator(copy.folder, "batch", {1: 0.1, 2: 0.5, 3: 0.5, 4: 0.52}, diverged=[1])
    compared = pd.read_csv(copy.analyse().grpo_comparisons)
    row = row_of(compared, metric="accuracy_final", estimator="batch", reference="group")
    assert row["note"] == "1 of 4 seeds of batch diverged"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed,points\n1,2\n", r"scores.csv: no column score; it has seed, points"),
        ("", r"scores.csv: the file is empty"),
        ("seed,score\n1,2\n1,3\n", r"scores.csv: seed 1 stands there more than once"),
    ],
)
def test_a_file_that_is_no_table_of_scores(copy, text, message):
    (copy.folder / "reference" / "batch" / "scores.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        copy.analyse()


def test_the_same_inputs_give_the_same_bytes(copy):
    before = {path.name: path.read_bytes() for path in (copy.folder / "analysis").iterdir()}
    copy.analyse()
    assert {path.name: path.read_bytes() for path in (copy.folder / "analysis").iterdir()} == before
