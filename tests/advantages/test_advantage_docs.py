"""The examples of docs/advantage.md, as a reader would run them one after the other."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "advantage.md"


def test_the_examples_run_and_learn():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block, names)
    for prompt, label in names["labels"].items():  # from 100, ten and a hundred away
        assert names["policy"][prompt] == pytest.approx(label, abs=1.0)
    assert names["resumed"].stats() == names["tracker"].stats()
    arguments = (["near", "far"], [-1.0, -2.0])
    np.testing.assert_array_equal(names["resumed"].update(*arguments), names["tracker"].update(*arguments))
