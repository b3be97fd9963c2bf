import csv
import re
from pathlib import Path

import pytest
import yaml
from synthetic_study import METRICS

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.fixture(scope="module")
def columns(small_base, tmp_path_factory):
    """The columns that a run writes."""
    from tiny_run import make_files, make_job  # imports torch, which the other tests do not need

    from rlvr.training.run import train_policy

    out = tmp_path_factory.mktemp("run")
    train_policy(make_job(steps=1, snapshot_steps=[]), make_files(small_base, out))
    with open(out / "metrics.csv", newline="") as file:
        return next(csv.reader(file))


def test_every_column_of_metrics_csv_has_a_row_and_no_other_has(columns):
    section = (
        (ROOT / "docs" / "science.md").read_text().split("### Columns of `metrics.csv`")[1].split("\n## ")[0]
    )
    documented = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert sorted(documented) == sorted(columns)


def test_the_made_up_study_has_the_columns_of_a_run(columns):
    assert sorted(METRICS) == sorted(columns)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_a_file(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    files = [
        link.split("#")[0] for link in links if not re.match(r"[a-z]+:", link) and not link.startswith("#")
    ]
    assert [link for link in files if not (page.parent / link).exists()] == []


def test_the_index_has_every_page_of_the_docs_once():
    index = (ROOT / "docs" / "README.md").read_text()
    listed = re.findall(r"^- \[([\w-]+\.md)\]\(([\w-]+\.md)\): \S", index, flags=re.MULTILINE)
    pages = sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md")
    assert sorted(target for _, target in listed) == pages
    assert all(name == target for name, target in listed)


def test_contributing_names_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:lib|tests|rules|config|workflow_scripts|docs|report)/[\w./-]+)`", text))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_workflow_catalog_has_the_keys_that_it_reads():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert all(isinstance(value, bool) for value in deployment.values())
