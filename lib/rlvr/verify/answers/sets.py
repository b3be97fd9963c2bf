r"""Sets, intervals, tuples and vectors."""

from abc import abstractmethod

from rlvr.verify.answers.answer import Answer, Collection, Group, Interval, Listing, Region, Space
from rlvr.verify.answers.cursor import END
from rlvr.verify.answers.limits import UnreadableError, UnsupportedError
from rlvr.verify.answers.quantity import QuantityParser
from rlvr.verify.answers.regions import united
from rlvr.verify.answers.tokens import Token

_OPENERS = {"(": ")", "[": "]", "\\{": "\\}", "langle": "rangle", "{": "}"}
_CLOSERS = frozenset(_OPENERS.values())


class SetParser(QuantityParser):
    """Parses brackets that hold items, and unions of sets."""

    @abstractmethod
    def listing(self, closer: str) -> Answer:
        """Items up to a closing bracket."""

    def union(self) -> Answer:
        """Sets joined by a union sign, less others; or one quantity."""
        parts = [self._member()]
        removed: list[Answer] = []
        while self.peek().text in ("cup", "setminus") and self.peek().kind == "command":
            members = parts if self.peek().text == "cup" else removed
            self.place += 1
            members.append(self._member())
        if self.peek().text in ("cap", "wedge", "vee"):
            raise UnsupportedError(self.peek().text)
        return united(parts, removed) if len(parts) > 1 or removed else parts[0]

    def _member(self) -> Answer:
        token = self.peek()
        if token.kind == "begin":
            return self.matrix()
        if token.text == "emptyset":
            self.place += 1
            return Collection(())
        if token.text.startswith("mathbb "):
            self.place += 1
            return _space(token.text.removeprefix("mathbb "))
        if token.text in _OPENERS and token.kind not in ("text", "word") and self._is_structure(token.text):
            return self._brackets()
        return self.quantity()

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
        self.enter()
        closers = (")", "]") if opener in ("(", "[") else (_OPENERS[opener],)
        if opener in ("\\{", "{") and self.take(closers[0]):
            self.depth -= 1
            return Collection(())
        if opener == "\\{" and (described := self._described()) is not None:
            self.depth -= 1
            return described
        inner = self.listing(closers[0])
        self.depth -= 1
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
        condition = self.listing("\\}")
        self.expect("\\}")
        if isinstance(condition, Listing):
            raise UnsupportedError("conditions")
        return condition


def _space(name: str) -> Answer:
    return Region((Interval(None, None, False, False),)) if name == "R" else Space(name)
