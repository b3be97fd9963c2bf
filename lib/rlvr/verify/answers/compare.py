"""When two answers are equal: True, False, or None where exact arithmetic does not tell."""

from collections.abc import Callable, Sequence

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
from rlvr.verify.answers.regions import merged, region_of
from rlvr.verify.answers.relations import same_relation
from rlvr.verify.answers.truth import Truth, every, same_value
from rlvr.verify.answers.units import Unit, same_unit
from rlvr.verify.answers.values import Value
from rlvr.verify.answers.vocabulary import MEASURES


def equal(answer: Answer, gold: Answer) -> Truth:
    """Whether two answers are equal; a number equals the set that has it alone."""
    if isinstance(answer, Collection | Group) != isinstance(gold, Collection | Group):
        answer, gold = _only_number(answer), _only_number(gold)
    return same(answer, gold)


def _only_number(answer: Answer) -> Answer:
    if isinstance(answer, Collection | Group) and len(answer.items) == 1:
        (item,) = answer.items
        return item if isinstance(item, Scalar | Matrix) else answer
    return answer


def same(answer: Answer | None, gold: Answer | None) -> Truth:
    """Whether two answers, or two items of answers, are equal; a missing side (None) equals nothing."""
    if isinstance(answer, Relation) or isinstance(gold, Relation):
        return same_relation(answer, gold, same)
    if isinstance(answer, Listing) or isinstance(gold, Listing):
        return _listings(answer, gold)
    if isinstance(answer, Region) or isinstance(gold, Region):
        return _regions(answer, gold)
    compare = _SAME_KIND.get(type(answer))
    return compare(answer, gold) if compare and type(answer) is type(gold) else False


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
    """Whether "5 m", read as five times m, is the number 5 or the length 5 m; "5 m^3" is a volume only."""
    single = product.value.single
    if product.unit or single is None or len(single[1]) != 1:
        return False
    ((name, exponent),) = single[1]
    if name not in ("m", "g", "s", "h", "L", "l") or plain.value.rational != single[0]:
        return False
    if plain.unit is None:
        return exponent == 1
    return plain.unit == Unit(frozenset({(MEASURES[name.lower()], exponent)}))


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
    if (
        two
        and "langle" not in (answer.left, gold.left)
        and (answer.left, answer.right) != (gold.left, gold.right)
    ):
        return False
    return in_order(answer.items, gold.items)


def _labels(items: Sequence[Answer]) -> set[str]:
    return {item.label for item in items if isinstance(item, Relation) and item.label}


def _listings(answer: Answer | None, gold: Answer | None) -> Truth:
    """Bare lists: unordered beside lists and sets, in order beside tuples and beside x = 1, y = 2."""
    if isinstance(answer, Listing) and isinstance(gold, Listing):
        labels = _labels(answer.items), _labels(gold.items)
        if sorted(map(len, labels))[0] == 0 and max(map(len, labels)) > 1:
            return in_order(answer.items, gold.items)
        return matched(answer.items, gold.items)
    listing, other = (answer, gold) if isinstance(answer, Listing) else (gold, answer)
    assert isinstance(listing, Listing)  # `same` comes here where one of the two is
    if isinstance(other, Collection):
        return matched(_distinct(listing.items), _distinct(other.items))
    if (
        isinstance(other, Group)
        and (other.left, other.right) == ("(", ")")
        and not listing.joined
        and len(_labels(listing.items)) in (0, len(listing.items))
    ):
        return in_order(listing.items, other.items)
    regions = [item for item in listing.items if isinstance(item, Region)]
    if isinstance(other, Region) and len(regions) == len(listing.items) and listing.joined:
        parts = tuple(part for region in regions for part in region.parts)
        return _regions(Region(parts, regions[0].variable), other)
    return False


def _regions(answer: Answer | None, gold: Answer | None) -> Truth:
    left, right = region_of(answer), region_of(gold)
    if (
        left is None
        or right is None
        or (left.variable and right.variable and left.variable != right.variable)
    ):
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
