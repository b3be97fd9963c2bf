from itertools import product

import pytest

from rlvr.report.plain import plain_verdict

CLAIM = {"id": "H1", "arm": "bf16", "reference": "fp32", "effect": -8.9, "basis": "steps"}


def test_a_refuted_equivalence_says_which_arm_is_worse():
    assert plain_verdict(CLAIM | {"verdict": "refuted"}) == (
        "After equally many steps, bf16 is worse at the trained task than fp32, by more than counts as alike."
    )
    assert "bf16 is better" in plain_verdict(CLAIM | {"verdict": "refuted", "effect": 3.0})


def test_what_is_not_tested_is_not_known():
    claim = CLAIM | {"verdict": "inconclusive", "effect": None, "basis": "progress"}
    assert plain_verdict(claim) == (
        "These runs cannot tell whether bf16 and fp32 are about equally good at the trained task once they "
        "have come equally far on the trained task."
    )


@pytest.mark.parametrize("basis", ["steps", "progress"])
def test_every_verdict_has_a_sentence_of_its_own_that_names_both_arms(basis):
    told = {
        plain_verdict(CLAIM | {"id": name, "verdict": verdict, "basis": basis})
        for name, verdict in product(("H1", "H2", "H3"), ("supported", "refuted", "inconclusive"))
    }
    assert len(told) == 9
    assert all("bf16" in text and "fp32" in text and text.endswith(".") for text in told)
