"""What a verdict means, in one sentence for readers without statistics."""

from collections.abc import Mapping
from typing import Any

from rlvr.analysis.hypothesis import Basis

AFTER: Mapping[Basis, str] = {
    "steps": "After equally many steps",
    "progress": "Once they have come equally far on the trained task",
}
UNDECIDED = "These runs cannot tell"
BOTH = "{arm} and {reference}"
# What each hypothesis says of an arm and its reference, by verdict.
CLAIMS = {
    "H1": {
        "supported": f"{BOTH} are about equally good at the trained task.",
        "refuted": "{arm} is {direction} at the trained task than {reference}, by more than counts as alike.",
        "inconclusive": f"whether {BOTH} are about equally good at the trained task.",
    },
    "H2": {
        "supported": "it matters more to {arm} than to {reference} which seed it is trained from: its scores "
        "on the other tasks scatter more.",
        "refuted": "the scores of {arm} on the other tasks do not scatter much more from seed to seed than "
        "those of {reference}.",
        "inconclusive": "whether the scores of {arm} on the other tasks scatter more from seed to seed than "
        "those of {reference}.",
    },
    "H3": {
        "supported": f"{BOTH} have moved about equally far from the base on the trained task, but {{arm}} "
        "moves further on the others, or less alike from seed to seed.",
        "refuted": f"{BOTH} have not moved equally far from the base on the trained task, and {{arm}} moves "
        "neither further on the others nor less alike from seed to seed.",
        "inconclusive": f"whether {BOTH} move equally far from the base on the trained task and {{arm}} "
        "further, or less alike, on the others.",
    },
}


def plain_verdict(claim: Mapping[str, Any]) -> str:
    """The verdict of a whole claim of hypotheses.json in everyday words."""
    effect = claim["effect"]
    words = CLAIMS[claim["id"]][claim["verdict"]].format(
        arm=claim["arm"],
        reference=claim["reference"],
        direction="worse" if effect is not None and effect < 0 else "better",
    )
    after = AFTER[claim["basis"]]
    if claim["verdict"] == "inconclusive":
        return f"{UNDECIDED} {words.removesuffix('.')} {after[0].lower()}{after[1:]}."
    return f"{after}, {words}"
