r"""Whole answers: lists, relations between sides, moduli and proportions."""

from rlvr.verify.answers.answer import Answer, Collection, Listing, Proportion, Relation, Residue, Scalar
from rlvr.verify.answers.commands import GREEK
from rlvr.verify.answers.cursor import END
from rlvr.verify.answers.limits import MAX_ITEMS, TooLargeError, UnreadableError
from rlvr.verify.answers.regions import as_region
from rlvr.verify.answers.sets import SetParser
from rlvr.verify.answers.tokens import Token
from rlvr.verify.answers.values import Value
from rlvr.verify.answers.vocabulary import NEVER_UNITS, words

_RELATIONS = words("= < > <= >= != approx in equiv")
_NO_NAME = words("+ - * / ^ frac sqrt usqrt |")


class AnswerParser(SetParser):
    """Parses whole answers."""

    def answer(self) -> Answer:
        """All tokens as one answer."""
        answer = self.listing(END.text)
        if self.peek() is not END:
            raise UnreadableError(f"left over: {self.peek().text!r}")
        return answer

    def _at_end(self, closer: str) -> bool:
        return self.peek() is END or (self.peek().kind != "number" and self.peek().text == closer)

    def listing(self, closer: str) -> Answer:
        """Items separated by commas, semicolons, "and", "or"."""
        items, joined = self._item(), False
        while self._separator():
            before = self.tokens[self.place - 1]
            joined = joined or (before.kind == "joiner" and before.text == "or")
            if self._at_end(closer):
                if before.kind == "joiner":
                    raise UnreadableError("alternatives cut off")
                break
            items += self._item()
            if len(items) > MAX_ITEMS:
                raise TooLargeError("too many items")
        if len(items) == 1:
            return items[0]
        return Listing(tuple(items), joined or _has_alternatives(self.tokens))

    def _separator(self) -> bool:
        found = False
        while self.peek().kind == "joiner" or (self.peek().kind == "sign" and self.peek().text in (",", ";")):
            self.place += 1
            found = True
        return found

    def _item(self) -> list[Answer]:
        """One item; with ± in it, both. A set has them both as its elements already."""
        start = self.place
        first = self._relation()
        has_both = isinstance(first, Collection) or self.sign < 0
        if has_both or not _has_alternatives(self.tokens[start : self.place]):
            return [first]
        end, self.place, self.sign = self.place, start, -1
        second = self._relation()
        self.sign = 1
        self.place = end
        return [first, second]

    def _relation(self) -> Answer:
        """Sides with relation signs between them, and a modulus behind them."""
        start = self.place
        sides: list[Answer | None] = []
        signs: list[str] = []
        label = self._text_label()
        if label:
            sides.append(None)
        elif self.peek().text not in _RELATIONS or self.peek().kind in ("text", "word"):
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
            return _stated(sides[0])
        if signs == ["="] and not label and sides[0] is not None:
            swapped = self._label(self.place - 1, self.place)
            label, sides = swapped, sides[::-1] if swapped else sides
        return as_region(_simplified(Relation(label, tuple(sides), tuple(signs))))

    def _text_label(self) -> str:
        r"""Words before an equals sign: `\text{Area} = `."""
        ahead = 0
        while self.peek(ahead).kind in ("text", "word", "letter"):
            ahead += 1
        tokens = self.tokens[self.place : self.place + ahead]
        if self.peek(ahead).text != "=" or all(token.kind == "letter" for token in tokens):
            return ""
        name = " ".join(token.text for token in tokens).lower()
        if NEVER_UNITS & set(name.split()):
            raise UnreadableError("a remark before an equals sign")
        self.place += ahead
        return f"words {name}"

    def _label(self, start: int, end: int) -> str:
        """The text of what a left side names: x, x_1, f(x), AB, an angle, (x, y); else ""."""
        tokens = self.tokens[start:end]
        texts = [token.text for token in tokens]
        letters = [token.text for token in tokens if token.kind == "letter" or token.text in GREEK]
        if not letters or _NO_NAME & set(texts) or _has_factor(tokens):
            return ""
        indexed = tokens[0].kind == "letter" and (texts[1:2] == ["_"] or set(texts[1::2]) == {":"})
        called = tokens[0].kind == "letter" and texts[1:2] == ["("] and texts[-1] == ")"
        marked = texts[0] in ("angle", "(", "overline", "triangle")
        named = len(letters) == 1 or all(letter.isupper() for letter in letters)
        return "".join(texts) if indexed or called or marked or named else ""

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
        first = self.union()
        if self.peek().text != ":":
            return first
        parts = [first]
        while self.take(":"):
            parts.append(self.union())
        values = [part.value for part in parts if isinstance(part, Scalar) and part.unit is None]
        if len(values) != len(parts):
            raise UnreadableError("a proportion of no numbers")
        if len(values) == 2:
            return Scalar(values[0] / values[1])
        return Proportion(tuple(values))


def _has_alternatives(tokens: list[Token]) -> bool:
    return any(token.kind == "command" and token.text in ("pm", "mp") for token in tokens)


def _has_factor(tokens: list[Token]) -> bool:
    """Whether a numeral stands elsewhere than in a subscript or as an argument."""
    before = ["", *(token.text for token in tokens)]
    numerals = (place for place, token in enumerate(tokens) if token.kind == "number")
    return any(before[place] not in ("_", "(", ",", "{") for place in numerals)


def _stated(side: Answer | None) -> Answer:
    if side is None:
        raise UnreadableError("a sign with nothing behind it")
    return side


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
        return _stated(sides[0])
    if signs == ["in"]:
        if isinstance(sides[1], Scalar):
            raise UnreadableError("an element of no set")
        return _stated(sides[1])
    if sides[0] is None and signs == ["="] and not relation.label:
        return _stated(sides[1])
    return Relation(relation.label, tuple(sides), tuple(signs))
