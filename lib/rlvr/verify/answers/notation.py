r"""The text of an answer without what surrounds it: Unicode as LaTeX, and no wrappers such as `$...$`."""

import re

# Two spaces of Unicode that separate thousands become LaTeX's thin space.
_CHARACTERS = {
    **dict.fromkeys("−–‒﹣-", "-"),
    **dict.fromkeys("×✕⨯", r"\times "),
    **dict.fromkeys("·⋅∙•∗", r"\cdot "),
    **dict.fromkeys("÷", r"\div "),
    **dict.fromkeys("⁄∕/", "/"),
    **dict.fromkeys("\u2009\u202f\u2006\u2008", r"\,"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2007\u200a\u3000", " "),
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u2061\u2062\u2063", ""),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("≤⩽≦", r"\le "),
    **dict.fromkeys("≥⩾≧", r"\ge "),
    **dict.fromkeys("≈≃", r"\approx "),
    **dict.fromkeys("∅⌀", r"\emptyset "),
    **dict.fromkeys("º˚", "°"),
    "π": r"\pi ",
    "√": r"\usqrt ",
    "∛": r"\sqrt[3]",
    "∞": r"\infty ",
    "≠": r"\ne ",
    "≡": r"\equiv ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∖": r"\setminus ",
    "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}",
    "ℚ": r"\mathbb{Q}",
    "ℕ": r"\mathbb{N}",
    "ℂ": r"\mathbb{C}",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "∠": r"\angle ",
    "△": r"\triangle ",
    "θ": r"\theta ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "γ": r"\gamma ",
    "λ": r"\lambda ",
    "μ": r"\mu ",
    "φ": r"\phi ",
    "ω": r"\omega ",
    "…": r"\ldots ",
    **{chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)},  # full width
}
_FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅐": (1, 7), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
    "⅑": (1, 9), "⅒": (1, 10),
}  # fmt: skip
_CHARACTERS |= {sign: rf"\frac{{{above}}}{{{below}}}" for sign, (above, below) in _FRACTIONS.items()}
_TRANSLATION = str.maketrans(_CHARACTERS)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ⁽⁾", "0123456789+-ni()")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ⁽⁾]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")

_WRAPPERS = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("*", "*"),
    ("__", "__"),
    ("`", "`"),
    ('"', '"'),
    ("'", "'"),
)
_COMMANDS = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|textrm|textnormal|texttt|textsf|mbox|mathrm|mathbf|mathit|mathsf"
    r"|boldsymbol|bm|ensuremath|displaystyle|textstyle|bf|rm|it|left\.|right\.)(?![A-Za-z])\s*"
)
_SPACE = re.compile(r"(?:\s|\\[ ,;:!]|\\q?quad(?![A-Za-z])|~)+")
_SPACE_AT_END = re.compile(r"(?:\s|\\[,;:!]|\\ |\\q?quad|~)+$")
_DOLLAR = re.compile(r"(?<!\\)\$")
_TRAILING = ".,;:"
_NO_FULL_STOP = ("..", "\\.", "\\,", "\\;", "\\:")


def in_latex(text: str) -> str:
    """Replace signs of Unicode by LaTeX."""
    if text.isascii():
        return text
    text = _RAISED.sub(lambda run: "^{" + run[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _LOWERED.sub(lambda run: "_{" + run[0].translate(_SUBSCRIPTS) + "}", text)
    return text.translate(_TRANSLATION)


def _closing_brace(text: str, opening: int) -> int:
    """The position of the brace that closes the one at `opening`, or -1."""
    depth, place = 0, opening
    while place < len(text):
        sign = text[place]
        if sign == "\\":
            place += 1
        elif sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if not depth:
                return place
        place += 1
    return -1


def _without_command(text: str) -> str:
    r"""`\text{...}`, `\boxed{...}` or `{...}` around all of the text, removed."""
    start = 0
    if text.startswith("\\"):
        command = _COMMANDS.match(text)
        if not command:
            return text
        start = command.end()
        if not text.startswith("{", start):
            return text[start:] if command[0].rstrip().endswith(("style", "bf", "rm", "it", ".")) else text
    elif not text.startswith("{"):
        return text
    return text[start + 1 : -1] if _closing_brace(text, start) == len(text) - 1 else text


def _without_delimiters(text: str) -> str:
    for left, right in _WRAPPERS:
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            inner = text[len(left) : -len(right)]
            if left not in inner.replace("\\$", "") and not inner.endswith("\\"):
                return inner
    return text


def stripped(text: str) -> str:
    r"""Remove space, formula delimiters, bold marks, `\boxed{}` and `\text{}` around a text, and its stop."""
    while True:
        before = text
        text = _SPACE_AT_END.sub("", text)
        if leading := _SPACE.match(text):
            text = text[leading.end() :]
        if text and text[-1] in _TRAILING and not text.endswith(_NO_FULL_STOP):
            text = text[:-1].rstrip()
        text = _without_command(_without_delimiters(text))
        if text == before:
            return text


def _without_inline_delimiters(text: str) -> str:
    """`$x$ = $5$` as `x = 5`; a $ before a digit that would close a formula is a currency sign."""
    parts = _DOLLAR.split(text)
    if len(parts) < 3 or len(parts) % 2 == 0 or any(part[:1].isdecimal() for part in parts[2::2]):
        return text
    return "".join(parts)


def cleaned(text: str) -> str:
    """The text in LaTeX without wrappers."""
    text = stripped(in_latex(text))
    return stripped(_without_inline_delimiters(text)) if "$" in text else text
