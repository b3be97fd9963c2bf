"""Names of arms, and arms that are trained once though several experiments compare them."""

from rlvr.alignment.arms import Experiment, arm_name, arms, experiments

DEFAULTS = {"learning_rate": 1e-3, "size": None, "filtered": False, "batch_size": 32}
SECTION = {
    "settings": DEFAULTS,
    "experiments": {
        "sweep": {"title": "Rate", "why": "", "arms": [{}, {"learning_rate": 3e-4}, {"learning_rate": 1e-3}]},
        "sizes": {"title": "Size", "why": "", "arms": [{"learning_rate": 3e-4}, {"size": 128}]},
    },
}


def test_an_arm_is_named_after_what_differs():
    assert arm_name({}, DEFAULTS) == "default"
    assert arm_name({"learning_rate": 1e-3, "size": None}, DEFAULTS) == "default"
    assert arm_name({"size": 128, "learning_rate": 3e-5}, DEFAULTS) == "learning_rate=3e-05,size=128"
    assert arm_name({"filtered": True}, DEFAULTS) == "filtered=true"
    assert arm_name({"size": None}, DEFAULTS | {"size": 5}) == "size=all"


def test_equal_settings_are_one_arm():
    assert arms(SECTION) == {
        "default": DEFAULTS,
        "learning_rate=0.0003": DEFAULTS | {"learning_rate": 3e-4},
        "size=128": DEFAULTS | {"size": 128},
    }
    assert experiments("sft", SECTION) == [
        Experiment("sft", "sweep", "Rate", "", ("default", "learning_rate=0.0003")),
        Experiment("sft", "sizes", "Size", "", ("learning_rate=0.0003", "size=128")),
    ]


def test_different_settings_never_share_a_name():
    rates = [1e-3 * (1 + step * 1e-7) for step in range(1, 4)]
    experiment = {"title": "", "why": "", "arms": [{"learning_rate": rate} for rate in rates]}
    section = {"settings": DEFAULTS, "experiments": {"rates": experiment}}
    assert len(arms(section)) == 3
