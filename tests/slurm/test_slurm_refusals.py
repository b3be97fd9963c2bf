"""What SLURM refuses is said in plain words, and nothing is left behind."""

import pytest
from slurm_cluster import jobs

BASE = "results/refused/base/policy"
SUBMIT = (
    *(BASE, "--profile", "profiles/slurm", "--configfile", "config/tiny.yaml", "--config", "name=refused"),
    *("--retries", "0", "--slurm-init-seconds-before-status-checks", "2"),
)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("slurm_partition=nowhere", "invalid partition specified: nowhere"),
        ("gpu=64", "Requested node configuration is not available"),
        ("runtime=14400", "Requested time limit is invalid"),
        ("mem_mb=900000000", "Memory specification can not be satisfied"),
    ],
)
def test_what_the_cluster_does_not_have_is_an_error_at_submission(project, asked, said):
    run = project.snakemake(*SUBMIT, "--set-resources", f"train_base_policy:{asked}")
    assert run.returncode != 0
    assert "SLURM sbatch failed" in run.stdout
    assert said in run.stdout
    assert not jobs("train_base_policy", "PENDING,RUNNING")
    assert not (project.folder / BASE).exists()
