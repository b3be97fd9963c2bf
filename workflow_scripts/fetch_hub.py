"""Adaptor of rule fetch_hub."""

import os

from rlvr.joblog import log_to

screen = os.fdopen(os.dup(1), "w")
log_to(snakemake.log[0])

from rlvr.config.build import build
from rlvr.config.places import HubNeed
from rlvr.fetch import fetch

fetch(build(list[HubNeed], snakemake.params.needs), snakemake.output.record, screen)
