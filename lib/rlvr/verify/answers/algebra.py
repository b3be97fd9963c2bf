"""What math-verify is asked: both texts in a form that it reads exactly, if they can be equal at all."""

from collections import Counter

from rlvr.verify.answers.expression import FACTOR_COMMANDS
from rlvr.verify.answers.limits import UnreadableError
from rlvr.verify.answers.notation import cleaned
from rlvr.verify.answers.tokens import Lexer, Token

# Computer algebra gets nothing that may take it long.
_LONGEST = 400
_DEEPEST = 10
_MOST_DIGITS = 30
_LARGEST_EXPONENT = 1_000
_LARGEST_FACTORIAL = 1_000

_OPENERS, _CLOSERS = frozenset({"(", "[", "{", "\\{"}), frozenset({")", "]", "}", "\\}"})
# Operations that are left to be carried out must be on both sides: an integral is not yet its value.
_OPERATIONS = frozenset("int iint oint sum prod lim det max min gcd lcm cap".split())
_KNOWN = FACTOR_COMMANDS | _OPERATIONS | frozenset("pm mp cup setminus in equiv approx mod pmod bmod rightarrow".split())
_COUNTED = _OPERATIONS | frozenset("< > <= >= != = approx in equiv pm mp % mod pmod bmod ; & \\\\ cup cap setminus".split())
_LATEX = {"<=": r"\le ", ">=": r"\ge ", "!=": r"\neq ", "usqrt": r"\sqrt ", "*": r"\cdot ", "°": "", "circ": r"\circ "}


def for_math_verify(answer: str, gold: str) -> tuple[str, str] | None:
    """Both texts in LaTeX with exact numbers, or None: they differ in what math-verify overlooks, or are too large.

    Words, relations, alternatives, moduli and the number of items must agree, and no base may occur.
    """
    try:
        pair = tuple(Lexer(cleaned(text)).run() for text in (answer, gold))
    except UnreadableError:
        return None
    if _features(pair[0]) != _features(pair[1]) or any(_is_large(tokens) for tokens in pair):
        return None
    if not all(_is_known(token) for tokens in pair for token in tokens):
        return None
    written = tuple(_written(tokens) for tokens in pair)
    return None if max(map(len, written)) > _LONGEST else written


def _features(tokens: list[Token]) -> Counter[str]:
    """What must be the same on both sides."""
    features: Counter[str] = Counter()
    depth = 0
    for place, token in enumerate(tokens):
        depth += _step(token)
        if token.kind in ("text", "joiner"):
            features[token.text.lower()] += 1
        elif token.kind == "number":
            if place + 1 < len(tokens) and tokens[place + 1].text == "_":
                features[f"base {place} {token.text}"] += 1
        elif token.kind in ("begin", "end"):
            features[f"{token.kind} {token.text}"] += 1
        elif token.text in _COUNTED or (token.text == "," and not depth):
            features[token.text] += 1
    return features


def _is_known(token: Token) -> bool:
    """math-verify overlooks commands that it does not know, so they must not get there."""
    return token.kind != "command" or token.text in _KNOWN or token.text.startswith("mathbb ")


def _step(token: Token) -> int:
    return (token.text in _OPENERS) - (token.text in _CLOSERS) if token.kind == "sign" else 0


def _is_large(tokens: list[Token]) -> bool:
    """Whether computing may take long: deep nesting, long numerals, large or nested exponents, factorials."""
    depth, exponents = 0, []
    for place, token in enumerate(tokens):
        before = tokens[place - 1].text if place else ""
        depth += _step(token)
        exponents = [level for level in exponents if level <= depth]
        if token.kind == "number" and _is_large_number(token, bool(exponents) or before == "^"):
            return True
        if token.text == "^":
            if exponents and place + 1 < len(tokens) and _only_numbers(tokens[place - 1 : place + 3]):
                return True
            exponents.append(depth + 1)
        if token.text == "!" and (before == "!" or (tokens[place - 1].number or 0) > _LARGEST_FACTORIAL):
            return True
        if depth > _DEEPEST:
            return True
    return False


def _is_large_number(token: Token, in_exponent: bool) -> bool:
    long = len(str(token.number.numerator)) + len(str(token.number.denominator)) > _MOST_DIGITS
    return long or (in_exponent and abs(token.number) > _LARGEST_EXPONENT)


def _only_numbers(tokens: list[Token]) -> bool:
    return not any(token.kind == "letter" and token.text not in "ei" for token in tokens)


def _written(tokens: list[Token]) -> str:
    """LaTeX with decimals as fractions: math-verify rounds decimals."""
    return "".join(map(_write, tokens))


def _write(token: Token) -> str:
    if token.kind == "number":
        number = token.number
        return f" {number}" if number.denominator == 1 else rf"\frac{{{number.numerator}}}{{{number.denominator}}}"
    if token.text in _LATEX:
        return _LATEX[token.text]
    if token.kind in ("begin", "end"):
        return rf"\{token.kind}{{{token.text}}}"
    if token.kind == "text":
        return rf"\text{{{token.text}}}"
    if token.kind == "joiner":
        return ","
    if token.kind == "command":
        return rf"\mathbb{{{token.text[-1]}}}" if token.text.startswith("mathbb ") else rf"\{token.text} "
    return rf"\{token.text}" if token.text in ("%", "$", "&") and token.text != "&" else token.text
