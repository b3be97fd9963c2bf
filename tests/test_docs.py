import csv
import re
from pathlib import Path

import pytest
from synthetic_study import METRICS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_a_file(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    files = [
        link.split("#")[0] for link in links if not re.match(r"[a-z]+:", link) and not link.startswith("#")
    ]
    assert [link for link in files if not (page.parent / link).exists()] == []
