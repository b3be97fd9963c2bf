r"""Answers from text: lists, relations, sets and tuples around expressions, units behind them, and words."""

import re
from fractions import Fraction

from rlvr.verify.answers import bases
from rlvr.verify.answers.answer import (
    Answer,
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
from rlvr.verify.answers.expression import END, ExpressionParser
from rlvr.verify.answers.limits import MAX_DEPTH, MAX_ITEMS, MAX_TERMS, TooLargeError, UnreadableError, UnsupportedError
from rlvr.verify.answers.regions import as_region, united
from rlvr.verify.answers.tokens import CURRENCY, Lexer, Token
from rlvr.verify.answers.units import Suffix, read_suffix
from rlvr.verify.answers.values import Value

_RELATIONS = frozenset("= < > <= >= != approx in equiv".split())
_OPENERS = {"(": ")", "[": "]", "\\{": "\\}", "langle": "rangle", "{": "}"}
_CLOSERS = frozenset(_OPENERS.values())
_MATRICES = frozenset("pmatrix bmatrix matrix Bmatrix array smallmatrix".split())
_PROSE = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*(?:[\s,]+[^\W\d_]+(?:['’-][^\W\d_]+)*)*")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?(?::(\d\d))?\s*([ap])\.?\s*m\.?|(\d{1,2}):(0\d)", re.IGNORECASE)
_LAYOUT = re.compile(r"\\(?:text|mbox|mathrm)(?![a-z])|\\[!,; ]|[{}~]")
_LETTER = re.compile(r"[(\[]?\s*([A-Za-z])\s*[)\]:.]*")
_BRACKETED_WORDS = re.compile(r"\(\s*([^\W\d_]{4,}[^\W\d_ ]*)\s*\)")
_SYNONYMS = {
    "infinity": "\\infty", "all real numbers": "\\mathbb{R}", "all reals": "\\mathbb{R}", "pi": "\\pi",
    "the empty set": "\\emptyset", "empty set": "\\emptyset",
}  # fmt: skip


def read_answer(text: str) -> Answer:
    """Read a cleaned text. Raises UnreadableError or, where math-verify may know more, UnsupportedError."""
    if words := _words(text):
        return words
    if letter := _LETTER.fullmatch(text):
        text = letter[1]
    if (":" in text or text.rstrip("}. ")[-1:] in ("m", "M")) and (clock := _clock(text)):
        return clock
    if (based := bases.read(text)) is not None:
        return based
    tokens = Lexer(_SYNONYMS.get(text.lower(), text)).run()
    if not tokens:
        raise UnreadableError("empty")
    return AnswerParser(tokens).answer()


def _clock(text: str) -> Clock | None:
    """A time of day: "4:30 p.m.", "05:00"; "4:30" alone is a ratio."""
    clock = _CLOCK.fullmatch(_LAYOUT.sub("", text).strip())
    if not clock:
        return None
    hour, minute, second, half, hour24, minute24 = clock.groups()
    return Clock(int(hour or hour24), int(minute or minute24 or 0), int(second or 0), (half or "").lower())


def _words(text: str) -> Words | None:
    """Words if the text is nothing else and could not be a product of variables."""
    if bracketed := _BRACKETED_WORDS.fullmatch(text):
        text = bracketed[1]
    if not _PROSE.fullmatch(text) or text.lower() in _SYNONYMS:
        return None
    parts = re.split(r"[\s,]+", text)
    if max(map(len, parts)) <= 3 and not (len(parts) == 1 and len(text) > 1 and _is_word(text)):
        return None
    return Words(" ".join(text.lower().replace(",", " ").split()))


def _is_word(text: str) -> bool:
    """Whether two or three letters are a word or an abbreviation rather than a product."""
    return text.lower() in ("yes", "no", "on", "not", "all", "any", "odd", "red", "one", "two", "six", "ten", "dne")


class AnswerParser(ExpressionParser):
    """Parses whole answers."""

    def answer(self) -> Answer:
        """All tokens as one answer."""
        answer = self._listing(END.text)
        if self.peek() is not END:
            raise UnreadableError(f"left over: {self.peek().text!r}")
        return answer

    def _at_end(self, closer: str) -> bool:
        return self.peek() is END or (self.peek().kind != "number" and self.peek().text == closer)

    def _listing(self, closer: str) -> Answer:
        """Items separated by commas, semicolons, "and", "or"."""
        items, joined = self._item(), False
        while self._separator():
            joined = joined or self.tokens[self.place - 1].kind == "joiner"
            if self._at_end(closer):
                break
            items += self._item()
            if len(items) > MAX_ITEMS:
                raise TooLargeError("too many items")
        if len(items) == 1:
            return items[0]
        return Listing(tuple(items), joined or self._has_alternatives())

    def _has_alternatives(self) -> bool:
        return any(token.text in ("pm", "mp") and token.kind == "command" for token in self.tokens)

    def _separator(self) -> bool:
        found = False
        while self.peek().kind == "joiner" or (self.peek().kind == "sign" and self.peek().text in (",", ";")):
            self.place += 1
            found = True
        return found

    def _item(self) -> list[Answer]:
        """One item; with ± in it, both."""
        start = self.place
        first = self._relation()
        if not any(t.text in ("pm", "mp") and t.kind == "command" for t in self.tokens[start : self.place]) or self.sign < 0:
            return [first]
        end, self.place, self.sign = self.place, start, -1
        second = self._relation()
        self.sign = 1
        self.place = end
        return [first, second]

    def _relation(self) -> Answer:
        """Sides with relation signs between them, and a modulus behind them."""
        start, sides, signs = self.place, [], []
        label = self._text_label()
        if label:
            sides.append(None)
        elif self.peek().text not in _RELATIONS or self.peek().kind == "text":
            sides.append(self._side())
        else:
            sides.append(None)
        while self.peek().text in _RELATIONS and self.peek().kind in ("sign", "command"):
            signs.append(self.peek().text)
            self.place += 1
            if len(signs) == 1:
                label = label or self._label(start, self.place - 1)
            sides.append(self._side())
        modulus = self._modulus()
        if modulus is not None:
            return _residue(sides, modulus)
        if len(sides) == 1:
            return sides[0]
        if signs == ["="] and not label and (swapped := self._label(self.place - 1, self.place)):
            label, sides = swapped, sides[::-1]
        return as_region(_simplified(Relation(label, tuple(sides), tuple(signs))))

    def _text_label(self) -> str:
        r"""Words before an equals sign: `\text{Area} = `."""
        ahead = 0
        while self.peek(ahead).kind in ("text", "letter"):
            ahead += 1
        if not ahead or self.peek().kind != "text" and all(self.peek(n).kind == "letter" for n in range(ahead)):
            return ""
        if self.peek(ahead).text != "=":
            return ""
        words = " ".join(self.peek(n).text for n in range(ahead)).lower()
        self.place += ahead
        return "words " + words

    def _label(self, start: int, end: int) -> str:
        """The text of what a left side names: x, x_1, f(x), AB, an angle, (x, y); else ""."""
        tokens = self.tokens[start:end]
        texts = [token.text for token in tokens]
        if not tokens or any(token.kind == "number" and texts[n - 1] not in ("_", "(", ",", "{") for n, token in enumerate(tokens)):
            return ""
        if any(text in ("+", "-", "*", "/", "^", "frac", "sqrt", "|") for text in texts):
            return ""
        letters = [token for token in tokens if token.kind == "letter"]
        is_call = len(texts) > 2 and texts[1] == "(" and texts[-1] == ")" and tokens[0].kind == "letter"
        is_name = len(letters) == 1 or is_call or texts[0] in ("angle", "(", "overline", "triangle")
        return "".join(texts) if is_name or all(t.text.isupper() for t in letters) else ""

    def _modulus(self) -> Value | None:
        r"""`\pmod{n}`, `\bmod n`, `(mod n)`."""
        if self.peek().text in ("pmod", "bmod", "mod") and self.peek().kind == "command":
            self.place += 1
            return self.group("{") if self.peek().text == "{" else self.expression()
        if self.peek().text == "(" and self.peek(1).text in ("mod", "bmod"):
            self.place += 2
            modulus = self.expression()
            self.expect(")")
            return modulus
        return None

    def _side(self) -> Answer:
        """A set, an expression with its unit, or a proportion."""
        first = self._union()
        if self.peek().text != ":":
            return first
        parts = [first]
        while self.take(":"):
            parts.append(self._union())
        if not all(isinstance(part, Scalar) and part.unit is None for part in parts):
            raise UnreadableError("a proportion of no numbers")
        if len(parts) == 2:
            return Scalar(parts[0].value / parts[1].value)
        return Proportion(tuple(part.value for part in parts))

    def _union(self) -> Answer:
        parts = [self._member()]
        removed = []
        while self.peek().text in ("cup", "setminus") and self.peek().kind == "command":
            (parts if self.peek().text == "cup" else removed).append(None)
            self.place += 1
            (parts if parts[-1] is None else removed)[-1] = self._member()
        if self.peek().text in ("cap", "wedge", "vee"):
            raise UnsupportedError(self.peek().text)
        return united(parts, removed) if len(parts) > 1 or removed else parts[0]

    def _member(self) -> Answer:
        token = self.peek()
        if token.kind == "begin":
            return self._matrix()
        if token.text == "emptyset":
            self.place += 1
            return Collection(())
        if token.text.startswith("mathbb "):
            self.place += 1
            return _space(token.text.removeprefix("mathbb "))
        if token.text in _OPENERS and token.kind != "text" and self._is_structure(token.text):
            return self._brackets()
        return self._quantity()

    def _is_structure(self, opener: str) -> bool:
        """Whether brackets hold items rather than an expression."""
        if opener in ("\\{", "langle"):
            return True
        depth = 0
        for ahead in range(len(self.tokens) - self.place):
            token = self.peek(ahead)
            if token.kind == "number":
                continue
            depth += (token.text in _OPENERS) - (token.text in _CLOSERS)
            if not depth:
                return opener == "[" and self._ends_side(self.peek(ahead + 1))
            if depth == 1 and (token.text in (",", ";") or token.kind == "joiner"):
                return True
        return False

    def _ends_side(self, token: Token) -> bool:
        return token is END or token.text in (",", ";", "cup", "=", ")") or token.kind == "joiner"

    def _brackets(self) -> Answer:
        """A tuple, interval, vector or set."""
        opener = self.peek().text
        self.place += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooLargeError("nested too deeply")
        closers = (")", "]") if opener in ("(", "[") else (_OPENERS[opener],)
        if opener in ("\\{", "{") and self.take(closers[0]):
            self._depth -= 1
            return Collection(())
        if opener == "\\{" and (described := self._described()) is not None:
            self._depth -= 1
            return described
        inner = self._listing(closers[0])
        self._depth -= 1
        closer = next((text for text in closers if self.take(text)), None)
        if closer is None:
            raise UnreadableError("open brackets")
        items = inner.items if isinstance(inner, Listing) else (inner,)
        if opener in ("\\{", "{"):
            return Collection(items)
        if isinstance(inner, Listing) and inner.joined:
            raise UnreadableError("alternatives in brackets")
        return Group(opener, closer, items)

    def _described(self) -> Answer | None:
        r"""`\{x : x > 5\}`, or `\{x \in \mathbb{R} \mid x > 5\}`: what holds for its elements."""
        ahead = 1
        if self.peek(1).text == "in" and self.peek(2).text == "mathbb R":
            ahead = 3
        if self.peek().kind != "letter" or self.peek(ahead).text not in ("|", ":"):
            return None
        self.place += ahead + 1
        condition = self._listing("\\}")
        self.expect("\\}")
        if isinstance(condition, Listing):
            raise UnsupportedError("conditions")
        return condition

    def _matrix(self) -> Answer:
        name = self.peek().text
        if name not in _MATRICES:
            raise UnsupportedError(name)
        self.place += 1
        rows: list[list[Answer]] = [[]]
        while self.peek().kind != "end" or self.peek() is END:
            rows[-1].append(self._quantity())
            if self.take("\\\\"):
                if self.peek().kind != "end":
                    rows.append([])
            elif not self.take("&") and self.peek().kind != "end":
                raise UnreadableError("a matrix")
            if len(rows) * len(rows[0]) > MAX_TERMS:
                raise TooLargeError("a large matrix")
        self.place += 1
        if len({len(row) for row in rows}) > 1:
            raise UnreadableError("rows of different lengths")
        return Matrix(tuple(map(tuple, rows)))

    def _quantity(self) -> Scalar | Matrix:
        """An expression with its unit or currency, or a multiple of a matrix."""
        start = self.place
        currency = self._currency()
        value = self.expression()
        if self.peek().kind == "begin":
            return _scaled(self._matrix(), value)
        letter = self.tokens[start].text if self.place - start == 1 and self.tokens[start].kind == "letter" else ""
        if self.place - start == 3 and self.tokens[start].text == "(" and self.tokens[start + 1].kind == "letter":
            letter = self.tokens[start + 1].text
        value, degrees = _without_degrees(value)
        suffix = self._suffix(degrees + currency)
        return Scalar(value * Value.number(suffix.factor), suffix.unit, letter)

    def _currency(self) -> str:
        r"""A currency sign in front, which may follow a minus sign: `-\$5`."""
        ahead = 1 if self.peek().text in ("-", "+") else 0
        if self.peek(ahead).kind == "sign" and self.peek(ahead).text in CURRENCY:
            sign = self.tokens.pop(self.place + ahead).text
            return sign
        return ""

    def _suffix(self, lead: str) -> Suffix:
        """The unit behind a number, together with what was read before."""
        words, formatted, start = [lead] if lead else [], False, self.place
        while (token := self.peek()) is not END and (
            token.kind == "text"
            or (token.kind == "sign" and token.text in CURRENCY)
            or (self.place > start or lead) and self._continues_unit(token)
        ):
            self.place += 1
            if token.text == "^":
                words.append("^" + self._unit_power())
                continue
            words.append(token.text)
            formatted = formatted or token.kind == "text"
        if not words or words == ["$"] and self.place > start and not lead:
            if words:
                return Suffix(unit=read_suffix("$", False).unit)
            return Suffix()
        suffix = read_suffix(" ".join(words), formatted)
        if suffix is None:
            raise UnreadableError("no unit: " + " ".join(words))
        return suffix

    def _continues_unit(self, token: Token) -> bool:
        if token.kind == "sign":
            return token.text in ("/", "^", "*", "°")
        return token.kind == "letter"

    def _unit_power(self) -> str:
        value = self.exponent().rational
        if value is None or value.denominator != 1:
            raise UnreadableError("a unit's power")
        return str(value.numerator)


def _without_degrees(value: Value) -> tuple[Value, str]:
    degree = ("degree", 1)
    if value.above and all(degree in term for term in value.above):
        return Value({term - {degree}: number for term, number in value.above.items()}, value.below), "°"
    return value, ""


def _scaled(matrix: Matrix, factor: Value) -> Matrix:
    if not all(isinstance(entry, Scalar) for row in matrix.rows for entry in row):
        raise UnreadableError("a matrix of matrices")
    return Matrix(tuple(tuple(Scalar(entry.value * factor) for entry in row) for row in matrix.rows))


def _space(name: str) -> Answer:
    return Region((Interval(None, None, False, False),)) if name == "R" else Space(name)


def _residue(sides: list[Answer | None], modulus: Value) -> Answer:
    last = sides[-1]
    if not isinstance(last, Scalar) or len(sides) > 2:
        raise UnreadableError("a modulus")
    return Residue(last.value, modulus)


def _simplified(relation: Relation) -> Answer:
    """Without approximations: "sqrt(2) ≈ 1.41" states sqrt(2), "≈ 1.41" and "x ≈ 1.41" state 1.41."""
    sides, signs = list(relation.sides), list(relation.signs)
    if "equiv" in signs:
        raise UnreadableError("a congruence without modulus")
    while signs and signs[-1] == "approx":
        exact = sides[-2] is not None and not (len(sides) == 2 and relation.label)
        del sides[-1 if exact else -2]
        signs.pop()
    if "approx" in signs:
        raise UnreadableError("approximations in between")
    if not signs:
        return sides[0]
    if signs[0] == "in" and len(signs) == 1:
        return sides[1]
    if sides[0] is None and signs == ["="] and not relation.label:
        return sides[1]
    return Relation(relation.label, tuple(sides), tuple(signs))
