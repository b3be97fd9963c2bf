r"""The smallest parts of expressions: numbers, variables, brackets, commands and functions."""

from abc import abstractmethod
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import ClassVar, Literal, overload

from rlvr.verify.answers import functions
from rlvr.verify.answers.commands import FUNCTIONS, GREEK
from rlvr.verify.answers.cursor import END, Cursor
from rlvr.verify.answers.limits import UnreadableError, UnsupportedError
from rlvr.verify.answers.tokens import Token
from rlvr.verify.answers.values import Value, atom, power

_CLOSING = {"(": ")", "[": "]", "{": "}", "lfloor": "rfloor", "lceil": "rceil"}


class AtomParser(Cursor):
    """Parses what powers and products are made of."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.bars = 0  # open absolute values

    @abstractmethod
    def expression(self) -> Value:
        """A sum of products."""

    @abstractmethod
    def factor(self) -> Value:
        """An atom with what is raised or set behind it."""

    @abstractmethod
    def exponent(self) -> Value:
        """What stands behind ^."""

    @abstractmethod
    def starts_factor(self) -> bool:
        """Whether another factor follows without a sign."""

    @abstractmethod
    def take_degree(self) -> bool:
        """Move over a degree sign that is raised."""

    def _primary(self) -> Value:
        token = self.advance()
        if token.kind == "number":
            if self.peek().text == "_":
                raise UnreadableError("a base inside an expression")
            return Value.number(token.value)
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
            self.bars += 1
            value = self.nested(self.expression)
            self.bars -= 1
            self.expect("|")
            return functions.absolute(value)
        raise UnreadableError(f"the sign {opener!r}")

    def group(self, opener: str) -> Value:
        """An expression between brackets."""
        self.expect(opener)
        value = self.nested(self.expression)
        self.expect(_CLOSING[opener])
        return value

    @overload
    def argument(self, whole_numbers: Literal[False] = False, first: bool = False) -> Value: ...

    @overload
    def argument(self, whole_numbers: Literal[True], first: bool = False) -> Value | None: ...

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
            return Value.number(self.advance().value)
        if whole_numbers:
            return None
        return self.nested(self._primary)

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
            return self.advance().text
        text, depth = "", 1
        while self.peek() is not END:
            token = self.advance()
            depth += (token.text == "{") - (token.text == "}")
            if not depth:
                return text
            text += token.text
        raise UnreadableError("an open subscript")

    def _command(self, name: str) -> Value:
        if name in ("pi", "infty"):
            return Value.generator(name)
        if name in GREEK:
            return self.letter(f"\\{name}")
        if name in ("sqrt", "usqrt"):
            return self._root(name)
        if name in FUNCTIONS:
            return self._function(name)
        if name not in self._with_arguments:
            raise UnsupportedError(name)
        return self._with_arguments[name](self)

    def _fraction(self) -> Value:
        above = self.argument(first=True)
        return above / self.argument()

    def _binomial(self) -> Value:
        upper = self.argument(first=True)
        return functions.binomial(upper, self.argument())

    def _rounded(self, name: str) -> Value:
        self.place -= 1
        return functions.FUNCTIONS["floor" if name == "lfloor" else "ceil"](self.group(name))

    def _root(self, name: str) -> Value:
        degree = Value.number(2)
        if self.peek().text == "[" and name == "sqrt":
            degree = self.group("[")
        if name == "usqrt" and self.peek().kind == "number":
            return functions.root(Value.number(self.advance().value), degree)
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
            function = partial(functions.logarithm_to_base, base)
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
        if token.kind == "number" and len(token.text) > 1 and not self._argument_follows():
            self._split(token, first=True)
        return self.nested(self._primary)

    def _argument_follows(self) -> bool:
        following = self.peek(1)
        return following.kind in ("letter", "command", "number") or following.text in ("(", "{", "|")

    def _function_argument(self) -> Value:
        """A group, or the product up to the next sign or function: sin 2x cos x is sin(2x) cos(x)."""
        if self.peek().text in ("(", "{", "["):
            return self._degrees(self.group(self.peek().text))
        sign = -1 if self.take("-") else 1
        product = self.factor()
        while self.starts_factor() and self.peek().text not in FUNCTIONS and self.peek().text != "(":
            product *= self.factor()
        if "pi" in set(product.generators()) and self.peek().text == "/" and self.peek(1).kind == "number":
            self.place += 1  # sin pi/6, but (ln 2)/2
            product /= self.factor()
        return product if sign > 0 else -product

    def _degrees(self, value: Value) -> Value:
        """An angle in brackets with a degree sign behind them: sin(30)°."""
        start = self.place
        if self.take("^") and self.take_degree():
            return value * Value.generator(functions.DEGREE)
        self.place = start
        return value

    _with_arguments: ClassVar[dict[str, Callable[["AtomParser"], Value]]] = {
        "frac": _fraction,
        "binom": _binomial,
        "lfloor": lambda self: self._rounded("lfloor"),
        "lceil": lambda self: self._rounded("lceil"),
        "overline": _overlined,
    }
