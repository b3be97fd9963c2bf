"""Figures of the studies, as SVG and PDF; drawn by `rlvr.figures.draw`."""

from rlvr.figures.captions import CAPTIONS, FIGURES

__all__ = ["CAPTIONS", "FIGURES"]
