"""The findings of the alignment study: two sentences a group, true to the tables and to the data."""

import json
import math
import re
import shutil

import pytest
from synthetic_arms import (
    CONFIG,
    alignment_section,
    analyse,
    write_small_arm,
    write_synthetic_study,
    write_zero_shot,
)

from rlvr.alignment.analysis.words import short_name
from rlvr.alignment.arms import METHODS, Experiment, experiments

GROUPS = [
    "zero_shot", "sft", "expert_iteration", "grpo", "learning_rate", "baselines", "length_normalization",
    "std_normalization", "off_policy", "clip", "prompt", "leaderboard",
]  # fmt: skip
NAMES = re.compile(r"\w+=[\w.+-]*\w|r1_zero")
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def read(files):
    with open(files.findings) as text:
        return json.load(text)


def require_two_sentences(found):
    for group, finding in found.items():
        assert len(finding["sentences"]) == 2, group
        for text in finding["sentences"]:
            assert text.endswith(".") and not re.search(r"[.!?]\s", text), text
            assert text[0].isupper() and "nan" not in text.lower().split(), text


def require_known_numbers(found):
    """Each number of a sentence is one of `numbers`, rounded as it is said, with or without its sign."""
    for group, finding in found.items():
        values = [value for value in finding["numbers"].values() if value is not None]
        for said in NUMBER.findall(NAMES.sub("", " ".join(finding["sentences"]))):
            digits = len(said.partition(".")[2])
            known = {f"{sign * value:.{digits}f}" for value in values for sign in (1, -1)}
            assert said.lstrip("+") in known or said.lstrip("+-") in known, (group, said)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alignment")
    return folder, write_synthetic_study(folder)


@pytest.fixture(scope="module")
def found(study):
    return read(analyse(*study))


def findings_of(folder, *given, seeds=3, **starts):
    for prompt, accuracy in ({"r1_zero": 0.4} | starts).items():
        write_zero_shot(folder, prompt, accuracy, 0.8)
    told = read(analyse(folder, [Experiment(*one[:2], one[1], "", one[2:]) for one in given], seeds))
    require_two_sentences(told)
    require_known_numbers(told)
    return told


def test_twelve_groups_of_two_sentences(found):
    assert list(found) == GROUPS
    require_two_sentences(found)
    assert all(finding["title"] for finding in found.values())


def test_no_sentence_has_a_number_of_its_own(found):
    require_known_numbers(found)
    assert all(finding["numbers"] for finding in found.values())


def test_the_diverged_learning_rate_is_named_and_is_not_the_best(found):
    first, second = found["learning_rate"]["sentences"]
    assert "learning_rate=0.003, 3 of 3 seeds diverged" in second
    assert "best mean is that with learning_rate=0.003" not in first


def test_default_loop_meets_its_requirement(found):
    assert "which is at least 5 points with an interval above zero" in found["grpo"]["sentences"][0]
    assert "zero-shot accuracy on 1000 questions" in found["grpo"]["sentences"][1]


def test_known_effects_are_told(found):
    assert "mean gradient norm is higher" in found["length_normalization"]["sentences"][1]
    assert "mean gradient norm is lower" in found["std_normalization"]["sentences"][1]
    assert "largest probability ratio is higher" in found["clip"]["sentences"][1]
    assert "with prompt=question_only accuracy is lower" in found["prompt"]["sentences"][0]
    assert "rises with the number of examples" in found["sft"]["sentences"][0] + found["sft"]["sentences"][1]
    assert "(a fall)" in found["expert_iteration"]["sentences"][1]
    assert "time to half of the reference's gain is higher" in found["off_policy"]["sentences"][1]


@pytest.mark.parametrize(
    ("finals", "words"),
    [
        ((0.60, 0.61, 0.62), "which is at least 5 points with an interval above zero"),
        ((0.43, 0.44, 0.45), "which does not show a gain of 5 points"),
        ((0.40, 0.50, 0.60), "which does not show a gain of 5 points"),  # 10 points, but -14.8 to +34.8
        ((0.30, 0.31, 0.32), "which does not show a gain of 5 points"),
    ],
)
def test_the_loop_needs_five_points_and_an_interval_above_zero(tmp_path, finals, words):
    write_small_arm(tmp_path, "grpo", "default", finals)
    told = findings_of(tmp_path, ("grpo", "loop", "default"))
    assert words in told["grpo"]["sentences"][0]


def test_nothing_seen_is_said_with_its_interval_and_seeds(tmp_path):
    write_small_arm(tmp_path, "grpo", "default", (0.60, 0.62))
    write_small_arm(tmp_path, "grpo", "loss_type=no_baseline", (0.61, 0.64))
    told = findings_of(tmp_path, ("grpo", "baselines", "default", "loss_type=no_baseline"), seeds=2)
    numbers = told["baselines"]["numbers"]
    low = numbers["grpo/baselines/loss_type=no_baseline accuracy difference low"]
    assert "shows no difference with 2 seeds (95 % interval" in told["baselines"]["sentences"][0]
    assert f"{low:+.1f}" in told["baselines"]["sentences"][0]


def test_equal_arms_are_told_to_be_equivalent(tmp_path):
    for arm in ("default", "use_std_normalization=false"):
        write_small_arm(tmp_path, "grpo", arm, (0.60, 0.605, 0.61))
    told = findings_of(tmp_path, ("grpo", "std_normalization", "default", "use_std_normalization=false"))
    first, second = told["std_normalization"]["sentences"]
    assert "accuracy is equivalent within 2 points (tested at 5 %" in first
    assert "mean gradient norm shows no difference with 3 seeds (the same in every seed)" in second


def test_a_missing_seed_and_a_missing_arm_are_said(tmp_path):
    write_small_arm(tmp_path, "grpo", "default", (0.60, 0.62))
    told = findings_of(tmp_path, ("grpo", "learning_rate", "default", "learning_rate=0.001"))
    assert "2 of 3 seeds" in told["learning_rate"]["sentences"][0]
    assert "accuracy cannot be compared (too few seeds" in told["learning_rate"]["sentences"][0]
    assert "there is no result with learning_rate=0.001" in told["learning_rate"]["sentences"][1]


def test_groups_without_any_result_say_so(tmp_path):
    section = alignment_section()
    given = [one for method in METHODS for one in experiments(method, section[method])]
    told = read(analyse(tmp_path, given))
    assert list(told) == GROUPS
    require_two_sentences(told)
    for group, finding in told.items():
        assert finding["sentences"][0] == "There is no result for this in this run.", group
        assert finding["numbers"] == {}


def test_without_zero_shot_the_gain_is_unknown(tmp_path):
    write_small_arm(tmp_path, "grpo", "default", (0.60, 0.62, 0.64))
    told = read(analyse(tmp_path, [Experiment("grpo", "loop", "", "", ("default",))]))
    require_two_sentences(told)
    assert "zero-shot start is missing" in told["grpo"]["sentences"][0]
    assert "no zero-shot result" in told["grpo"]["sentences"][1]


def test_everything_diverged_still_goes_through(tmp_path):
    ending = {"diverged": True, "reason": "not finite", "entropy_mean": math.nan}
    for arm in ("default", "learning_rate=1.0"):
        write_small_arm(tmp_path, "grpo", arm, (math.nan, math.nan, 0.01), grad_norms=(math.nan,), **ending)
    told = findings_of(
        tmp_path, ("grpo", "learning_rate", "default", "learning_rate=1.0"), ("grpo", "loop", "default")
    )
    assert "with the default settings, 3 of 3 seeds diverged" in told["learning_rate"]["sentences"][1].lower()
    assert "does not show a gain" in told["grpo"]["sentences"][0]


def test_part_of_a_study_goes_through(study, tmp_path):
    folder, given = study
    shutil.copytree(folder, tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "sft")
    shutil.rmtree(tmp_path / "part" / "zero_shot" / "question_only")
    told = read(analyse(tmp_path / "part", given))
    require_two_sentences(told)
    require_known_numbers(told)
    assert "no supervised arm to compare it with" in told["expert_iteration"]["sentences"][0]
    assert "There is no result" in told["sft"]["sentences"][0]
    assert "cannot be compared" in told["prompt"]["sentences"][1]


def test_margin_of_the_config_is_the_one_that_is_told(tmp_path):
    assert CONFIG.margin_points == 2.0
    for arm in ("default", "prompt=question_only"):
        write_small_arm(tmp_path, "grpo", arm, (0.60, 0.605, 0.61))
    told = findings_of(tmp_path, ("grpo", "prompt", "default", "prompt=question_only"), question_only=0.3)
    assert told["prompt"]["numbers"]["margin points"] == 2.0


@pytest.mark.parametrize(
    ("arm", "reference", "words"),
    [
        ("a=1", "default", "a=1"),
        ("a=1,b=2,c=3", "a=1,c=4", "b=2,c=3"),
        ("default", "a=1", "the default settings"),
        ("b=2", "a=1", "b=2"),
        ("a=1", "a=1", "a=1"),
    ],
)
def test_short_names_tell_arms_apart(arm, reference, words):
    assert short_name(arm, reference) == words


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        (0.2, "the answer loses more"),  # 60 % against 20 %
        (0.61, "neither is seen to lose more"),  # 19 % against 20 % of 1000 questions
        (0.7, "the format loses more"),  # 10 % against 20 %
    ],
)
def test_what_loses_more_is_told_only_beyond_sampling(tmp_path, accuracy, said):
    told = findings_of(tmp_path, r1_zero=accuracy)
    assert said in told["zero_shot"]["sentences"][1]
