"""Sampling evaluation."""

from rlvr.evaluation.estimators import pass_at_k

__all__ = ["pass_at_k"]
