"""Geometry of weight updates."""

from rlvr.diagnostics.sparsity import movable_fraction, update_sparsity

__all__ = ["movable_fraction", "update_sparsity"]
