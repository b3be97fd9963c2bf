"""When two answers are equal: True, False, or None where exact arithmetic does not tell."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from rlvr.verify.answers import polynomial
from rlvr.verify.answers.answer import (
    Answer,
    Based,
    Clock,
    Collection,
    Group,
    Interval,
    Listing,
    Matrix,
    Proportion,
    Region,
    Relation,
    Residue,
    Scalar,
    Space,
    Words,
)
from rlvr.verify.answers.approximate import surely_differ
from rlvr.verify.answers.limits import TooLargeError, UnreadableError
from rlvr.verify.answers.polynomial import ONE, Atom
from rlvr.verify.answers.regions import merged, region_of
from rlvr.verify.answers.units import MEASURES, Unit, same_unit
from rlvr.verify.answers.values import Value

Truth = bool | None


def every(truths: Iterable[Truth]) -> Truth:
    """False if one is False, else None if one is None, else True."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def same_value(left: Value, right: Value) -> Truth:
    """Whether two values are the same: by their difference, then, where functions are in it, by numbers."""
    try:
        if left.below == right.below:
            difference = polynomial.add(left.above, polynomial.scale(right.above, Fraction(-1)))
        else:
            difference = polynomial.add(
                polynomial.multiply(left.above, right.below),
                polynomial.scale(polynomial.multiply(right.above, left.below), Fraction(-1)),
            )
    except TooLargeError:
        return False if surely_differ(left, right) else None
    if not difference:
        return True
    if not any(isinstance(name, Atom) for part in (difference, left.below, right.below) for term in part for name, _ in term):
        return False
    return False if surely_differ(left, right) else None


def same(answer: Answer, gold: Answer) -> Truth:
    """Whether two answers are equal."""
    if isinstance(answer, Relation) or isinstance(gold, Relation):
        return _relations(answer, gold)
    if isinstance(answer, Listing) or isinstance(gold, Listing):
        return _listings(answer, gold)
    answer, gold = _only_item(answer), _only_item(gold)
    if isinstance(answer, Region) or isinstance(gold, Region):
        return _regions(answer, gold)
    compare = _SAME_KIND.get(type(answer))
    return compare(answer, gold) if compare and type(answer) is type(gold) else False


def _only_item(answer: Answer) -> Answer:
    """The element of a set or bracket that has just one."""
    while isinstance(answer, Collection | Group) and len(answer.items) == 1:
        (answer,) = answer.items
    return answer


def _scalars(answer: Scalar, gold: Scalar) -> Truth:
    if answer.letter and gold.letter:
        return answer.letter.lower() == gold.letter.lower()
    units = same_unit(answer.unit, gold.unit)
    if not units:
        return False
    truth = same_value(answer.value, gold.value)
    if truth is False and (_as_unit(answer, gold) or _as_unit(gold, answer)):
        return True
    return truth


def _as_unit(product: Scalar, plain: Scalar) -> bool:
    """Whether "5 m", read as five times m, is the number 5 or the length 5 m."""
    single = product.value.single
    if product.unit or single is None or len(single[1]) != 1:
        return False
    ((name, exponent),) = single[1]
    if exponent != 1 or name not in ("m", "g", "s", "h", "L", "l") or not plain.value.rational == single[0]:
        return False
    return plain.unit is None or plain.unit == Unit(frozenset({(MEASURES[name.lower()], 1)}))


def matched(answers: Sequence[Answer], golds: Sequence[Answer]) -> Truth:
    """Whether two unordered collections have the same elements, each once."""
    if len(answers) != len(golds):
        return False
    left, undecided = list(answers), False
    for gold in golds:
        truths = [same(answer, gold) for answer in left]
        if True in truths:
            del left[truths.index(True)]
        elif None in truths:
            undecided = True
        else:
            return False
    return None if undecided else True


def in_order(answers: Sequence[Answer], golds: Sequence[Answer]) -> Truth:
    """Whether two sequences have the same elements in the same order."""
    return len(answers) == len(golds) and every(map(same, answers, golds))


def _distinct(items: Sequence[Answer]) -> list[Answer]:
    kept: list[Answer] = []
    for item in items:
        if not any(same(item, other) for other in kept):
            kept.append(item)
    return kept


def _collections(answer: Collection, gold: Collection) -> Truth:
    return matched(_distinct(answer.items), _distinct(gold.items))


def _groups(answer: Group, gold: Group) -> Truth:
    two = len(answer.items) == len(gold.items) == 2
    if two and "langle" not in (answer.left, gold.left) and (answer.left, answer.right) != (gold.left, gold.right):
        return False
    return in_order(answer.items, gold.items)


def _labels(items: Sequence[Answer]) -> set[str]:
    return {item.label for item in items if isinstance(item, Relation) and item.label}


def _listings(answer: Answer, gold: Answer) -> Truth:
    """Bare lists: unordered beside lists and sets, in order beside tuples and beside x = 1, y = 2."""
    if isinstance(answer, Listing) and isinstance(gold, Listing):
        labels = _labels(answer.items), _labels(gold.items)
        if sorted(map(len, labels))[0] == 0 and max(map(len, labels)) > 1:
            return in_order(answer.items, gold.items)
        return matched(answer.items, gold.items)
    listing, other = (answer, gold) if isinstance(answer, Listing) else (gold, answer)
    if isinstance(other, Collection):
        return matched(_distinct(listing.items), _distinct(other.items))
    if isinstance(other, Group) and (other.left, other.right) == ("(", ")") and not listing.joined:
        if len(_labels(listing.items)) in (0, len(listing.items)):
            return in_order(listing.items, other.items)
    if isinstance(other, Region) and all(isinstance(item, Region) for item in listing.items) and listing.joined:
        parts = tuple(part for item in listing.items for part in item.parts)
        return _regions(Region(parts, listing.items[0].variable), other)
    return False


def _regions(answer: Answer, gold: Answer) -> Truth:
    left, right = region_of(answer), region_of(gold)
    if left is None or right is None or (left.variable and right.variable and left.variable != right.variable):
        return False
    left, right = merged(left), merged(right)
    if len(left.parts) != len(right.parts):
        return False
    return every(map(_intervals, left.parts, right.parts))


def _intervals(left: Interval, right: Interval) -> Truth:
    if (left.low_closed, left.high_closed) != (right.low_closed, right.high_closed):
        return False
    return every((_ends(left.low, right.low), _ends(left.high, right.high)))


def _ends(left: Value | None, right: Value | None) -> Truth:
    if left is None or right is None:
        return left is right
    return same_value(left, right)


def _relations(answer: Answer, gold: Answer) -> Truth:
    """Equations and inequalities; x = 3 beside a value is that value."""
    if isinstance(answer, Relation) and isinstance(gold, Relation):
        return _both_relations(answer, gold)
    relation, other = (answer, gold) if isinstance(answer, Relation) else (gold, answer)
    if set(relation.signs) != {"="}:
        return False
    sides = relation.sides[1:] if relation.label or relation.sides[0] is None else relation.sides
    if len(sides) == len(relation.sides) and relation is answer and _names_a_sum(relation.sides[0]):
        sides = relation.sides[1:]
    stated = every(same(left, right) for left, right in zip(sides, sides[1:], strict=False))
    return every((stated, same(sides[-1], other) if relation is answer else same(other, sides[-1])))


def _names_a_sum(side: Answer) -> bool:
    """Whether the left side of "m + n = 7" is a sum or product of several plain variables."""
    if not isinstance(side, Scalar) or side.value.below != ONE:
        return False
    names = [name for term in side.value.above for name, _ in term]
    plain = all(isinstance(name, str) and exponent == 1 for term in side.value.above for name, exponent in term)
    return plain and len(set(names)) > 1 and all(number == 1 for number in side.value.above.values())


def _both_relations(answer: Relation, gold: Relation) -> Truth:
    if answer.signs == gold.signs and answer.label and answer.label == gold.label:
        return every(map(same, answer.sides[1:], gold.sides[1:]))
    if len(answer.signs) == len(gold.signs) == 1:
        return _single_relations(answer, gold)
    if answer.signs == gold.signs and None not in answer.sides + gold.sides:
        return in_order(answer.sides, gold.sides)
    return False


def _single_relations(answer: Relation, gold: Relation) -> Truth:
    left, right = _difference(answer), _difference(gold)
    signs = answer.signs[0], gold.signs[0]
    if left is None or right is None:
        named = "=" == signs[0] == signs[1] and (answer.label.startswith("words") or gold.label.startswith("words"))
        same_sides = signs[0] == signs[1] and _missing(answer) == _missing(gold)
        return same(answer.sides[1], gold.sides[1]) if named or same_sides else False
    if signs[0] != signs[1]:
        if signs[0].translate(_FLIP) != signs[1]:
            return False
        left = -left
    number = polynomial.ratio(left.above, right.above) if left.above and right.above else None
    if number is not None and left.below == right.below:
        return number > 0 or signs[0] in ("=", "!=")
    exact = not any(isinstance(name, Atom) for value in (left, right) for name in value.generators())
    return False if exact and left.below == right.below else None


_FLIP = str.maketrans("<>", "><")


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


def _matrices(answer: Matrix, gold: Matrix) -> Truth:
    if len(answer.rows) != len(gold.rows):
        return False
    return every(map(in_order, answer.rows, gold.rows))


def _proportions(answer: Proportion, gold: Proportion) -> Truth:
    if len(answer.parts) != len(gold.parts):
        return False
    first, other = answer.parts[0], gold.parts[0]
    return every(same_value(a * other, g * first) for a, g in zip(answer.parts, gold.parts, strict=True))


def _residues(answer: Residue, gold: Residue) -> Truth:
    if not (same_modulus := same_value(answer.modulus, gold.modulus)):
        return same_modulus
    steps, modulus = (answer.value - gold.value).rational, gold.modulus.rational
    if steps is None or not modulus:
        return same_value(answer.value, gold.value)
    return (steps / modulus).denominator == 1


def _clocks(answer: Clock, gold: Clock) -> Truth:
    return answer == gold


_SAME_KIND: dict[type, Callable[..., Truth]] = {
    Words: lambda answer, gold: answer.text == gold.text,
    Scalar: _scalars,
    Based: lambda answer, gold: answer == gold,
    Residue: _residues,
    Clock: _clocks,
    Group: _groups,
    Collection: _collections,
    Proportion: _proportions,
    Matrix: _matrices,
    Space: lambda answer, gold: answer == gold,
}
