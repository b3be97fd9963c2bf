"""Mathematical verification: speed beside math-verify, batches with hostile answers, and fuzzing.

    python bench/verification.py speed [--pairs 4000]       # a minute; taskset -c 0 pins it to one core
    python bench/verification.py hostile [--workers 2]      # seconds
    python bench/verification.py fuzz [--count 100000]      # a minute

speed: distinct pairs, 80 % whole numbers and 20 % LaTeX, half of them wrong; nothing is cached across pairs.
hostile: 4,096 pairs without and with 1 % answers that are refused at sight, or that take a worker long.
fuzz: random and mutated LaTeX through `verify_batch`, with the memory of this process and its workers.
"""

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from rlvr.data.problem import Problem
from rlvr.verify.math import MathVerifier, verify_batch

LABELLED = Path("tests/verify/answer_pairs.jsonl")
BATCH = 4096
write = sys.stdout.write

Pair = tuple[str, str]


def whole_number(rng: random.Random) -> tuple[str, str, str]:
    """Gold, a right answer and a wrong one, as AIME and GSM8K have them."""
    number = rng.choice((rng.randrange(1000), rng.randrange(100), rng.randrange(100_000)))
    right = rng.choice(
        (f"{number}", f"{number}", f"{number}", f"{number:,}", rf"\${number}", f"{number}.0", f"{number}.")
    )
    return f"{number}", right, f"{number + rng.choice((-10, -1, 1, 2, 9, 100))}"


def matrix(above: int, below: int) -> str:
    return rf"\begin{{pmatrix}} {above} \\ {below} \end{{pmatrix}}"


def union(low: int, closing: str, high: int) -> str:
    return rf"(-\infty, {low}{closing} \cup ({high}, \infty)"


def latex(rng: random.Random) -> tuple[str, str, str]:
    """Gold, a right answer and a wrong one, of the kinds that MATH has."""
    a, b, c = rng.randrange(1, 60), rng.randrange(2, 60), rng.randrange(2, 60)
    other = a + rng.choice((1, 2, 7))
    kinds: list[tuple[str, str, str]] = [
        (rf"\frac{{{a}}}{{{b}}}", rf"\dfrac{{{a}}}{{{b}}}", rf"\frac{{{other}}}{{{b}}}"),
        (rf"\frac{{{a}}}{{{b}}}", rf"{a}/{b}", rf"\frac{{{a}}}{{{b + 1}}}"),
        (rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"{other}\sqrt{{{b}}}"),
        (rf"{a}+{c}\sqrt{{{b}}}", rf"{c}\sqrt{{{b}}} + {a}", rf"{other}+{c}\sqrt{{{b}}}"),
        (rf"\frac{{{a}\pi}}{{{b}}}", rf"\frac{{{a}}}{{{b}}}\pi", rf"\frac{{{other}\pi}}{{{b}}}"),
        (rf"({a}, {b})", rf"\left({a},{b}\right)", rf"({b}, {other})"),
        (rf"[{a}, {a + b})", rf"\left[{a},{a + b}\right)", rf"[{a}, {a + b}]"),
        (union(a, ")", a + b), union(a, ")", a + b).replace(" ", ""), union(a, "]", a + b)),
        (rf"{a}^\circ", rf"{a}^{{\circ}}", rf"{other}^\circ"),
        (rf"{a}\%", rf"{a} \%", rf"{other}\%"),
        (rf"x^2 + {a}x + {b}", rf"x^2+{b}+{a}x", rf"x^2+{other}x+{b}"),
        (rf"(x+{a})(x-{b})", rf"x^2 {a - b:+d}x - {a * b}", rf"x^2 {a - b:+d}x - {a * b + 1}"),
        (rf"{a} + {b}i", rf"{a}+{b}i", rf"{a}-{b}i"),
        (rf"{a}, {a + b}", rf"{a + b}, {a}", rf"{a}, {a + b + 1}"),
        (matrix(a, b), matrix(a, b).replace(" ", ""), matrix(b, other)),
        (rf"{a} \text{{ cm}}", rf"{a}", rf"{other}"),
        (rf"\text{{({'ABCDE'[a % 5]})}}", "ABCDE"[a % 5], "ABCDE"[(a + 1) % 5]),
        (rf"y = {a}x + {b}", rf"y={a}x+{b}", rf"y={a}x-{b}"),
        (rf"{a}\frac{{1}}{{{b}}}", rf"\frac{{{a * b + 1}}}{{{b}}}", rf"\frac{{{a * b - 1}}}{{{b}}}"),
        (rf"\sin {a}^\circ", rf"\sin({a}^\circ)", rf"\sin({other}^\circ)"),
    ]  # fmt: skip
    return rng.choice(kinds)


def labelled_mix(count: int, seed: int, latex_share: float = 0.2) -> list[tuple[str, str, bool]]:
    """Distinct (answer, gold, equal) of the mix, half of them equal."""
    rng = random.Random(seed)
    rows: dict[Pair, bool] = {}
    while len(rows) < count:
        gold, right, wrong = latex(rng) if rng.random() < latex_share else whole_number(rng)
        equal = len(rows) % 2 == 0
        rows.setdefault((right if equal else wrong, gold), equal)
    return [(answer, gold, equal) for (answer, gold), equal in rows.items()]


def right_share(verdicts: Sequence[bool], truths: Sequence[bool]) -> str:
    """Agreement with labels, and which way the others err."""
    accepts = sum(v and not t for v, t in zip(verdicts, truths, strict=True))
    rejects = sum(t and not v for v, t in zip(verdicts, truths, strict=True))
    return f"{1 - (accepts + rejects) / len(truths):.2%} ({accepts} false accepts, {rejects} false rejects)"


def timed(compare: Callable[[Sequence[Pair]], list[bool]], pairs: Sequence[Pair]) -> tuple[list[bool], float]:
    """Verdicts and CPU seconds of this process and its workers."""
    started = cpu_seconds()
    verdicts = compare(pairs)
    return verdicts, cpu_seconds() - started


def processes() -> list[psutil.Process]:
    """This one and its workers."""
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def cpu_seconds() -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes())


def alone(pairs: Sequence[Pair]) -> list[bool]:
    """Each pair by math-verify with its defaults but for time limits, in this process."""
    from math_verify import parse, verify

    verdicts = []
    for pair in pairs:
        answer, gold = (parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in pair)
        verdicts.append(verify(gold, answer, timeout_seconds=None))
    return verdicts


def speed(options: argparse.Namespace) -> None:
    logging.disable(logging.CRITICAL)
    with LABELLED.open() as file:
        labelled = [json.loads(line) for line in file]
    own = [(row["answer"], row["gold"]) for row in labelled]
    with MathVerifier(1) as verifier:

        def ours(pairs: Sequence[Pair]) -> list[bool]:
            return [reason == "right" for reason in verifier.compare(pairs)]

        ours([(r"\sin 2x", r"2\sin x\cos x")])  # starts the worker
        alone([("1/2", "0.5")])
        mixes = {"mix": 0.2, "whole numbers": 0.0, "LaTeX": 1.0}
        for name, share in mixes.items():
            rows = labelled_mix(options.pairs if share else options.pairs // 2, options.seed, share)
            pairs, truths = [row[:2] for row in rows], [row[2] for row in rows]
            (mine, fast), (theirs, slow) = timed(ours, pairs), timed(alone, pairs)
            write(f"{name}: {len(pairs)} pairs, {slow / fast:.0f} times as fast\n")
            write(f"  ours {len(pairs) / fast:,.0f}/s, {right_share(mine, truths)}\n")
            write(f"  math-verify {len(pairs) / slow:,.0f}/s, {right_share(theirs, truths)}\n")
        for name, compare in (("ours", ours), ("math-verify", alone)):
            write(
                f"labelled pairs, {name}: {right_share(compare(own), [row['equal'] for row in labelled])}\n"
            )


HOSTILE = (
    "9**9**9", "9^{9^{9}}", "10^{10^{10}}", "99999!", "5!!!!!!", "(" * 1000, "(" * 1000 + "1" + ")" * 1000,
    "9" * 20_000, r"\frac{1}{" * 300 + "2" + "}" * 300, r"\sqrt{" * 300 + "2" + "}" * 300, "2^{1000000000}",
    r"\sum_{k=1}^{10^{10}} k", r"\prod_{k=1}^{100000} k", "(x+y+z)^{100000}", r"\binom{10^9}{10^8}",
    "x^{" * 200 + "2" + "}" * 200, "1e999999999", "{" * 2000, "[" * 1500, r"\left(" * 400, "1," * 50_000,
    r"\sqrt{1+" * 100 + "x" + "}" * 100, "0." + "1" * 10_000, r"\int_0^{10^{10}} e^{e^{e^x}} dx",
    r"\text{" * 500, "\ud800" * 100, "\x00" * 100, r"\sin(" * 200 + "1" + ")" * 200, r"e^{e^{e^{e^{e^{9}}}}}",
    "+".join(f"x_{{{n}}}^{{{n}}}" for n in range(300)), r"\pi^{\pi^{\pi^{\pi}}}",
    r"\log_{2}(" * 50 + "3" + ")" * 50,
    "-" * 100_000, r"\frac{9^{9999}}{7^{9999}}", r"\sum_{k=1}^{900} \sin(k^{900})",
    r"\lim_{n\to\infty} n!^{n!}",
    r"\int \frac{x^{9}+\sqrt{1+\sin x^{7}}}{\ln(x+e^{x})} dx", r"\det\begin{pmatrix}" + "1&" * 500,
)  # fmt: skip


def slow(number: int) -> str:
    """One of many mathematical answers that take SymPy long, each another one."""
    return (
        rf"\sum_{{k=1}}^{{\infty}} \frac{{1}}{{k^{{{number + 5}}}+{number}}}",
        rf"\int_0^1 \ln(1+x^{{{number + 5}}}) dx",
        rf"\sum_{{k=1}}^{{\infty}} \frac{{{number + 1}}}{{k^7+{number + 1}}}",
    )[number % 3]


def hostile(options: argparse.Namespace) -> None:
    rows = labelled_mix(BATCH, options.seed)
    clean = [row[:2] for row in rows]
    refused, slowed = list(clean), list(clean)
    places = random.Random(options.seed).sample(range(BATCH), BATCH // 100 + 1)
    for number, place in enumerate(places):
        refused[place] = (HOSTILE[number % len(HOSTILE)], clean[place][1])
        slowed[place] = (slow(number), "5")
    with MathVerifier(options.workers, options.time_limit_s) as verifier:
        verifier.compare([(r"\sin 2x", r"2\sin x\cos x")] * options.workers)
        seconds = {}
        batches = {"clean": clean, "too large": refused, "slow": slowed, "clean again": clean}
        for name, pairs in batches.items():
            started = time.perf_counter()
            reasons = verifier.compare(pairs)
            seconds[name] = time.perf_counter() - started
            limits = sum(reason not in ("right", "wrong") for reason in reasons)
            accepted = sum(reasons[place] == "right" for place in places) if pairs is not clean else 0
            write(f"{name}: {seconds[name]:.2f} s, {limits} over a limit, {accepted} hostile accepted\n")
    allowed = 2 * seconds["clean"] + options.time_limit_s
    write(f"hostile {max(seconds['too large'], seconds['slow']):.2f} s, allowed {allowed:.2f} s\n")


_COMMANDS = (
    "frac", "sqrt", "pi", "infty", "cup", "in", "pm", "le", "neq", "text", "left", "right", "sin", "log",
    "ln", "sum", "int", "binom", "begin", "end", "overline", "cdot", "times", "pmod", "mathbb", "circ",
    "boxed", "langle", "{", "}", ",", "!", "(", "[",
)  # fmt: skip
_SIGNS = "0123456789xyzieAB+-*/^_=<>!%$(){}[]|.,:;&'\" \\½π√−\ud800\x00"
_PIECES = (
    "10",
    "3.5",
    r"\frac{1}{2}",
    "x^2",
    " or ",
    " and ",
    r"\text{ cm}",
    *_SIGNS,
    *(f"\\{c}" for c in _COMMANDS),
)


def fuzzed(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """(answer, gold): random pieces, or a right answer with pieces deleted, doubled or put in."""
    rng = random.Random(seed)
    for _ in range(count):
        gold, right, _wrong = latex(rng)
        if rng.random() < 0.3:
            yield "".join(rng.choices(_PIECES, k=rng.randrange(1, 30))), gold
            continue
        signs = list(right)
        for _ in range(rng.randrange(1, 5)):
            place = rng.randrange(len(signs) + 1)
            signs[place : place + rng.randrange(3)] = rng.choices(_PIECES, k=rng.randrange(3))
        yield "".join(signs), gold


def fuzz(options: argparse.Namespace) -> None:
    started, slowest, accepted, limits, done = time.perf_counter(), 0.0, 0, 0, 0
    pairs = list(fuzzed(options.count, options.seed))
    for first in range(0, len(pairs), BATCH):
        batch = pairs[first : first + BATCH]
        begun = time.perf_counter()
        problems = [Problem("p", "task", "question", gold, "math") for _, gold in batch]
        verdicts = verify_batch([rf"\boxed{{{answer}}}" for answer, _ in batch], problems)
        slowest = max(slowest, time.perf_counter() - begun)
        accepted += sum(verdict.reward == 1 for verdict in verdicts)
        limits += sum(verdict.reason in ("time limit", "crashed", "error") for verdict in verdicts)
        done += len(batch)
        if first == 0 or done == len(pairs):
            own, *workers = (process.memory_info().rss / 2**20 for process in processes())
            write(f"after {done}: {own:.0f} MiB, workers {sum(workers):.0f} MiB\n")
    write(f"{done} answers in {time.perf_counter() - started:.1f} s, a batch at most {slowest:.1f} s\n")
    write(f"{accepted} accepted, {limits} over a limit or failed in a worker\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "hostile", "fuzz"))
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--time-limit-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    {"speed": speed, "hostile": hostile, "fuzz": fuzz}[options.what](options)


if __name__ == "__main__":
    main()
