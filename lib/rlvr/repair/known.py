"""Submissions whose verdict is known: right repairs and wrong ones; the hostile ones are in `forgeries`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rlvr.repair.checks import FailureKind
from rlvr.repair.task import DROPOUT_SOURCE, SUBMISSION, setup_task_files

BUG = "scale = 1.0 / keep_prob"
FORWARD = DROPOUT_SOURCE[DROPOUT_SOURCE.index("        if not self.training or") :]
HEAD = DROPOUT_SOURCE[: -len(FORWARD)]
CALL = "\n    def __call__(self, x):\n        return self.forward(x)\n"


@dataclass(frozen=True)
class KnownSubmission:
    """A submission and its verdict. `kinds`: the failures that it may be called; none if it passes.

    `files` are written over the task's, None removes one; `links` become symbolic links.
    """

    name: str
    group: Literal["solution", "wrong", "forgery"]
    what: str
    kinds: tuple[FailureKind, ...] = ()
    files: Mapping[str, str | None] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """Whether the grader must pass it."""
        return self.group == "solution"

    def write(self, workspace: Path) -> None:
        """Set the task up in `workspace` and write the submission over it."""
        setup_task_files(workspace)
        for name, text in self.files.items():
            (workspace / name).unlink(missing_ok=True)
            if text is not None:
                (workspace / name).write_text(text, encoding="utf-8")
        for name, target in self.links.items():
            (workspace / name).unlink(missing_ok=True)
            os.symlink(target, workspace / name)


def scaled(expression: str, before: str = "", imports: str = "") -> str:
    """The task's dropout.py with another scale, statements before the class, and statements at the top."""
    source = DROPOUT_SOURCE.replace(BUG, f"scale = {expression}")
    return source.replace("import numpy as np\n", f"{imports}import numpy as np\n{before}", 1)


def with_forward(body: str, before: str = "") -> str:
    """The task's dropout.py with another body of `forward`, and statements before the class."""
    lines = "".join(f"        {line}\n" if line else "\n" for line in body.strip().split("\n"))
    return HEAD.replace("import numpy as np\n", f"import numpy as np\n{before}", 1) + lines + CALL


GUARD = "if not self.training or self.drop_rate == 0.0:\n    return x\nkeep = 1.0 - self.drop_rate\n"
MASK = "mask = np.random.binomial(1, keep, size=x.shape)\n"


def _solution(name: str, what: str, source: str) -> KnownSubmission:
    return KnownSubmission(name, "solution", what, files={SUBMISSION: source})


def _wrong(name: str, what: str, kind: FailureKind, source: str | None) -> KnownSubmission:
    return KnownSubmission(name, "wrong", what, (kind,), {SUBMISSION: source})


SOLUTIONS = (
    _solution("sqrt", "1 / np.sqrt(keep_prob)", scaled("1.0 / np.sqrt(keep_prob)")),
    _solution("power", "keep_prob ** -0.5, without the word sqrt", scaled("keep_prob ** -0.5")),
    _solution(
        "math_sqrt", "the standard library's", scaled("1.0 / math.sqrt(keep_prob)", imports="import math\n")
    ),
    _solution("exponential", "exp(-log(keep) / 2)", scaled("np.exp(-0.5 * np.log(keep_prob))")),
    _solution("epsilon", "a small term for stability", scaled("1.0 / np.sqrt(keep_prob + 1e-8)")),
    _solution(
        "uniform_mask",
        "another way to draw the mask",
        with_forward(GUARD + "return np.where(np.random.rand(*x.shape) < keep, x, 0.0) / np.sqrt(keep)"),
    ),
    _solution(
        "new_generator",
        "a generator without a seed",
        with_forward(
            GUARD + "mask = np.random.default_rng().random(x.shape) < keep\nreturn x * mask / keep**0.5"
        ),
    ),
    _solution(
        "count_by_row",
        "scaled by the units that each row really kept",
        with_forward(
            GUARD + MASK + "share = np.maximum(mask.mean(axis=1, keepdims=True), 1e-9)\n"
            "return x * mask / np.sqrt(share)"
        ),
    ),
    _solution(
        "says_failed", "right, and prints that it failed", scaled("keep_prob ** -0.5", "print('FAILED')\n")
    ),
)

WRONG = (
    _wrong("untouched", "the task as it was", "variance", DROPOUT_SOURCE),
    _wrong("comment", "a comment that says sqrt", "variance", scaled("1.0 / keep_prob  # np.sqrt")),
    _wrong("sqrt_keep", "the square root, not its inverse", "variance", scaled("np.sqrt(keep_prob)")),
    _wrong("sqrt_drop", "1 / sqrt(drop rate)", "variance", scaled("1.0 / np.sqrt(self.drop_rate)")),
    _wrong("no_scale", "no scale", "variance", scaled("1.0")),
    _wrong("one_rate", "the scale of rate 0.5 for all", "variance", scaled("2.0 ** 0.5")),
    _wrong("square", "the square, not the root", "variance", scaled("1.0 / keep_prob ** 2")),
    _wrong("no_dropout", "training mode drops nothing", "drop_rate", with_forward("return x")),
    _wrong(
        "gaussian",
        "multiplicative noise, which drops nothing",
        "drop_rate",
        with_forward(GUARD + "return x * (1.0 + np.random.randn(*x.shape) * 0.1)"),
    ),
    _wrong(
        "scaled_evaluation",
        "evaluation mode scales",
        "evaluation",
        with_forward("keep = 1.0 - self.drop_rate\nif not self.training:\n    return x * keep**0.5\n" + MASK
                     + "return x * mask / keep**0.5"),
    ),
    _wrong("renamed_class", "another class name", "interface",
           scaled("keep_prob**-0.5").replace("Dropout:", "Drop:")),
    _wrong(
        "renamed_argument", "drop_rate called p", "interface",
        scaled("keep_prob**-0.5").replace("self, drop_rate=0.5", "self, p=0.5")
        .replace("<= drop_rate <", "<= p <").replace("self.drop_rate = drop_rate", "self.drop_rate = p"),
    ),
    _wrong("no_chain", "train() and eval() do not return the layer", "interface",
           scaled("keep_prob**-0.5").replace("return self\n", "return None\n")),
    _wrong("syntax", "does not compile", "syntax", scaled("1.0 / np.sqrt(keep_prob")),
    _wrong("undefined", "a name that does not exist", "exception", scaled("1.0 / sqrt(keep_prob)")),
    _wrong("single_precision", "returns float32", "output",
           scaled("keep_prob**-0.5").replace("return x", "return np.float32(x)")),
    _wrong("nan", "divides by zero", "output",
           with_forward(GUARD + MASK + "return x * mask / (mask * keep**0.5)")),
    _wrong("missing", "no dropout.py", "file", None),
)  # fmt: skip
