"""What math-verify is asked: both texts in a form that it reads exactly, if they can be equal at all."""

from collections import Counter
from fractions import Fraction

from rlvr.verify.answers.commands import FACTORS, FUNCTIONS
from rlvr.verify.answers.cursor import END
from rlvr.verify.answers.limits import UnreadableError
from rlvr.verify.answers.notation import cleaned
from rlvr.verify.answers.tokens import Lexer, Token
from rlvr.verify.answers.vocabulary import words

# Computer algebra gets nothing that may take it long.
_MOST_TOKENS = 200
_MOST_BITS = 100  # of a numeral
_MOST_TOKENS_OF_OPERATION = 40
_LARGEST_IN_OPERATION = 100
_DEEPEST = 10
_LARGEST_EXPONENT = 1_000
_LARGEST_FACTORIAL = 1_000

_OPENERS, _CLOSERS = frozenset({"(", "[", "{", "\\{"}), frozenset({")", "]", "}", "\\}"})
# Operations that are left to be carried out, on one side maybe, are given only if they are short.
_OPERATIONS = words("int iint oint sum prod lim det max min gcd lcm cap")
# It loses an overline before a command: `28\overline\pi` would be 28.
_KNOWN = (
    FACTORS - {"overline"}
    | _OPERATIONS
    | words("pm mp cup setminus in equiv approx mod pmod bmod rightarrow")
)
_COUNTED = words(r"< > <= >= != = approx in equiv pm mp % mod pmod bmod ; & \\ cup cap setminus")
_ANGULAR = words("sin cos tan cot sec csc")
_DEGREES = (["°"], ["^", "circ"], ["^", "{", "circ", "}"], ["^", "°"], ["^", "{", "°", "}"])
_FORMS = {
    "begin": r"\begin{{{}}}",
    "end": r"\end{{{}}}",
    "text": r"\text{{{}}}",
    "word": r"\text{{{}}}",
    "joiner": ",",
    "command": r"\{} ",
}
_LATEX = {
    "<=": r"\le ",
    "%": r"\%",
    "$": r"\$",
    ">=": r"\ge ",
    "!=": r"\neq ",
    "usqrt": r"\sqrt ",
    "*": r"\cdot ",
    "°": "",
    "circ": r"\circ ",
}


def for_math_verify(answer: str, gold: str) -> tuple[str, str] | None:
    """Both texts in LaTeX with exact numbers; None if they differ in what math-verify overlooks or are large.

    Words, relations, alternatives, moduli and the number of items must agree, and no base may occur.
    """
    try:
        left, right = (_in_radians(Lexer(cleaned(text)).run()) for text in (answer, gold))
    except UnreadableError:
        return None
    if _features(left) != _features(right) or _is_large(left) or _is_large(right):
        return None
    if not (_is_well_formed(left) and _is_well_formed(right)):
        return None
    return _written(left), _written(right)


def has_operation(written: str) -> bool:
    """Whether an integral, sum or the like is in a text of `for_math_verify`."""
    return any(rf"\{name} " in written for name in _OPERATIONS)


def _features(tokens: list[Token]) -> Counter[str]:
    """What must be the same on both sides."""
    features: Counter[str] = Counter()
    depth, subscript = 0, None
    for place, token in enumerate(tokens):
        depth += _step(token)
        if subscript is not None and depth > subscript:  # the bounds of a sum
            continue
        subscript = depth if token.text == "_" else None if token.text != "{" else subscript
        if token.kind in ("text", "word", "joiner"):
            features[token.text.lower()] += 1
        elif token.kind == "number":
            if place + 1 < len(tokens) and tokens[place + 1].text == "_":
                features[f"base {place} {token.text}"] += 1
        elif token.kind in ("begin", "end"):
            features[f"{token.kind} {token.text}"] += 1
        elif token.text in _COUNTED or (token.text == "," and not depth):
            features[token.text] += 1
    return features


def _is_well_formed(tokens: list[Token]) -> bool:
    """math-verify overlooks unknown commands and mends what is broken: neither must get there."""
    known = all(t.kind != "command" or t.text in _KNOWN or t.text.startswith("mathbb ") for t in tokens)
    balanced = not sum(map(_step, tokens)) and sum(token.text == "|" for token in tokens) % 2 == 0
    following = [*tokens[1:], END]
    applied = all(
        token.text not in _OPERATIONS
        or after.kind != "sign"
        or after.text in ("_", "^", "(", "{", "\\{", "|")
        for token, after in zip(tokens, following, strict=True)
    )
    return known and balanced and applied and (not tokens or tokens[-1].text not in _OPERATIONS)


def _step(token: Token) -> int:
    return (token.text in _OPENERS) - (token.text in _CLOSERS) if token.kind == "sign" else 0


def _is_large(tokens: list[Token]) -> bool:
    """Whether computing may take long: deep nesting, long numerals, large or nested exponents, factorials."""
    if len(tokens) > _MOST_TOKENS or _is_long_operation(tokens):
        return True
    depth = 0
    exponents: list[int] = []
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


def _is_long_operation(tokens: list[Token]) -> bool:
    """Whether an integral, sum or limit is more than short, or has two functions or a large number in it."""
    if not any(token.text in _OPERATIONS for token in tokens):
        return False
    functions = sum(token.text in FUNCTIONS or token.text in ("sqrt", "usqrt", "!") for token in tokens)
    large = any(abs(token.number or Fraction(0)) > _LARGEST_IN_OPERATION for token in tokens)
    return len(tokens) > _MOST_TOKENS_OF_OPERATION or functions > 1 or large


def _is_large_number(token: Token, in_exponent: bool) -> bool:
    bits = token.value.numerator.bit_length() + token.value.denominator.bit_length()
    return bits > _MOST_BITS or (in_exponent and abs(token.value) > _LARGEST_EXPONENT)


def _only_numbers(tokens: list[Token]) -> bool:
    return not any(token.kind == "letter" and token.text not in "ei" for token in tokens)


def _written(tokens: list[Token]) -> str:
    """LaTeX with decimals as fractions: math-verify rounds decimals."""
    return "".join(map(_write, tokens))


def _in_radians(tokens: list[Token]) -> list[Token]:
    """The degrees of angles under functions as multiples of pi."""
    if not any(token.text in _ANGULAR for token in tokens):
        return tokens
    written: list[Token] = []
    place = 0
    while place < len(tokens):
        texts = [token.text for token in tokens[place : place + 5]]
        degrees = next((len(sign) for sign in _DEGREES if texts[1 : 1 + len(sign)] == sign), 0)
        if tokens[place].kind == "number" and degrees:
            angle = tokens[place].value / 180
            written.append(Token("formula", rf"\frac{{{angle.numerator}\pi}}{{{angle.denominator}}}"))
        else:
            written.append(tokens[place])
        place += 1 + degrees
    return written


def _write(token: Token) -> str:
    if token.kind == "number":
        number = token.value
        return (
            f" {number}"
            if number.denominator == 1
            else rf"\frac{{{number.numerator}}}{{{number.denominator}}}"
        )
    if token.text.startswith("mathbb "):
        return rf"\mathbb{{{token.text[-1]}}}"
    if token.text in _LATEX:
        return _LATEX[token.text]
    return _FORMS.get(token.kind, "{}").format(token.text)
