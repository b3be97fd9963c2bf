"""Each fault at a moment that a seed draws; `bench/faults.py` draws many."""

import random

import pytest
from fault_bed import Bed
from job_faults import JOB_FAULTS
from snakemake_faults import SNAKEMAKE_FAULTS

FAULTS = [*JOB_FAULTS, *(pytest.param(fault, marks=pytest.mark.slow) for fault in SNAKEMAKE_FAULTS)]


@pytest.fixture(scope="module")
def bed(small_base, tmp_path_factory):
    return Bed(tmp_path_factory.mktemp("bed"), small_base)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_ends_as_demanded(bed, fault):
    if why_not := fault.why_not(bed):
        pytest.skip(why_not)
    assert fault.try_it(bed, random.Random(fault.name)).said
