"""Numbers and expressions with their units, and matrices of them."""

from rlvr.verify.answers.answer import Matrix, Scalar
from rlvr.verify.answers.commands import CURRENCY
from rlvr.verify.answers.cursor import END
from rlvr.verify.answers.expression import ExpressionParser
from rlvr.verify.answers.functions import DEGREE
from rlvr.verify.answers.limits import MAX_TERMS, TooLargeError, UnreadableError, UnsupportedError
from rlvr.verify.answers.tokens import Token
from rlvr.verify.answers.units import Suffix, read_suffix
from rlvr.verify.answers.values import Value
from rlvr.verify.answers.vocabulary import words

_MATRICES = words("pmatrix bmatrix matrix Bmatrix array smallmatrix")


class QuantityParser(ExpressionParser):
    """Parses expressions with units behind them."""

    def quantity(self) -> Scalar | Matrix:
        """An expression with its unit or currency, or a multiple of a matrix."""
        start = self.place
        currency = self._currency()
        value = self.expression()
        if self.peek().kind == "begin":
            return _scaled(self.matrix(), value)
        letter = _only_letter(self.tokens[start : self.place])
        value, degrees = _without_degrees(value)
        suffix = self._suffix(degrees + currency)
        return Scalar(value * Value.number(suffix.factor), suffix.unit, letter)

    def _currency(self) -> str:
        r"""A currency sign in front, which may follow a minus sign: `-\$5`."""
        ahead = 1 if self.peek().text in ("-", "+") else 0
        if self.peek(ahead).kind == "sign" and self.peek(ahead).text in CURRENCY:
            return self.tokens.pop(self.place + ahead).text
        return ""

    def _suffix(self, lead: str) -> Suffix:
        """The unit behind a number, together with what was read before."""
        parts, formatted, start = [lead] if lead else [], False, self.place
        while self._is_unit(self.peek(), begun=bool(lead) or self.place > start):
            token = self.advance()
            parts.append("^" + self._unit_power() if token.text == "^" else token.text)
            formatted = formatted or token.kind == "text"
        if not parts:
            return Suffix()
        suffix = read_suffix(" ".join(parts), formatted)
        if suffix is None:
            raise UnreadableError("no unit: " + " ".join(parts))
        return suffix

    def _is_unit(self, token: Token, begun: bool) -> bool:
        if token.kind == "sign":
            return token.text in CURRENCY or (begun and token.text in ("/", "^", "*", "°"))
        return token.kind in ("text", "word") or (begun and token.kind == "letter")

    def _unit_power(self) -> str:
        value = self.exponent().rational
        if value is None or value.denominator != 1:
            raise UnreadableError("a unit's power")
        return str(value.numerator)

    def matrix(self) -> Matrix:
        """A matrix of any of the usual environments."""
        name = self.peek().text
        if name not in _MATRICES:
            raise UnsupportedError(name)
        self.place += 1
        rows: list[list[Scalar | Matrix]] = [[]]
        while self.peek().kind != "end" or self.peek() is END:
            rows[-1].append(self.quantity())
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


def _only_letter(tokens: list[Token]) -> str:
    """The letter of a quantity that is nothing else, in brackets maybe."""
    if len(tokens) == 3 and tokens[0].text == "(":
        tokens = tokens[1:2]
    return tokens[0].text if len(tokens) == 1 and tokens[0].kind == "letter" else ""


def _without_degrees(value: Value) -> tuple[Value, str]:
    degree = (DEGREE, 1)
    if value.above and all(degree in term for term in value.above):
        return Value({term - {degree}: number for term, number in value.above.items()}, value.below), "°"
    return value, ""


def _scaled(matrix: Matrix, factor: Value) -> Matrix:
    rows = [[entry.value for entry in row if isinstance(entry, Scalar)] for row in matrix.rows]
    if any(len(values) != len(row) for values, row in zip(rows, matrix.rows, strict=True)):
        raise UnreadableError("a matrix of matrices")
    return Matrix(tuple(tuple(Scalar(value * factor) for value in values) for values in rows))
