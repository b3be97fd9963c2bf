"""Adaptor of rule draw_advantage_figures."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.advantage_study.files import AdvantageAnalysisFiles
from rlvr.advantage_study.methods import StudyMethod
from rlvr.config.build import build
from rlvr.figures.advantage import AdvantageFigureInputs, draw_advantage_figures

inputs = AdvantageFigureInputs(
    analysis=AdvantageAnalysisFiles.in_folder(Path(snakemake.input.findings).parent),
    methods=build(list[StudyMethod], snakemake.params.methods),
    rewards=list(snakemake.input.rewards),
    statistics=list(snakemake.input.statistics),
    estimators=snakemake.params.estimators,
    grpo_metrics=list(snakemake.input.grpo_metrics),
    grpo_validation=list(snakemake.input.grpo_validation),
    confidence=snakemake.params.confidence,
)
draw_advantage_figures(inputs, Path(snakemake.output.svg[0]).parent)
