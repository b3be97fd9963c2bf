"""Sets of real numbers: inequalities as intervals, unions, and one form for equal sets."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from rlvr.verify.answers.answer import Answer, Collection, Group, Interval, Region, Relation, Scalar
from rlvr.verify.answers.approximate import approximate
from rlvr.verify.answers.limits import UnsupportedError
from rlvr.verify.answers.polynomial import ONE
from rlvr.verify.answers.values import Value

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_INFINITY = frozenset({("infty", 1)})


def as_region(answer: Answer) -> Answer:
    """An inequality in one variable as the values that it allows; anything else as it is."""
    if not isinstance(answer, Relation) or not set(answer.signs) <= _FLIPPED.keys():
        return answer
    values = [side.value for side in answer.sides if isinstance(side, Scalar)]
    if len(values) != len(answer.sides):
        return answer
    if len(answer.signs) == 1:
        return _half_line(values, answer.signs[0]) or answer
    return _bounded(values, answer.signs) or answer


def _half_line(sides: list[Value], sign: str) -> Region | None:
    """c x + d < 0 with numbers c and d."""
    left, right = sides
    difference = left - right
    if difference.below != ONE:
        return None
    names = {name for name in difference.generators() if isinstance(name, str) and name not in ("pi", "e")}
    if len(names) != 1:
        return None
    (name,) = names
    variable = frozenset({(name, 1)})
    factor = difference.above.get(variable)
    rest = {term: number for term, number in difference.above.items() if term != variable}
    if factor is None or any(any(own == name for own, _ in term) for term in rest) or name in ("i", "infty"):
        return None
    bound = -Value(rest, ONE) * Value.number(1 / factor)
    sign = sign if factor > 0 else _FLIPPED[sign]
    closed = sign in ("<=", ">=")
    upper = sign[0] == "<"
    part = Interval(
        None if upper else bound, bound if upper else None, closed and not upper, closed and upper
    )
    return Region((part,), name)


def _bounded(sides: list[Value], signs: tuple[str, ...]) -> Region | None:
    """a < x < b."""
    if len(sides) != 3 or len({sign[0] for sign in signs}) > 1:
        return None
    low, middle, high = sides
    single = middle.single
    if single is None or single[0] != 1 or len(single[1]) != 1:
        return None
    ((name, exponent),) = single[1]
    if not isinstance(name, str) or exponent != 1 or name in ("pi", "e", "i", "infty"):
        return None
    if signs[0][0] == ">":
        low, high, signs = high, low, signs[::-1]
    return Region((_interval(low, high, len(signs[0]) > 1, len(signs[1]) > 1),), name)


def _interval(low: Value, high: Value, low_closed: bool, high_closed: bool) -> Interval:
    lower_end, upper_end = low.above == {_INFINITY: Fraction(-1)}, high.above == {_INFINITY: Fraction(1)}
    return Interval(
        None if lower_end else low,
        None if upper_end else high,
        low_closed and not lower_end,
        high_closed and not upper_end,
    )


def region_of(answer: Answer | None) -> Region | None:
    """Intervals and finite sets of numbers as a region."""
    if isinstance(answer, Region):
        return answer
    if not isinstance(answer, Group | Collection):
        return None
    values = [item.value for item in answer.items if isinstance(item, Scalar)]
    if len(values) != len(answer.items):
        return None
    if isinstance(answer, Collection):
        return Region(tuple(Interval(value, value, True, True) for value in values))
    if len(values) != 2 or answer.left not in "([":
        return None
    low, high = values
    return Region((_interval(low, high, answer.left == "[", answer.right == "]"),))


def united(parts: list[Answer], removed: list[Answer]) -> Answer:
    """The union of sets, without some points."""
    regions = [region for part in parts if (region := region_of(part)) is not None]
    if len(regions) != len(parts):
        collections = [part for part in parts if isinstance(part, Collection)]
        if removed or len(collections) != len(parts):
            raise UnsupportedError("a union")
        return Collection(tuple(item for part in collections for item in part.items))
    intervals = [interval for region in regions for interval in region.parts]
    variable = next((region.variable for region in regions if region.variable), "")
    for taken in removed:
        points = region_of(taken)
        if (
            points is None
            or len(intervals) != 1
            or intervals[0].low is not None
            or intervals[0].high is not None
        ):
            raise UnsupportedError("a difference of sets")
        intervals = _without_points(points)
    return merged(Region(tuple(intervals), variable))


def _without_points(points: Region) -> list[Interval]:
    """The line without points."""
    numbers = [
        (position, part.low)
        for part in points.parts
        if part.low is part.high and (position := _position(part.low)) is not None
    ]
    if len(numbers) != len(points.parts):
        raise UnsupportedError("a difference of sets")
    ends = [None, *(value for _, value in sorted(numbers, key=lambda pair: pair[0])), None]
    return [Interval(low, high, False, False) for low, high in pairwise(ends)]


def _position(value: Value | None) -> float | None:
    number = approximate(value, {}) if value is not None else None
    return None if number is None or abs(number.imag) > 1e-12 else number.real


def merged(region: Region) -> Region:
    """Intervals in order, with those joined that touch; as it is where the order of ends is unknown."""
    places = []
    for part in region.parts:
        low = -float("inf") if part.low is None else _position(part.low)
        high = float("inf") if part.high is None else _position(part.high)
        if low is None or high is None or low > high:
            return region
        places.append((low, not part.low_closed, high, part))
    joined: list[tuple[float, Interval]] = []
    for low, _, high, part in sorted(places, key=lambda place: place[:3]):
        if joined and _touch(joined[-1], low, part):
            last_high, last = joined[-1]
            if high > last_high or (high == last_high and part.high_closed):
                joined[-1] = (high, replace(last, high=part.high, high_closed=part.high_closed))
        else:
            joined.append((high, part))
    return replace(region, parts=tuple(part for _, part in joined))


def _touch(before: tuple[float, Interval], low: float, part: Interval) -> bool:
    high, last = before
    if low != high or last.high is None or part.low is None:
        return low < high
    same = not (last.high - part.low).above
    return same and (last.high_closed or part.low_closed)
