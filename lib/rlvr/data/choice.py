"""The choice of some problems of a set."""

import hashlib
from collections.abc import Sequence

from rlvr.data.problem import Problem


def choose_problems(problems: Sequence[Problem], rows: int | None, seed: int) -> list[Problem]:
    """At most `rows` problems (all, if None), chosen by seed and id alone and kept in their order.

    Every policy of a study gets the same ones, and adding rows to a task moves few of them.
    """
    if rows is None or rows >= len(problems):
        return list(problems)
    chosen = {p.id for p in sorted(problems, key=lambda p: _rank(seed, p.id))[:rows]}
    return [problem for problem in problems if problem.id in chosen]


def _rank(seed: int, problem_id: str) -> bytes:
    return hashlib.blake2b(repr((seed, problem_id)).encode(), digest_size=8).digest()
