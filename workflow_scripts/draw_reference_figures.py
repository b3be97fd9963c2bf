"""Adaptor of rule draw_reference_figures."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.advantage_study.methods import StudyMethod
from rlvr.config.build import build
from rlvr.figures.advantage import draw_reference_figures
from rlvr.figures.advantage_data import ReferenceFigureInputs

inputs = ReferenceFigureInputs(
    methods=build(list[StudyMethod], snakemake.params.methods),
    scores=list(snakemake.input.scores),
    rewards=list(snakemake.input.rewards),
    statistics=list(snakemake.input.statistics),
    confidence=snakemake.params.confidence,
)
draw_reference_figures(inputs, Path(snakemake.output.svg[0]).parent)
