"""How arms are called in figures and on the page: by the settings that set them apart. No matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlvr.alignment.arms import DEFAULT, arm_name

Settings = Mapping[str, Any]

# Splits a batch without changing its gradient, so it tells no arm from another.
TECHNICAL = ("gradient_accumulation_steps",)
KEY_WORDS = {
    "learning_rate": "rate", "batch_size": "batch", "train_batch_size": "batch", "size": "examples",
    "epochs_per_rollout_batch": "epochs", "rollouts": "responses", "use_std_normalization": "std",
    "filtered": "filtered", "steps": "steps", "cliprange": "clip range",
}  # fmt: skip
# Settings whose values are words that need no key before them.
PLAIN_VALUES = ("loss_type", "length_normalization", "prompt")
SWITCHES = {
    "use_std_normalization": {"true": "with std", "false": "without std"},
    "filtered": {"true": "correct only", "false": "all examples"},
}
# Up to so many settings that vary, every arm names all of them.
NAMED_IN_FULL = 2


def arm_settings(arm: str, defaults: Settings) -> dict[str, str]:
    """All settings of an arm as words, from its name and its method's defaults."""
    # Compared with nothing, every default is named.
    every = arm_name(defaults, dict.fromkeys(defaults, ...))
    parts = [*every.split(","), *([] if arm == DEFAULT else arm.split(","))]
    return dict(part.split("=", 1) for part in parts)


def varying_settings(arms: Sequence[str], defaults: Settings) -> dict[str, dict[str, str]]:
    """By arm the settings in which the arms are not all alike; those of TECHNICAL left out."""
    settings = {arm: arm_settings(arm, defaults) for arm in arms}
    keys = [
        key
        for key in defaults
        if key not in TECHNICAL and len({own.get(key) for own in settings.values()}) > 1
    ]
    return {arm: {key: own[key] for key in keys} for arm, own in settings.items()}


def setting_words(key: str, value: str) -> str:
    """`rate 0.001`, `without std`, `grpo_clip`."""
    if key in SWITCHES:
        return SWITCHES[key][value]
    return value if key in PLAIN_VALUES else f"{KEY_WORDS.get(key, key.replace('_', ' '))} {value}"


def arm_labels(arms: Sequence[str], defaults: Settings) -> dict[str, str]:
    """A short label by arm, different for each.

    Where one or two settings vary every arm names them; where more do, those that it overrides, and the arm
    of the defaults is `default`. Arms that could not be told apart so have their whole names.
    """
    varying = varying_settings(arms, defaults)
    names = arm_settings(DEFAULT, defaults)
    labels = {}
    for arm, own in varying.items():
        in_full = len(own) <= NAMED_IN_FULL
        told = [setting_words(key, value) for key, value in own.items() if in_full or value != names[key]]
        labels[arm] = ", ".join(told) or arm
    return labels if len(set(labels.values())) == len(arms) else {arm: arm for arm in arms}
