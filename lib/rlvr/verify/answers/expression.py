r"""Expressions: from tokens to values, by recursive descent.

Implicit products bind closer than "/": 1/2x is 1/(2x), as math-verify reads it.
"""

from collections.abc import Callable
from fractions import Fraction

from rlvr.verify.answers import functions
from rlvr.verify.answers.limits import MAX_DEPTH, TooLargeError, UnreadableError, UnsupportedError
from rlvr.verify.answers.tokens import Token
from rlvr.verify.answers.units import ORDINALS
from rlvr.verify.answers.values import Value, atom, power

END = Token("end", "")
_CONSTANTS = {"pi": "pi"}
_GREEK = frozenset(
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi "
    "omega angle triangle measuredangle Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar vartheta varrho varsigma".split()
)
FACTOR_COMMANDS = _GREEK | frozenset(functions.FUNCTIONS) | frozenset("pi frac binom sqrt usqrt infty lfloor lceil overline".split())
_CLOSING = {"(": ")", "[": "]", "{": "}", "lfloor": "rfloor", "lceil": "rceil"}


class ExpressionParser:
    """A cursor over tokens. `sign` is what ± stands for in this reading."""

    def __init__(self, tokens: list[Token], sign: int = 1) -> None:
        self.tokens = tokens
        self.place = 0
        self.sign = sign
        self._depth = 0
        self._bars = 0

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or the one `ahead` of it."""
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else END

    def take(self, text: str) -> bool:
        """Move on if the next token is this sign or command."""
        token = self.peek()
        if token.text == text and token.kind in ("sign", "command"):
            self.place += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Move over a sign or command that must stand here."""
        if not self.take(text):
            raise UnreadableError(f"no {text} but {self.peek().text!r}")

    def nested(self, parse: Callable[[], Value]) -> Value:
        """Parse one level deeper, within the limit."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooLargeError("nested too deeply")
        value = parse()
        self._depth -= 1
        return value

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
        product = self._power() if product is None else self._with_percent(product)
        while self._starts_factor():
            if self.peek().kind == "number" and self.tokens[self.place - 1].kind == "number":
                raise UnreadableError("two numbers side by side")
            product *= self._power()
        return product

    def _with_percent(self, value: Value) -> Value:
        return value * Value.number(Fraction(1, 100)) if self.take("%") else value

    def _starts_factor(self) -> bool:
        token = self.peek()
        if token.kind == "letter" and token.text in "CF" and self._after_degree():
            return False
        if token.text == "(" and self.peek(1).text in ("mod", "bmod"):
            return False
        if token.kind in ("number", "letter"):
            return True
        if token.kind == "command":
            return token.text in FACTOR_COMMANDS
        return token.kind == "sign" and (token.text in "({[" or (token.text == "|" and not self._bars))

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
                return self._add_fraction(whole, following.number, below.number)
        return None

    def _add_fraction(self, whole: Token, above: Fraction, below: Fraction) -> Value:
        if not below:
            raise UnreadableError("division by zero")
        return Value.number(whole.number + above / below)

    def _plain_arguments(self) -> tuple[Fraction, Fraction] | None:
        """Both arguments of a fraction if they are plain whole numbers, not followed by a power."""
        parts = []
        for first in (True, False):
            parts.append(self.argument(whole_numbers=True, first=first))
            if parts[-1] is None:
                return None
        if self.peek().text in ("^", "!"):
            return None
        above, below = (part.rational for part in parts)
        return above, below

    def argument(self, whole_numbers: bool = False, first: bool = False) -> Value | None:
        r"""The argument of a command: a group in braces, or one digit, letter or command (`\frac12`).

        With `whole_numbers` it is None where anything else stands. `first`: another argument must follow.
        """
        token = self.peek()
        plain = token
        if token.text == "{" and token.kind == "sign":
            if whole_numbers:
                plain = self.peek(1)
                if not (plain.kind == "number" and plain.text.isdecimal() and self.peek(2).text == "}"):
                    return None
            return self.group("{")
        if token.kind == "number":
            self._split(token, first)
            return Value.number(self._advance().number)
        if whole_numbers:
            return None
        return self.nested(self._primary)

    def _advance(self) -> Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def _split(self, token: Token, first: bool) -> None:
        r"""Leave one digit of a numeral that stands as two arguments: `\frac12`, `\frac 12`."""
        following = self.peek(1)
        alone = not (following.kind in ("number", "letter") or following.text in ("{", "frac", "sqrt", "pi"))
        if not token.text.isdecimal() or len(token.text) == 1 or (token.spaced and not (first and alone)):
            return
        if len(token.text) > 2 or not first:
            raise UnreadableError("digits as arguments")
        digits = [Token("number", digit, False, Fraction(int(digit))) for digit in token.text]
        self.tokens[self.place : self.place + 1] = digits

    def group(self, opener: str) -> Value:
        """An expression between brackets."""
        self.expect(opener)
        value = self.nested(self.expression)
        self.expect(_CLOSING[opener])
        return value

    def _power(self) -> Value:
        base = self.nested(self._primary)
        while True:
            if self.peek().text == "^" and self.peek().kind == "sign":
                self.place += 1
                base = self._raised(base)
            elif self.take("!"):
                base = functions.factorial_of(base)
            elif self.take("%"):
                base *= Value.number(Fraction(1, 100))
            elif self.take("°"):
                base *= Value.generator(functions.DEGREE)
            else:
                return base

    def _raised(self, base: Value) -> Value:
        if self._take_degree():
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
        while self.peek(ahead).kind in ("letter", "text"):
            word += self.peek(ahead).text
            ahead += 1
        if word not in ORDINALS or self.peek(ahead).text != "}":
            return False
        self.place += ahead + 1
        return True

    def _take_degree(self) -> bool:
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

    def _primary(self) -> Value:
        token = self._advance() if self.peek() is not END else END
        if token.kind == "number":
            if self.peek().text == "_":
                raise UnreadableError("a base inside an expression")
            return Value.number(token.number)
        if token.kind == "letter":
            return self.letter(token.text)
        if token.kind == "sign":
            return self._bracketed(token.text)
        if token.kind == "command":
            return self._command(token.text)
        raise UnreadableError(f"{token.kind} {token.text!r}")

    def _bracketed(self, opener: str) -> Value:
        if opener in ("(", "[", "{"):
            self.place -= 1
            return self.group(opener)
        if opener == "|":
            self._bars += 1
            value = self.nested(self.expression)
            self._bars -= 1
            self.expect("|")
            return functions.absolute(value)
        raise UnreadableError(f"the sign {opener!r}")

    def letter(self, name: str) -> Value:
        """A variable, with its subscript and primes; i and e without them are constants."""
        if self.peek().text == "_":
            self.place += 1
            name += "_" + self.subscript()
        while self.take("'"):
            name += "'"
        return Value.generator(name)

    def subscript(self) -> str:
        """The text of a subscript."""
        if not self.take("{"):
            return self._advance().text if self.peek() is not END else ""
        text, depth = "", 1
        while self.peek() is not END:
            token = self._advance()
            depth += (token.text == "{") - (token.text == "}")
            if not depth:
                return text
            text += token.text
        raise UnreadableError("an open subscript")

    def _command(self, name: str) -> Value:
        if name in _CONSTANTS:
            return functions.PI
        if name in _GREEK:
            return self.letter(f"\\{name}")
        if name == "infty":
            return Value.generator("infty")
        if name in ("frac", "binom"):
            above, below = self.argument(first=True), self.argument()
            return above / below if name == "frac" else functions.binomial(above, below)
        if name in ("sqrt", "usqrt"):
            return self._root(name)
        if name in ("lfloor", "lceil"):
            self.place -= 1
            return functions.FUNCTIONS["floor" if name == "lfloor" else "ceil"](self.group(name))
        if name == "overline":
            return self._overlined()
        if name in functions.FUNCTIONS:
            return self._function(name)
        raise UnsupportedError(name)

    def _root(self, name: str) -> Value:
        degree = Value.number(2)
        if self.peek().text == "[" and name == "sqrt":
            degree = self.group("[")
        if name == "usqrt" and self.peek().kind == "number":
            return functions.root(Value.number(self._advance().number), degree)
        return functions.root(self._radicand(), degree)

    def _radicand(self) -> Value:
        token = self.peek()
        if token.kind == "number" and not token.spaced and token.text.isdecimal() and len(token.text) > 1:
            raise UnreadableError("digits under a root")
        return self.argument()

    def _overlined(self) -> Value:
        """A segment by its ends is the product of its letters; a conjugate stays."""
        value = self.argument()
        names = list(value.generators())
        return value if len(names) > 1 else atom("conjugate", value)

    def _function(self, name: str) -> Value:
        function, exponent = functions.FUNCTIONS[name], None
        if name in ("log", "ln") and self.peek().text == "_":
            self.place += 1
            base = self._base()
            function = lambda value: functions.logarithm_to_base(base, value)  # noqa: E731
        if self.peek().text == "^":
            self.place += 1
            exponent = self.exponent()
            if exponent.rational == -1 and name in functions.INVERSES:
                function, exponent = functions.FUNCTIONS[functions.INVERSES[name]], None
        value = function(self.nested(self._function_argument))
        return value if exponent is None else power(value, exponent)

    def _base(self) -> Value:
        if self.peek().text == "{":
            return self.group("{")
        token = self.peek()
        if token.kind == "number" and len(token.text) > 1 and not self.peek(1).kind == "number" and not self._after_is_argument():
            self._split(token, first=True)
        return self.nested(self._primary)

    def _after_is_argument(self) -> bool:
        following = self.peek(1)
        return following.kind in ("letter", "command") or following.text in ("(", "{", "|")

    def _function_argument(self) -> Value:
        """A group, or the product up to the next sign or function: sin 2x cos x is sin(2x) cos(x)."""
        if self.peek().text in ("(", "{", "["):
            return self._degrees(self.group(self.peek().text))
        sign = -1 if self.take("-") else 1
        product = self._power()
        while self._starts_factor() and self.peek().text not in functions.FUNCTIONS and self.peek().text != "(":
            product *= self._power()
        if "pi" in set(product.generators()) and self.peek().text == "/" and self.peek(1).kind == "number":
            self.place += 1  # sin pi/6, but (ln 2)/2
            product /= self._power()
        return product if sign > 0 else -product

    def _degrees(self, value: Value) -> Value:
        return value * Value.generator(functions.DEGREE) if self.peek().text == "^" and self._degree_follows() else value

    def _degree_follows(self) -> bool:
        start = self.place
        self.place += 1
        if self._take_degree():
            return True
        self.place = start
        return False
