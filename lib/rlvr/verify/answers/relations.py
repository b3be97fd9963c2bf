"""When equations and inequalities are equal to each other, and to values."""

from collections.abc import Callable
from itertools import pairwise

from rlvr.verify.answers import polynomial
from rlvr.verify.answers.answer import Answer, Relation, Scalar
from rlvr.verify.answers.limits import UnreadableError
from rlvr.verify.answers.polynomial import ONE, Atom
from rlvr.verify.answers.truth import Truth, every
from rlvr.verify.answers.values import Value

Same = Callable[[Answer | None, Answer | None], Truth]
_FLIP = str.maketrans("<>", "><")


def same_relation(answer: Answer | None, gold: Answer | None, same: Same) -> Truth:
    """Equations and inequalities; x = 3 beside a value is that value."""
    if isinstance(answer, Relation) and isinstance(gold, Relation):
        return _both_relations(answer, gold, same)
    relation, other = (answer, gold) if isinstance(answer, Relation) else (gold, answer)
    assert isinstance(relation, Relation)  # one of the two is
    if set(relation.signs) != {"="}:
        return False
    sides = relation.sides[1:] if relation.label or relation.sides[0] is None else relation.sides
    if len(sides) == len(relation.sides) and relation is answer and _names_a_sum(relation.sides[0]):
        sides = relation.sides[1:]
    stated = every(same(left, right) for left, right in pairwise(sides))
    return every((stated, same(sides[-1], other) if relation is answer else same(other, sides[-1])))


def _names_a_sum(side: Answer | None) -> bool:
    """Whether the left side of "m + n = 7" is a sum or product of several plain variables."""
    if not isinstance(side, Scalar) or side.value.below != ONE:
        return False
    names = [name for term in side.value.above for name, _ in term]
    plain = all(
        isinstance(name, str) and exponent == 1 for term in side.value.above for name, exponent in term
    )
    return plain and len(set(names)) > 1 and all(number == 1 for number in side.value.above.values())


def _both_relations(answer: Relation, gold: Relation, same: Same) -> Truth:
    if answer.signs == gold.signs and answer.label and answer.label == gold.label:
        return every(map(same, answer.sides[1:], gold.sides[1:]))
    if len(answer.signs) == len(gold.signs) == 1:
        return _single_relations(answer, gold, same)
    if answer.signs == gold.signs and None not in answer.sides + gold.sides:
        return every(map(same, answer.sides, gold.sides))
    return False


def _single_relations(answer: Relation, gold: Relation, same: Same) -> Truth:
    """One sign each: differences of sides that are proportional say the same."""
    left, right = _difference(answer), _difference(gold)
    (sign,), (gold_sign,) = answer.signs, gold.signs
    if left is None or right is None:
        return _without_difference(answer, gold, same)
    if sign != gold_sign:
        if sign.translate(_FLIP) != gold_sign:
            return False
        left = -left
    if left.below == right.below and left.above and right.above:
        number = polynomial.ratio(left.above, right.above)
        if number is not None:
            return number > 0 or sign in ("=", "!=")
    functions = any(isinstance(name, Atom) for value in (left, right) for name in value.generators())
    return None if functions or left.below != right.below else False


def _without_difference(answer: Relation, gold: Relation, same: Same) -> Truth:
    """Sides that are no expressions: sets, tuples, words, or nothing ("≠ 5")."""
    if answer.signs != gold.signs:
        return False
    named = answer.signs == ("=",) and any(side.label.startswith("words") for side in (answer, gold))
    return same(answer.sides[1], gold.sides[1]) if named or _missing(answer) == _missing(gold) else False


def _missing(relation: Relation) -> list[bool]:
    return [side is None for side in relation.sides]


def _difference(relation: Relation) -> Value | None:
    """Left side less right side, if both are expressions."""
    left, right = relation.sides
    if not isinstance(left, Scalar) or not isinstance(right, Scalar):
        return None
    try:
        return left.value - right.value
    except UnreadableError:
        return None
