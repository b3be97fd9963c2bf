r"""Commands of LaTeX: which are ignored, which mean the same, which start a factor."""

from rlvr.verify.answers.vocabulary import words

CURRENCY = words("$ £ € ¥ ₹ ¢")
# Signs that stand for themselves; commands that mean one are renamed to it.
SIGNS = words(r"<= >= < > != * / \{ \} [ ] | % ° ( ) : & _ '") | CURRENCY

TEXTS = words(
    """text textbf textit textrm textnormal texttt textsf mbox mathrm mathbf mathit mathsf mathcal
    operatorname boldsymbol bm vec hat"""
)
# Commands whose argument may stand without braces.
DECORATIONS = words("vec hat mathbf mathrm bm boldsymbol mathit")
IGNORED = words(
    """boxed fbox left right big Big bigg Bigg bigl bigr Bigl Bigr middle displaystyle textstyle limits quad
    qquad enspace thinspace bf rm it , ; : ! ( ) [ ]"""
) | {" ", "\n", "-"}
RENAMED = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "leq": "<=", "le": "<=", "leqslant": "<=", "geq": ">=", "ge": ">=", "geqslant": ">=", "lt": "<",
    "gt": ">", "ne": "!=", "neq": "!=", "cdot": "*", "times": "*", "ast": "*", "div": "/", "lbrace": "\\{",
    "{": "\\{",
    "rbrace": "\\}", "}": "\\}", "lbrack": "[", "rbrack": "]", "vert": "|", "lvert": "|", "rvert": "|",
    "mid": "|", "lparen": "(", "rparen": ")", "colon": ":", "degree": "°", "prime": "'", "pounds": "£",
    "euro": "€", "varnothing": "emptyset", "approxeq": "approx", "simeq": "approx", "to": "rightarrow",
    "backslash": "setminus", "smallsetminus": "setminus", "epsilon": "varepsilon", "varphi": "phi",
    "imath": "i", "dots": "ldots", "cdots": "ldots",
}  # fmt: skip
# Names of functions and constants, with or without a backslash.
NAMED = words(
    """sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp sqrt pi infty mod max min gcd
    lcm det cis asin acos atan"""
)
ALIASES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "infinity": "infty", "inf": "infty", "oo": "infty",
    "sqrt": "usqrt",
}  # fmt: skip

GREEK = words(
    """alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi
    chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar vartheta varrho varsigma
    angle triangle measuredangle"""
)
FUNCTIONS = words("sin cos tan cot sec csc arcsin arccos arctan ln log lg exp cis sinh cosh tanh")
FACTORS = GREEK | FUNCTIONS | words("pi frac binom sqrt usqrt infty lfloor lceil overline")
