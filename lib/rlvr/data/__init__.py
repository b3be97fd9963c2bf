"""Problem records and where they come from."""

from rlvr.data.problem import Problem

__all__ = ["Problem"]
