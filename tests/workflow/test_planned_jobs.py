"""The planner's counts of jobs beside those of a dry run."""

import re
from collections import Counter

import pytest
from project_copy import empty_data

from rlvr.config.load import load_config
from rlvr.plan.jobs import count_jobs

TARGETS = {"all", "precision", "alignment", "advantage", "repair"}
STUDY = f"""\
precision:
  modes: [fp32, bf16_sr]
  seeds: 2
  repeats: 3
  perfectible: {{enabled: true}}
  external_policies: [{{name: theirs, path: some-one/theirs, revision: {40 * "a"}, arm: elsewhere, seed: 1}}]
"""


@pytest.mark.parametrize("name", ["config.yaml", "qwen2.5-math-7b.yaml", "qwen2.5-math-1.5b.yaml", "study"])
def test_as_many_jobs_of_each_rule_with_as_many_gpus(project, tmp_path, name):
    path = project.folder / ("config.yaml" if name == "config.yaml" else f"config/{name}")
    if name == "study":
        path = tmp_path / "study.yaml"
        path.write_text(STUDY)
    config = load_config(path)
    empty_data(config, tmp_path)
    override = f"data_root={tmp_path}"
    dry_run = project.snakemake("-n", "--configfile", str(path), "--config", override)
    assert dry_run.returncode == 0, dry_run.stdout
    jobs = re.findall(
        r"^(?:local)?rule (\w+):.*?resources: [^\n]*\bgpu=(\d+)", dry_run.stdout, re.MULTILINE | re.DOTALL
    )
    found = Counter((rule, int(gpus)) for rule, gpus in jobs if rule not in TARGETS)
    planned = Counter({(one.rule, one.gpus): one.count for one in count_jobs(config)})
    assert planned == found
    table = project.planned("--configfile", str(path), "--config", override)
    assert Counter({one.rule: one.count for one in count_jobs(config)}) == Counter(
        {rule: count for rule, count in table.items() if rule not in TARGETS}
    )
