r"""Expressions: from tokens to values, by recursive descent.

Implicit products bind closer than "/": 1/2x is 1/(2x), as math-verify reads it.
"""

from fractions import Fraction

from rlvr.verify.answers import functions
from rlvr.verify.answers.atoms import AtomParser
from rlvr.verify.answers.commands import FACTORS
from rlvr.verify.answers.limits import UnreadableError
from rlvr.verify.answers.tokens import Token
from rlvr.verify.answers.values import Value, power
from rlvr.verify.answers.vocabulary import ORDINALS

_HUNDREDTH = Value.number(Fraction(1, 100))


class ExpressionParser(AtomParser):
    """Parses sums, products and powers."""

    def expression(self) -> Value:
        r"""Sum of products; `a \over b` and `n \choose k` take all of their group."""
        total = self._signed_product()
        while (token := self.peek()).kind in ("sign", "command") and token.text in ("+", "-", "pm", "mp"):
            total += self._signed_product()
        if self.take("over"):
            return total / self.nested(self.expression)
        if self.take("choose"):
            return functions.binomial(total, self.nested(self.expression))
        return total

    def _signed_product(self) -> Value:
        factor = 1
        while (token := self.peek()).kind in ("sign", "command") and token.text in ("+", "-", "pm", "mp"):
            self.place += 1
            factor *= {"+": 1, "-": -1, "pm": self.sign, "mp": -self.sign}[token.text]
        product = self._product()
        return product if factor > 0 else -product

    def _product(self) -> Value:
        product = self._juxtaposed()
        while (token := self.peek()).kind == "sign" and token.text in ("*", "/"):
            self.place += 1
            sign = -1 if self.take("-") else 1
            factor = self._juxtaposed()
            product = product * factor if token.text == "*" else product / factor
            product = product if sign > 0 else -product
        return product

    def _juxtaposed(self) -> Value:
        product = self._mixed_number()
        product = self.factor() if product is None else self._with_percent(product)
        while self.starts_factor():
            if self.peek().kind == "number" and self.tokens[self.place - 1].kind == "number":
                raise UnreadableError("two numbers side by side")
            product *= self.factor()
        return product

    def _with_percent(self, value: Value) -> Value:
        return value * _HUNDREDTH if self.take("%") else value

    def starts_factor(self) -> bool:
        """Whether another factor follows without a sign; C behind a degree sign is a unit."""
        token = self.peek()
        if token.kind == "letter" and token.text in "CF" and self._after_degree():
            return False
        if token.text == "(" and self.peek(1).text in ("mod", "bmod"):
            return False
        if token.kind in ("number", "letter"):
            return True
        if token.kind == "command":
            return token.text in FACTORS
        return token.kind == "sign" and (token.text in "({[" or (token.text == "|" and not self.bars))

    def _after_degree(self) -> bool:
        """Whether a degree sign stands before: Celsius and Fahrenheit are units."""
        before = self.tokens[max(0, self.place - 2) : self.place]
        return any(token.text in ("°", "circ") for token in before)

    def _mixed_number(self) -> Value | None:
        r"""1\frac{1}{2} or 1 1/2, if that stands here."""
        whole, following = self.peek(), self.peek(1)
        if not (whole.kind == "number" and whole.text.isdecimal()):
            return None
        if following.kind == "command" and following.text == "frac":
            start = self.place
            self.place += 2
            if (parts := self._plain_arguments()) is not None:
                return self._add_fraction(whole, *parts)
            self.place = start
        elif following.kind == "number" and following.spaced and following.text.isdecimal():
            below = self.peek(3)
            if self.peek(2).text == "/" and below.kind == "number" and below.text.isdecimal():
                self.place += 4
                return self._add_fraction(whole, following.value, below.value)
        return None

    def _add_fraction(self, whole: Token, above: Fraction, below: Fraction) -> Value:
        if not below:
            raise UnreadableError("division by zero")
        return Value.number(whole.value + above / below)

    def _plain_arguments(self) -> tuple[Fraction, Fraction] | None:
        """Both arguments of a fraction if they are plain whole numbers, not followed by a power."""
        parts = []
        for first in (True, False):
            part = self.argument(whole_numbers=True, first=first)
            if part is None:
                return None
            parts.append(part.rational)
        if self.peek().text in ("^", "!"):
            return None
        above, below = parts
        assert above is not None and below is not None  # they are whole numbers
        return above, below

    def factor(self) -> Value:
        """An atom with powers, factorials, percent and degree signs behind it."""
        base = self.nested(self._primary)
        while True:
            if self.peek().text == "^" and self.peek().kind == "sign":
                self.place += 1
                base = self._raised(base)
            elif self.take("!"):
                base = functions.factorial_of(base)
            elif self.take("%"):
                base *= _HUNDREDTH
            elif self.take("°"):
                base *= Value.generator(functions.DEGREE)
            else:
                return base

    def _raised(self, base: Value) -> Value:
        if self.take_degree():
            return base * Value.generator(functions.DEGREE)
        if base.rational is not None and self._take_ordinal():
            return base
        if base.single and base.above and set(base.generators()) == {"e"}:
            return functions.exponential(self.exponent())
        return power(base, self.exponent())

    def _take_ordinal(self) -> bool:
        r"""`{th}` as an exponent: 5^{th} is 5."""
        if self.peek().text != "{":
            return False
        ahead, word = 1, ""
        while self.peek(ahead).kind in ("letter", "text", "word"):
            word += self.peek(ahead).text
            ahead += 1
        if word not in ORDINALS or self.peek(ahead).text != "}":
            return False
        self.place += ahead + 1
        return True

    def take_degree(self) -> bool:
        r"""`\circ` or `{\circ}` as an exponent."""
        if self.take("circ") or self.take("°"):
            return True
        if [self.peek(n).text for n in range(3)] in (["{", "circ", "}"], ["{", "°", "}"]):
            self.place += 3
            return True
        return False

    def exponent(self) -> Value:
        """What stands behind ^: a group, or a signed number or letter, itself maybe raised."""
        if self.peek().text == "{":
            return self.group("{")
        sign = -1 if self.take("-") else 1
        value = self.nested(self._primary)
        if self.peek().text == "^":
            self.place += 1
            value = power(value, self.nested(self.exponent))
        return value if sign > 0 else -value
