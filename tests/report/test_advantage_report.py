"""The page of a made-up advantage study."""

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from page_structure import check_page
from synthetic_advantage import ESTIMATORS, METHODS, write_advantage_study, write_scores

from rlvr.config.schema import fill_defaults, read_schema
from rlvr.figures.advantage_captions import ADVANTAGE_CAPTIONS
from rlvr.files import read_json
from rlvr.report.advantage import AdvantageReportInputs, build_advantage_report

CAPTIONS = Path(__file__).parents[2] / "report"


def build(study):
    inputs = AdvantageReportInputs(
        study.folder / "analysis", study.folder / "figures", ESTIMATORS, study.grpo("provenance.json")
    )
    section = fill_defaults({}, read_schema())["advantage"]
    build_advantage_report(inputs, {"name": "made-up", "advantage": section}, study.folder / "report.html")
    return (study.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = write_advantage_study(tmp_path_factory.mktemp("advantage"))
    study.analyse()
    study.draw(study.folder / "figures")
    return study


@pytest.fixture(scope="module")
def page(study):
    return build(study)


def plain(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_every_finding_is_on_the_page(study, page):
    text = plain(page)
    for finding in read_json(study.analysis.findings):
        assert all(sentence in text for sentence in finding["sentences"]), finding["group"]


def test_sections_stand_in_order_and_can_be_reached(page):
    sections = re.findall(r'<section id="([\w-]+)">', page)
    assert sections == [
        "question", "findings", "figures", "grpo", "methods", "comparisons", "computed", "files",
        "configuration", "provenance",
    ]  # fmt: skip
    assert [name for name in re.findall(r'href="#([\w-]+)"', page) if "-" not in name] == sections


def test_figures_are_numbered_through_with_captions(page):
    numbers = [int(number) for number in re.findall(r"<b>Figure (\d+)\.", page)]
    assert numbers == list(range(1, len(ADVANTAGE_CAPTIONS) + 1))
    assert all(
        html.escape(text, quote=False).replace("'", "&#39;") in page
        for _, text in ADVANTAGE_CAPTIONS.values()
    )


def test_tables_have_every_method_run_and_comparison(study, page):
    for method in METHODS:
        assert f'<th scope="row">{method.name}</th>' in page
    comparisons = pd.concat(map(pd.read_csv, (study.analysis.comparisons, study.analysis.grpo_comparisons)))
    for verdict, rows in comparisons.groupby("verdict"):
        assert page.count(f"<td>{verdict}</td>") == len(rows)
    row = pd.read_csv(study.analysis.methods).set_index("method").loc["buffer"]
    interval = f"{row.score_low:.2f} to {row.score_high:.2f}".replace("-", "−").replace(
        " ", "\N{NO-BREAK SPACE}"
    )
    assert f"<td>{row.score_mean:.2f}".replace("-", "−") in page and f"<td>{interval}</td>" in page


def test_notes_have_a_column_only_where_there_are_some(study, page):
    assert '<th scope="col">note</th>' not in page
    path = study.folder / "reference" / "ema-0.5" / "scores.csv"
    before = path.read_text()
    write_scores(path, {1: -5.0, 2: -6.0, 3: -7.0})
    try:
        study.analyse()
        text = build(study)
    finally:
        path.write_text(before)
        study.analyse()
        build(study)
    assert "<td>no finite number of seed 4</td>" in text and '<th scope="col">note</th>' in text


def test_config_provenance_and_places_of_files_are_told(page):
    assert "buffer_sizes:" in page and "cd" * 32 in page
    assert "results/made-up/advantage/reference/{method}/statistics.npz" in page
    for estimator in ESTIMATORS:
        assert f"<td>{estimator}</td>" in page


def test_the_page_stands_alone_serves_every_reader_and_leads_to_the_others(study, page):
    others = {f"../{path}" for path in ("report.html", "alignment/report.html", "repair/report.html")}
    check_page(study.folder / "report.html", ADVANTAGE_CAPTIONS, others)
    assert all(f'href="{link}"' in page for link in others)


def test_verdicts_are_told_in_plain_words(study, page):
    compared = pd.concat(map(pd.read_csv, (study.analysis.comparisons, study.analysis.grpo_comparisons)))
    for verdict in compared["verdict"].unique():
        assert f"<li><b>{verdict}</b>: " in page


def test_figures_tables_and_page_have_captions_in_the_workflows_report():
    names = [*ADVANTAGE_CAPTIONS, "advantage_report", "advantage_methods"]
    for name in names:
        assert "``rlvr." in (CAPTIONS / f"{name}.rst").read_text()
