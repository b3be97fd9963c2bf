"""Kinds of answers."""

from dataclasses import dataclass
from fractions import Fraction

from rlvr.verify.answers.units import Unit
from rlvr.verify.answers.values import Value


@dataclass(frozen=True)
class Words:
    """Words, folded: "no solution", "evelyn"."""

    text: str


@dataclass(frozen=True)
class Scalar:
    """A number or an expression; `letter`: it is one letter, maybe of a choice."""

    value: Value
    unit: Unit | None = None
    letter: str = ""


@dataclass(frozen=True)
class Based:
    """A numeral with a base."""

    value: Fraction
    base: int


@dataclass(frozen=True)
class Residue:
    """A residue class."""

    value: Value
    modulus: Value


@dataclass(frozen=True)
class Clock:
    """A time of day; `half`: "a", "p" or ""."""

    hour: int
    minute: int
    second: int
    half: str


@dataclass(frozen=True)
class Group:
    """Items between brackets, in order: a tuple, an interval or a vector."""

    left: str
    right: str
    items: tuple["Answer", ...]


@dataclass(frozen=True)
class Collection:
    r"""A set in braces (unordered); `{}` is the empty set."""

    items: tuple["Answer", ...]


@dataclass(frozen=True)
class Listing:
    """Items side by side without brackets; `joined`: as alternatives, by "or" or by ±."""

    items: tuple["Answer", ...]
    joined: bool


@dataclass(frozen=True)
class Proportion:
    """a : b : c with three or more parts."""

    parts: tuple[Value, ...]


@dataclass(frozen=True)
class Matrix:
    """A matrix by rows."""

    rows: tuple[tuple["Answer", ...], ...]


@dataclass(frozen=True)
class Interval:
    """A connected set of real numbers; `None`: unbounded."""

    low: Value | None
    high: Value | None
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True)
class Region:
    """A union of intervals, as written; `variable` whose values they are, if one is named."""

    parts: tuple[Interval, ...]
    variable: str = ""


@dataclass(frozen=True)
class Space:
    r"""A set of numbers by name: `\mathbb{Z}`."""

    name: str


@dataclass(frozen=True)
class Relation:
    """Sides with signs between them; `label`: what the left side names, if it is a name and no expression.

    A missing side is None ("≠ 5").
    """

    label: str
    sides: tuple["Answer | None", ...]
    signs: tuple[str, ...]


Answer = (
    Words
    | Scalar
    | Based
    | Residue
    | Clock
    | Group
    | Collection
    | Listing
    | Proportion
    | Matrix
    | Region
    | Space
    | Relation
)
