"""Judging responses: exact text, multiple choice and mathematical answers."""

from rlvr.verify.registry import VERIFIERS, Judge
from rlvr.verify.verdict import Response, Verdict

__all__ = ["VERIFIERS", "Judge", "Response", "Verdict"]
