"""Units behind a number: which words are units, and when two units are the same."""

import re
from dataclasses import dataclass
from fractions import Fraction

_SYNONYMS = {
    "metre": "m meter meters metre metres",
    "centimetre": "cm cms centimeter centimeters centimetre centimetres",
    "millimetre": "mm millimeter millimeters millimetre millimetres",
    "decimetre": "dm decimeter decimeters decimetre decimetres",
    "kilometre": "km kms kilometer kilometers kilometre kilometres",
    "inch": "in inch inches",
    "foot": "ft foot feet",
    "yard": "yd yds yard yards",
    "mile": "mi mile miles",
    "gram": "g gm gms gram grams",
    "kilogram": "kg kgs kilogram kilograms",
    "milligram": "mg milligram milligrams",
    "pound": "lb lbs pound pounds",
    "ounce": "oz ounce ounces",
    "ton": "ton tons tonne tonnes",
    "second": "s sec secs second seconds",
    "minute": "min mins minute minutes",
    "hour": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks wk wks",
    "month": "month months",
    "year": "year years yr yrs",
    "litre": "l liter liters litre litres",
    "millilitre": "ml milliliter milliliters millilitre millilitres",
    "gallon": "gal gals gallon gallons",
    "quart": "qt quart quarts",
    "pint": "pt pint pints",
    "acre": "acre acres",
    "hectare": "ha hectare hectares",
    "dollar": "$ dollar dollars usd buck bucks",
    "cent": "cent cents ¢",
    "euro": "€ euro euros eur",
    "pound sterling": "£ gbp",
    "yen": "¥ yen",
    "rupee": "₹ rupee rupees rs inr",
    "degree": "° degree degrees deg degs",
    "radian": "rad radian radians",
    "joule": "j joule joules",
    "newton": "n newton newtons",
    "watt": "w watt watts",
    "kilowatt": "kw",
    "volt": "v volt volts",
    "ohm": "ohm ohms",
    "hertz": "hz hertz",
    "kelvin": "k kelvin",
    "celsius": "celsius centigrade",
    "fahrenheit": "fahrenheit",
}
MEASURES = {word: name for name, words in _SYNONYMS.items() for word in words.split()}
_COMPOUND = {"mph": "mile / hour", "kph": "km / hour", "kmh": "km / hour", "kmph": "km / hour", "fps": "foot / second"}
MEASURES |= dict.fromkeys(_COMPOUND, "compound") | dict.fromkeys(("sq", "cu"), "power")
ORDINALS = frozenset(("st", "nd", "rd", "th"))
MEASURES |= dict.fromkeys(ORDINALS, "ordinal")
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_FACTORS = {"percent": Fraction(1, 100), "pct": Fraction(1, 100), "percentage": Fraction(1, 100)}
_EXPONENTS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_TEMPERATURES = {"c": "celsius", "celsius": "celsius", "f": "fahrenheit", "fahrenheit": "fahrenheit"}
# What a missing unit means anyway.
_EMPTY = {"unit", "units", "of", "the", "a", "an"}
# Words that make another value, another statement or a remark of what stands before them.
_NEVER = frozenset(
    """about above across actually after all almost alternatively always and another answer answers any anything approx
    approximately around as assuming at bad base because before below besides best between billionths both but
    by certainly choice choices claim confirmed correct cubed definitely depending dozens each eighth eighths either
    else equals equivalent every everything except exactly factorial false fewer fifth fifths final for fourth fourths from
    gold good grade grader greater guess guesses guessed half halves hence hopefully hundreds hundredth hundredths
    if ignore impossible inclusive incorrect infinite instructions invalid irrelevant is largest least less like likely
    matches maximum maybe mean means millions minimum minus mod modulo more most negative negatives neither never no
    none nor not nothing obviously one ones only option options or ordered other others otherwise over perhaps plus
    positive possibly previous probably quarter quarters range really recurring reference repeating roughly same score
    should since sixth sixths smallest so solution some something sometimes somewhere squared such sure tens tenth tenths
    than that then there therefore these thing things third thirds this those thousands thousandth thousandths
    times to together true trust twice unknown unless until up valid value verified versus vs was what whatever when where
    whether which while will with without wrong yes your zero zeros zeroes zeroth two three four five six seven
    eight nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety""".split()
)  # fmt: skip
_LONGEST = 8  # words of a unit
_WORD = re.compile(r"[^\W\d_]+|\^\{?-?\d+\}?|/|\$|€|£|¥|₹|°|¢|[^\s\w]|\d+")


@dataclass(frozen=True)
class Unit:
    """Units with their exponents, or the words of what is counted."""

    powers: frozenset[tuple[str, int]] = frozenset()
    nouns: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Suffix:
    """What words behind a number mean: a factor, and a unit if there is one."""

    factor: Fraction = Fraction(1)
    unit: Unit | None = None


def same_unit(left: Unit | None, right: Unit | None) -> bool:
    """Whether two units may stand for the same: equal, or one missing, or things that share a word."""
    if left is None or right is None or left == right:
        return True
    if left.powers or right.powers:
        return left.powers == right.powers
    return bool(left.nouns & right.nouns)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def _noun(word: str, listed: bool) -> str | None:
    """The stem of a word for things that are counted, or None."""
    if word in _NEVER or word in _SCALES or len(word) < 3 or not (listed or word.endswith("s") or word in _THINGS):
        return None
    return _stem(word)


_THINGS = frozenset(
    """people men women children mice geese feet sheep fish deer ways way person student ticket meal apple coin tile
    monkey marble page problem game point point book child man woman team student family car dog cat box cookie piece slice
    digit edge face vertex vertices side term integer prime square triangle circle card ball candy egg pencil pie
    plus-size half-dollars profit child's left total remaining older younger east west north south white red blue
    green square cubic children's""".split()
)


class _Reader:
    """Reads the words behind a number."""

    def __init__(self, formatted: bool) -> None:
        self._formatted = formatted
        self._factor = Fraction(1)
        self._powers: dict[str, int] = {}
        self._nouns: set[str] = set()
        self._sign = 1
        self._next_power = 1
        self._last = ""
        self._generic = False  # "units"

    def read(self, words: list[str]) -> Suffix | None:
        """Return what the words mean, or None if they are no unit."""
        for place, word in enumerate(words):
            if word in _SCALES and all(before in "$£€¥₹" for before in words[:place]):
                self._factor *= _SCALES[word]
            elif not self._word(word):
                return None
        unit = Unit(frozenset((n, p) for n, p in self._powers.items() if p), frozenset(self._nouns))
        return Suffix(self._factor, unit if unit.powers or unit.nouns else None)

    def _word(self, word: str) -> bool:
        if word in ORDINALS:
            self._generic = True
        elif word in ("/", "per"):
            self._sign = -1
        elif word in _FACTORS and not self._last:
            self._factor *= _FACTORS[word]
        elif word.startswith("^"):
            return self._raise(int(word.strip("^{}"))) or self._generic
        elif word in ("squared", "cubed") and self._last:
            return self._raise(_EXPONENTS[word])
        elif word in ("square", "sq", "cubic", "cu"):
            self._next_power = _EXPONENTS[word]
        elif word in _COMPOUND:
            return all(self._word(part) for part in _COMPOUND[word].split())
        elif word in MEASURES:
            self._measure(MEASURES[word])
        elif word in _EMPTY:
            self._generic = True
        elif word not in (".", "-", "*", "'"):
            return self._thing(word)
        return True

    def _measure(self, name: str) -> None:
        self._powers[name] = self._powers.get(name, 0) + self._sign * self._next_power
        self._last, self._next_power = name, 1

    def _raise(self, power: int) -> bool:
        if not self._last or abs(power) > 9:
            return False
        self._powers[self._last] += (power - 1) * (1 if self._powers[self._last] > 0 else -1)
        return True

    def _thing(self, word: str) -> bool:
        noun = _noun(word, self._formatted)
        if noun is None:
            return False
        self._nouns.add(noun)
        return True


def read_suffix(text: str, formatted: bool) -> Suffix | None:
    r"""Read the words behind a number; `formatted`: they stand in `\text{}`, where any noun is taken.

    None means that they are no unit: a remark, a condition, a second number.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    if words[:1] and words[0] in ("°", "degree", "degrees") and "".join(words[1:]) in _TEMPERATURES:
        words = [_TEMPERATURES["".join(words[1:])]]
    if not words or len(words) > _LONGEST or any(word.isdigit() for word in words):
        return None
    if any(word in _NEVER and word not in _EXPONENTS for word in words):
        return None
    return _Reader(formatted).read(words)
