import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from markupsafe import escape
from page_structure import Page, check_page
from synthetic_study import CONFIG, TASKS, write_base, write_run

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.study import analyse_precision_study
from rlvr.figures.captions import FIGURES
from rlvr.figures.draw import draw_outcome_figures, draw_training_figures
from rlvr.files import read_json
from rlvr.report.page import PAGES, inline_svg
from rlvr.report.precision import ReportInputs, build_precision_report
from rlvr.report.tables import (
    prediction_notes,
    predictions_table,
)

CONFIGURATION = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())


@pytest.fixture(scope="module")
def report(analysed_study, tmp_path_factory):
    study, folder = analysed_study, tmp_path_factory.mktemp("report")
    draw_training_figures(study.metrics_files, study.labels, study.geometry_files, study.overlap_file, folder)
    draw_outcome_figures(study.analysis, CONFIG, folder)
    inputs = ReportInputs(
        study.analysis, folder, study.manifest, study.provenance_files, study.labels, study.geometry_files,
        study.overlap_file,
    )  # fmt: skip
    build_precision_report(inputs, CONFIGURATION, folder / "report.html")
    return inputs, (folder / "report.html").read_text()


def test_page_is_well_formed_needs_no_network_and_serves_every_reader(report):
    others = {path for study, path in PAGES.items() if study != "precision"}
    check_page(Path(report[0].figures) / "report.html", FIGURES, others)


def test_every_whole_claim_has_a_sentence_without_statistics(report):
    claims = read_json(report[0].analysis.hypotheses)
    told = re.findall(r'<p class="plainly">([^<]+)</p>', report[1])
    assert len(told) == sum(claim["headline"] for claim in claims) == 12
    assert not any(re.search(r"\bp\b|interval|ratio|variance|KL|TOST|ΔJ|\d %", text) for text in told)


def test_verdicts_come_first_with_their_numbers(report):
    text = re.sub(r"\s+", " ", " ".join(Page(report[1]).text))
    order = [
        text.index(word) for word in ("bf16 against fp32", "Does each arm gain", "Figure 1.", "Data sets")
    ]
    assert order == sorted(order)
    assert "differs from that of fp32 by −8.9 points" in text
    for identity in ("H1.", "H2.", "H3."):
        assert text.count(identity) == 2  # one for each treatment arm


def test_scale_factors_data_and_provenance_are_told(report):
    text = re.sub(r"\s+", " ", " ".join(Page(report[1]).text))
    steps = CONFIGURATION["precision"]["training"]["steps"]
    assert "186,944 weights" in text and f"{steps} steps" in text
    assert "Nothing here carries over to larger models by itself" in text
    assert "bf16 differs from fp32 in master weights" in text and "determinism and dropout at once" in text
    assert "bf16 noted this" in text
    assert "ab" * 32 in text and "1,850" in text
    assert "bf1651".ljust(64, "0") in text  # weight hash of bf16 seed 5
    assert "learning_rate: 5.0e-05" in text


def test_every_figure_is_inline(report):
    assert report[1].count("<svg") == len(FIGURES)


def test_same_inputs_same_page(report):
    again = Path(report[0].figures) / "again.html"
    build_precision_report(report[0], CONFIGURATION, again)
    assert again.read_text() == report[1]


def test_near_zero_scores_are_said_in_words(report, tmp_path):
    zeros = (0.0,) * len(TASKS)
    base = write_base(tmp_path, accuracies=zeros)
    runs = [
        write_run(tmp_path, (arm, s, 1), zeros, zeros, base=zeros) for arm in ("fp32", "bf16") for s in (1, 2)
    ]
    files = AnalysisFiles.in_folder(tmp_path)
    analyse_precision_study(CONFIG, "add", [base], runs, files)
    inputs = replace(report[0], analysis=files, provenance=(), labels=(), geometry=())
    build_precision_report(inputs, CONFIGURATION, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Accuracy on add is near zero everywhere (base 0.0 %, best run 0.0 %)" in text
    assert "No run was trained here" in text


def test_names_are_escaped(report, tmp_path):
    build_precision_report(report[0], CONFIGURATION | {"name": "<b>&"}, tmp_path / "report.html")
    assert "<h1>&lt;b&gt;&amp;:" in (tmp_path / "report.html").read_text()


def test_strata_stand_in_the_report(report):
    assert "ΔJ in points by stratum" in report[1] and "<td>no_carry</td>" in report[1]


def test_runs_left_out_are_named_first(report, tmp_path):
    shutil.copytree(Path(report[0].analysis.runs).parent, tmp_path / "analysis")
    files = AnalysisFiles.in_folder(tmp_path / "analysis")
    lost = [
        ("bf16", 6, 1, "loss of step 7 is not a finite number"),
        ("bf16_sr", 1, 1, "it was not evaluated"),
    ]
    pd.DataFrame(lost, columns=["arm", "seed", "rep", "reason"]).to_csv(files.missing, index=False)
    build_precision_report(replace(report[0], analysis=files), CONFIGURATION, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Left out of every number here: runs of bf16, seed 6." in text
    assert "Left out of every number here: all runs of bf16_sr, seed 1." in text
    assert "<td>loss of step 7 is not a finite number</td>" in text
    assert "Left out of every number" not in report[1] and "Runs left out" not in report[1]


def test_each_prediction_says_how_it_was_found(report):
    predictions = pd.read_csv(report[0].analysis.predictions)
    notes, table = prediction_notes(predictions), predictions_table(predictions)
    assert [notes[int(row[-1]) - 1] for row in table.rows] == list(predictions["how"])
    assert len(notes) == len(set(notes))
    assert all(f"<li>{escape(note)}</li>" in report[1] for note in notes)


def test_inline_svg_has_identifiers_of_its_own():
    parts = '<path id="a"/><use xlink:href="#a"/><g clip-path="url(#a)"/>'
    svg = f'<?xml version="1.0"?><svg xmlns="http://x">{parts}</svg>'
    inline = inline_svg(svg, "sparsity", "Weights")
    assert inline.startswith('<svg role="img"') and "http" not in inline
    assert 'id="sparsity-a"' in inline and '"#sparsity-a"' in inline and "url(#sparsity-a)" in inline
