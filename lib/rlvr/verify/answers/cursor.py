"""A cursor over the tokens of an answer."""

from collections.abc import Callable

from rlvr.verify.answers.limits import MAX_DEPTH, TooLargeError, UnreadableError
from rlvr.verify.answers.tokens import Token
from rlvr.verify.answers.values import Value

END = Token("end", "")


class Cursor:
    """Looks at tokens and moves over them. `sign` is what ± stands for in this reading."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.place = 0
        self.sign = 1
        self.depth = 0

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

    def advance(self) -> Token:
        """Move over a token and return it; at the end it is END."""
        token = self.peek()
        self.place += 1
        return token

    def enter(self) -> None:
        """Go one level deeper, within the limit."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLargeError("nested too deeply")

    def nested(self, parse: Callable[[], Value]) -> Value:
        """Parse one level deeper."""
        self.enter()
        value = parse()
        self.depth -= 1
        return value
