r"""Tokens of an answer: numerals with their values, letters, words, commands and signs."""

import re
from dataclasses import dataclass
from fractions import Fraction

from rlvr.verify.answers.commands import ALIASES, CURRENCY, DECORATIONS, IGNORED, NAMED, RENAMED, SIGNS, TEXTS
from rlvr.verify.answers.limits import MAX_BITS, MAX_DIGITS, TooLargeError, UnreadableError
from rlvr.verify.answers.vocabulary import UNIT_WORDS

# Thousands: LaTeX spacing or {,} anywhere; a plain comma outside brackets, where it separates nothing.
_GAP = r"(?:\{,\}|\{,\\!\}|,\s*\\!\s*|\\,|\\;|\\:|\\!,|\\!|\\ )"
_NUMERAL = re.compile(
    r"(?P<repeating>(?P<whole>\d*)\.(?P<head>\d*)(?:(?!\\dot\{?\d\}?\d*\\dot)\\(?:overline|bar|dot)\s*(?:\{(?P<braced>\d+)\}|(?P<one>\d))|(?<=\.)\((?P<bracketed>\d+)\)"
    r"|\\dot\{?(?P<first>\d)\}?(?P<inner>\d*)\\dot\{?(?P<last>\d)\}?))"
    r"|(?P<spaced>\d{1,3}(?:" + _GAP + r"\d{3})+(?!\d)(?:\.\d+)?)"
    r"|(?P<commas>[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d|,\\!)(?:\.\d+)?)"
    r"|(?P<plain>\d+(?:\.\d+)?|\.\d+)"
)
_FRACTIONAL = re.compile(r"\.(?:\d|\\overline)")
_SCIENTIFIC = re.compile(r"[eE]([+-]?\d+)(?![\dA-Za-z.])")
_ZERO_GROUP = re.compile(r",0")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]{2,})*")
_RATE = re.compile(r"(?:k?m|cm|ft|mi|L|g|kg)\s*/\s*(?:s|sec|h|hr|min|m|L)(?![A-Za-z])")
_CROSS = re.compile(r"[xX](?=\s*10\s*\^)")
_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_ENVIRONMENT = re.compile(r"\s*\{([a-z]+)\*?\}")
_INNER = re.compile(r"\s*\{([^{}]*)\}")
_HIDDEN = re.compile(r"\s*(?:\{[^{}]*\}|.)")
_INVISIBLE = re.compile(r"\.")
_EQUALS = re.compile(r"\s*=")
_ARGUMENT = re.compile(r"\s*[({_]")
_SPACES = re.compile(r"[\s~]+")

_OPENERS, _CLOSERS = frozenset("([") | {"\\{"}, frozenset(")]") | {"\\}"}
_ALLOWED = SIGNS | frozenset("+-=^{},;!~") | {"\\\\"}
_BEFORE_UNITS = ("}", ")", "/", "°", "circ")
_ONE_LETTER = 1
_LONGEST_PRODUCT = 3


@dataclass(slots=True)
class Token:
    """One token; `spaced`: white space stands before it.

    `kind`: number, letter, word (several letters), text (in `\\text{}`), joiner (and, or), command, sign,
    begin, end.
    """

    kind: str
    text: str
    spaced: bool = False
    number: Fraction | None = None

    @property
    def value(self) -> Fraction:
        """The number of a token of kind number."""
        assert self.number is not None, f"a {self.kind} has no number"
        return self.number


def numeral(match: re.Match[str]) -> Fraction:
    """The value of a numeral."""
    if match.end() - match.start() > MAX_DIGITS:
        raise TooLargeError("a numeral has too many digits")
    if match["repeating"]:
        whole, head = match["whole"], match["head"]
        dotted = "".join(match[name] or "" for name in ("first", "inner", "last"))
        period = match["braced"] or match["one"] or match["bracketed"] or dotted
        start = Fraction(int(whole + head or "0"), 10 ** len(head))
        return start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(head))
    digits = re.sub(r"[^\d.]", "", match[0])
    return Fraction(digits if not digits.startswith(".") else "0" + digits)


class Lexer:
    """Splits a cleaned text into tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0
        self._spaced = False
        self.tokens: list[Token] = []

    def run(self) -> list[Token]:
        """Return all tokens; a character that has no place in mathematics raises UnreadableError."""
        text = self._text
        while self._place < len(text):
            sign = text[self._place]
            if spaces := _SPACES.match(text, self._place):
                self._spaced = True
                self._place = spaces.end()
            elif sign.isdecimal() or (sign == "." and _FRACTIONAL.match(text, self._place)):
                self._numeral()
            elif sign == "\\":
                self._command()
            elif (rate := _RATE.match(text, self._place)) and self._after_number():
                self._place = rate.end()
                self._add("text", rate[0])
            elif (cross := _CROSS.match(text, self._place)) and self._after_number():
                self._place = cross.end()
                self._sign("*")
            elif word := _WORD.match(text, self._place):
                self._place = word.end()
                self._word(word[0])
            else:
                self._place += 1
                self._sign(sign)
        return self.tokens

    def _add(self, kind: str, text: str, number: Fraction | None = None) -> None:
        self.tokens.append(Token(kind, text, self._spaced, number))
        self._spaced = False

    def _numeral(self) -> None:
        match = _NUMERAL.match(self._text, self._place)
        if not match:
            raise UnreadableError("numeral")
        end = match.end()
        if match["commas"] and self._depth and not _ZERO_GROUP.search(match[0]):
            end = self._place + match[0].index(",")
            match = _NUMERAL.match(self._text[:end], self._place)
            assert match  # the digits before the comma
        number = numeral(match)
        if scientific := _SCIENTIFIC.match(self._text, end):
            if len(scientific[1]) > 5 or abs(int(scientific[1])) * 3 > MAX_BITS:
                raise TooLargeError("a large exponent")
            number *= Fraction(10) ** int(scientific[1])
            end = scientific.end()
        raw = self._text[self._place : end]
        self._place = end
        self._add("number", raw, number)

    def _command(self) -> None:
        match = _COMMAND.match(self._text, self._place)
        if not match:
            raise UnreadableError("a final backslash")
        name, self._place = match[1], match.end()
        if name in TEXTS:
            self._text_command(name)
        elif name in ("begin", "end"):
            self._environment(name)
        elif name == "phantom":
            self._skip(_HIDDEN)
        elif name == "mathbb":
            inner = self._skip(_INNER)
            self._add("command", f"mathbb {inner[1].strip()}" if inner else name)
        elif name in IGNORED:
            self._spaced = self._spaced or name not in ("!", "left", "right")
            if name in ("left", "right"):
                self._skip(_INVISIBLE)
        elif name == "not" and self._skip(_EQUALS):
            self._sign("!=")
        else:
            self._symbol(RENAMED.get(name, name))

    def _symbol(self, name: str) -> None:
        if name in SIGNS:
            self._sign(name)
        elif name == "\\":
            self._add("sign", "\\\\")
        elif name == "i":
            self._add("letter", "i")
        else:
            self._add("command", ALIASES.get(name, name) if name != "sqrt" else name)

    def _skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Move over what matches here."""
        match = pattern.match(self._text, self._place)
        self._place = match.end() if match else self._place
        return match

    def _environment(self, name: str) -> None:
        environment = self._skip(_ENVIRONMENT)
        if not environment:
            raise UnreadableError(name)
        if environment[1] == "array":
            self._skip(_INNER)
        self._add(name, environment[1])

    def _text_command(self, name: str) -> None:
        inner = self._skip(_INNER)
        if not inner:
            if name in DECORATIONS:
                return
            raise UnreadableError(name)
        content = inner[1].strip(" ~\\,")
        if name == "operatorname" or (
            content in NAMED and (content not in UNIT_WORDS or not self._after_number())
        ):
            self._word(content)
        elif len(content) == _ONE_LETTER and content.isalpha():
            self._letter_or_unit(content, name)
        elif content.lower() in ("and", "or"):
            self._add("joiner", content.lower())
        elif content.strip("\\") in CURRENCY:
            self._sign(content.strip("\\"))
        elif re.fullmatch(r"[\d.,/+-]+", content):
            self.tokens += Lexer(content).run()
        elif content:
            self._add("text", content)

    def _after_number(self) -> bool:
        return bool(self.tokens) and self.tokens[-1].kind == "number"

    def _letter_or_unit(self, letter: str, name: str) -> None:
        is_unit = self._after_number() and name in ("text", "mathrm", "mbox", "textrm") and letter not in "ie"
        self._add("text" if is_unit else "letter", letter)

    def _is_unit(self, word: str) -> bool:
        """Whether a name is a unit here: 5 min, but not 5 min(2, 3)."""
        applied = _ARGUMENT.match(self._text, self._place)
        return word in UNIT_WORDS and self._after_number() and not applied

    def _word(self, word: str) -> None:
        folded = word.lower()
        after = self.tokens[-1] if self.tokens else None
        if folded in ("and", "or"):
            self._add("joiner", folded)
        elif (word in NAMED or word in ALIASES or folded == "infinity") and not self._is_unit(word):
            self._add("command", ALIASES.get(folded, folded))
        elif len(word) == _ONE_LETTER:
            self._add("letter", word)
        elif (
            len(word) > _LONGEST_PRODUCT
            or (after and after.kind in ("text", "word"))
            or (folded in UNIT_WORDS and (self._after_number() or (after and after.text in _BEFORE_UNITS)))
        ):
            self._add("word", word)
        else:
            for letter in word:
                self._add("letter", letter)

    def _sign(self, sign: str) -> None:
        if sign in _OPENERS:
            self._depth += 1
        elif sign in _CLOSERS:
            self._depth -= 1
        if sign in "<>!" and self._text.startswith("=", self._place):
            if sign != "!" or self.tokens:
                sign += "="
                self._place += 1
        elif sign not in _ALLOWED:
            raise UnreadableError(f"the sign {sign!r}")
        if sign == "*" and self._text.startswith("*", self._place):
            self._place += 1
            sign = "^"
        self._add("sign", sign)
