"""Adaptor of rule draw_alignment_figures."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.arms import Experiment
from rlvr.config.build import build
from rlvr.figures.alignment import draw_alignment_figures

draw_alignment_figures(
    analysis=AlignmentAnalysisFiles.in_folder(Path(snakemake.input.findings).parent),
    experiments=build(list[Experiment], snakemake.params.experiments),
    settings=snakemake.params.settings,
    arms=snakemake.params.arms,
    metrics_files=list(snakemake.input.metrics),
    prompts=snakemake.params.prompts,
    categories_files=list(snakemake.input.categories),
    out_folder=Path(snakemake.output.svg[0]).parent,
)
