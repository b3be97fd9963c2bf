"""Estimators of the advantage in a config: what each can have, in both studies that train with GRPO."""

import pytest

from rlvr.config.load import ConfigError, validate_config


def nested(path, value):
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def problems(config) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate_config(config)
    return [line.strip() for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "precision.training.advantage.estimator",
            "prompt",
            "group, batch, per_prompt_buffer, per_prompt_ema, none",
        ),
        (
            "precision.training.advantage.baseline",
            "none",
            "unknown key; allowed: estimator, normalize_by_std",
        ),
        (
            "precision.training.advantage.decay",
            1,
            "1.0 is not allowed; allowed: a number, at least 0, less than 1",
        ),
        (
            "precision.training.advantage.min_count",
            0,
            "0 is not allowed; allowed: a whole number, at least 1",
        ),
        (
            "alignment.grpo.settings.advantage",
            "none",
            "allowed: group, batch, per_prompt_buffer, per_prompt_ema",
        ),
        ("alignment.grpo.settings.buffer_size", 0, "0 is not allowed; allowed: a whole number, at least 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(key, value, said):
    assert any(line.startswith(f"{key}: ") and said in line for line in problems(nested(key, value)))


TRAINING = "precision.training"
GRPO = "alignment.grpo.settings"
ESTIMATORS = [
    # section, its keys, the key that the message names (None: nothing is wrong), what it says
    (
        TRAINING,
        {"advantage": {"estimator": "batch", "normalize_by_std": False}},
        "advantage.normalize_by_std",
        "false, but estimator batch always divides by the standard deviation; allowed: true, or estimator gr",
    ),
    (
        TRAINING,
        {"advantage": {"estimator": "per_prompt_buffer", "buffer_size": 8}},
        "advantage.min_count",
        "16 rewards never fit in a buffer of buffer_size, 8; allowed: at most 8",
    ),
    (
        TRAINING,
        {"advantage": {"estimator": "per_prompt_ema"}, "loss": {"type": "no_baseline"}},
        "advantage.estimator",
        "but loss type no_baseline trains on the rewards themselves; allowed: group, none, or another loss",
    ),
    (TRAINING, {"advantage": {"normalize_by_std": False}}, None, ""),
    (TRAINING, {"advantage": {"estimator": "none", "normalize_by_std": False}}, None, ""),
    (TRAINING, {"advantage": {"estimator": "per_prompt_ema", "buffer_size": 8}}, None, ""),
    (TRAINING, {"advantage": {"estimator": "per_prompt_buffer", "buffer_size": 16}}, None, ""),
    (TRAINING, {"loss": {"type": "no_baseline"}, "advantage": {"estimator": "none"}}, None, ""),
    (
        GRPO,
        {"advantage": "per_prompt_ema", "use_std_normalization": False},
        "use_std_normalization",
        "false, but advantage per_prompt_ema always divides by the standard deviation; allowed: true, or adv",
    ),
    (GRPO, {"advantage": "per_prompt_buffer", "min_count": 33}, "min_count", "allowed: at most 32"),
    (
        GRPO,
        {"advantage": "batch", "loss_type": "no_baseline"},
        "advantage",
        "batch, but loss_type no_baseline trains on the rewards themselves; allowed: group, or another loss_",
    ),
]


@pytest.mark.parametrize(("section", "given", "key", "said"), ESTIMATORS)
def test_an_estimator_and_the_settings_that_it_cannot_have(section, given, key, said):
    if section == GRPO:  # without the default experiments, whose arms would repeat what is wrong with it
        given = {"settings": given, "experiments": {"own": {"title": "Own", "why": "", "arms": [{}]}}}
        section = "alignment.grpo"
        key = key and f"settings.{key}"
    if key is None:
        assert validate_config(nested(section, given))
        return
    lines = problems(nested(section, given))
    assert any(line.startswith(f"{section}.{key}: ") and said in line for line in lines), lines


def test_an_arm_that_contradicts_its_estimator_is_named():
    experiment = {"title": "Advantages", "why": "", "arms": [{}, {"advantage": "batch"}]}
    overrides = {"advantage": "per_prompt_buffer", "buffer_size": 4}
    config = nested("alignment.grpo.experiments.own", experiment)
    assert validate_config(config)
    experiment["arms"].append(overrides)
    said = (
        "alignment.grpo.experiments.own.arms.2.min_count: 16 rewards never fit in a buffer of buffer_size, 4"
    )
    assert any(line.startswith(said) for line in problems(config))
