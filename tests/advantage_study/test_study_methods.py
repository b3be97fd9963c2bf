from dataclasses import replace

import pytest

from rlvr.advantage_study.methods import Method, study_methods
from rlvr.advantage_study.problem import REFERENCE_PROBLEM
from rlvr.advantage_study.trackers import StatisticsBeforeTracker, make_tracker
from rlvr.advantages.batch_stats import BatchStats
from rlvr.advantages.buffer import PerPromptStatTracker
from rlvr.advantages.ema import EmaPromptStatTracker
from rlvr.config.advantage import ReferenceConfig, SweepConfig, TrackerConfig

CONFIG = ReferenceConfig(
    seeds=2,
    problem=REFERENCE_PROBLEM,
    tracker=TrackerConfig(buffer_size=32, min_count=16, decay=0.9, eps=1e-7),
    decays=(0.5, 0.9, 0.99),
    sweep=SweepConfig(seeds=2, buffer_sizes=(8, 32), min_counts=(4, 8, 16)),
    confidence=0.95,
)
PLAIN = Method("buffer", buffer_size=32, min_count=16, decay=0.9, eps=1e-7)


def test_names_and_parts():
    parts = {}
    for method in study_methods(CONFIG):
        parts.setdefault(method.part, []).append(method.name)
    assert parts == {
        "comparison": ["batch", "buffer", "ema-0.5", "ema-0.9", "ema-0.99"],
        # not buffer-8-16, which cannot be, nor buffer-32-16, which is `buffer`
        "sweep": ["buffer-8-4", "buffer-8-8", "buffer-32-4", "buffer-32-8"],
        "variants": ["batch-accumulating", "buffer-accumulating", "ema-0.9-accumulating", "buffer-before"],
    }


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("batch", replace(PLAIN, tracker="batch")),
        ("buffer", PLAIN),
        ("ema-0.99", replace(PLAIN, tracker="ema", decay=0.99)),
        ("buffer-8-4", replace(PLAIN, buffer_size=8, min_count=4)),
        ("batch-accumulating", replace(PLAIN, tracker="batch", accumulate=True)),
        ("buffer-before", replace(PLAIN, statistics="before")),
    ],
)
def test_settings(name, method):
    assert {method.name: method.method for method in study_methods(CONFIG)}[name] == method


def test_two_methods_of_one_name_are_an_error():
    with pytest.raises(ValueError, match=r"called ema-0\.5$"):
        study_methods(replace(CONFIG, decays=(0.5, 0.9, 0.5000000001)))


def test_trackers_of_methods():
    batch, buffer, ema, before = (
        make_tracker(replace(PLAIN, **changes))
        for changes in (
            {"tracker": "batch", "eps": 0.5},
            {"buffer_size": 7, "min_count": 3},
            {"tracker": "ema", "decay": 0.3, "min_count": 5},
            {"statistics": "before"},
        )
    )
    assert type(batch) is BatchStats and batch.eps == 0.5
    assert type(buffer) is PerPromptStatTracker and (buffer.buffer_size, buffer.min_count) == (7, 3)
    assert type(ema) is EmaPromptStatTracker and (ema.decay, ema.min_count) == (0.3, 5)
    assert type(before) is StatisticsBeforeTracker and before.buffer_size == 32
    with pytest.raises(ValueError, match="min_count is 16; allowed: 1 to buffer_size"):
        make_tracker(replace(PLAIN, buffer_size=8))


def test_the_variant_normalises_by_the_buffer_before_the_batch():
    tracker = StatisticsBeforeTracker(buffer_size=4, min_count=2, eps=0.0)
    # nothing known of a: the batch's mean 2 and std 1
    assert tracker.update(["a", "a"], [1.0, 3.0]).tolist() == [-1.0, 1.0]
    # a by 1 and 3; b by the batch 4, 6, whose mean is 5 and whose std is 1
    assert tracker.update(["a", "b"], [4.0, 6.0]).tolist() == [2.0, 1.0]
    # the new rewards have entered: 1, 3, 4 of a
    assert [(row["prompt"], row["count"]) for row in tracker.stats()] == [("a", 3), ("b", 1)]
    assert tracker.stats()[0]["mean"] == pytest.approx(8 / 3, rel=1e-15)


@pytest.mark.filterwarnings("error")
def test_the_variant_warns_of_nothing_on_new_prompts():
    tracker = StatisticsBeforeTracker(buffer_size=4, min_count=1)
    assert tracker.update(["a"], [1.0]).tolist() == [0.0]
