"""Adaptor of rule prepare_alignment_data."""

from rlvr.joblog import log_to

log_to(snakemake.log[0])

from rlvr.alignment.data import AlignmentDataFiles, prepare_alignment_data
from rlvr.config.alignment import AlignmentDataConfig, PromptConfig
from rlvr.config.build import build
from rlvr.config.verification import VerificationConfig

prepare_alignment_data(
    config=build(AlignmentDataConfig, snakemake.params.data),
    prompt=build(PromptConfig, snakemake.params.prompt),
    verification=build(VerificationConfig, snakemake.params.verification),
    data_root=snakemake.params.data_root,
    files=AlignmentDataFiles(**snakemake.output),
    verification_workers=snakemake.resources.verification_workers,
)
