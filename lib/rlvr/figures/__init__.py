"""Figures of the studies, as SVG and PDF."""

from rlvr.figures.draw import FIGURES, draw_precision_figures

__all__ = ["FIGURES", "draw_precision_figures"]
