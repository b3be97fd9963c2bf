"""Adaptor of rule build_alignment_report."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from pathlib import Path

from rlvr.alignment.arms import Experiment
from rlvr.config.build import build
from rlvr.report.alignment import AlignmentReportInputs, build_alignment_report

inputs = AlignmentReportInputs(
    analysis=Path(snakemake.input.findings).parent,
    figures=Path(snakemake.input.figures[0]).parent,
    manifest=snakemake.input.manifest,
    arms=snakemake.params.arms,
    generations=snakemake.input.generations,
    provenance=snakemake.input.provenance,
    prompts=snakemake.params.prompts,
    categories=snakemake.input.categories,
    failures=snakemake.input.failures,
    experiments=build(list[Experiment], snakemake.params.experiments),
)
build_alignment_report(inputs, snakemake.params.config, snakemake.output[0])
