import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml
from synthetic_study import CONFIG, TASKS, write_base, write_provenance, write_run

from rlvr.analysis.files import AnalysisFiles
from rlvr.analysis.study import analyse_precision_study
from rlvr.figures.captions import FIGURES
from rlvr.figures.draw import draw_precision_figures
from rlvr.files import read_json
from rlvr.report.page import PAGES, inline_svg
from rlvr.report.precision import ReportInputs, build_precision_report
from rlvr.report.provenance import prompts_table
from rlvr.report.tables import claims_table, gains_table, strata_table
from rlvr.report.words import (
    arm_factors,
    elsewhere_sentences,
    factor_sentences,
    factors_table,
    inert_sentences,
    same_weights_sentences,
)

CONFIGURATION = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and collects attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [value for name, value in attrs.items() if name in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def report(analysed_study, tmp_path_factory):
    study, folder = analysed_study, tmp_path_factory.mktemp("report")
    draw_precision_figures(study.analysis, CONFIG, study.metrics_files, study.labels, folder)
    inputs = ReportInputs(study.analysis, folder, study.manifest, study.provenance_files, study.labels)
    build_precision_report(inputs, CONFIGURATION, folder / "report.html")
    return inputs, (folder / "report.html").read_text()


def test_page_is_well_formed_and_needs_no_network(report):
    page = Page(report[1])
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    others = {path for study, path in PAGES.items() if study != "precision"}
    assert others <= set(page.links)
    anchors = set(page.links) - others
    assert all(link.startswith("#") for link in anchors)
    assert {link[1:] for link in anchors} <= set(page.ids)
    assert not re.search(r"https?://|<script|<link|@import|url\((?!#)", report[1])


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


def test_same_inputs_same_page(report, tmp_path):
    build_precision_report(report[0], CONFIGURATION, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == report[1]


def test_near_zero_scores_are_said_in_words(report, tmp_path):
    zeros = (0.0,) * len(TASKS)
    base = write_base(tmp_path, accuracies=zeros)
    runs = [
        write_run(tmp_path, (arm, s, 1), zeros, zeros, base=zeros) for arm in ("fp32", "bf16") for s in (1, 2)
    ]
    files = AnalysisFiles.in_folder(tmp_path)
    analyse_precision_study(CONFIG, "add", [base], runs, files)
    inputs = ReportInputs(files, report[0].figures, report[0].manifest, (), ())
    build_precision_report(inputs, CONFIGURATION, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Accuracy on add is near zero everywhere (base 0.0 %, best run 0.0 %)" in text
    assert "No run was trained here" in text


def test_names_are_escaped(report, tmp_path):
    build_precision_report(report[0], CONFIGURATION | {"name": "<b>&"}, tmp_path / "report.html")
    assert "<h1>&lt;b&gt;&amp;:" in (tmp_path / "report.html").read_text()


def provenance(folder, arms, device="NVIDIA H100", dropout_rate=0.1):
    """Records and labels of one run for each arm."""
    labels = [(arm, 1, 1) for arm in arms]
    files = [write_provenance(folder / f"{label[0]}.json", label, dropout_rate) for label in labels]
    return [read_json(file) | {"device": device} for file in files], labels


def test_factors(tmp_path):
    factors = arm_factors(*provenance(tmp_path, ["fp32", "bf16", "bf16_mixed"]))
    assert factor_sentences(["fp32", "bf16_mixed"], "fp32", factors) == [
        "bf16_mixed differs from fp32 in compute, rollout weights and determinism at once; this "
        "comparison alone cannot say which of them acts."
    ]
    assert "trained elsewhere" in factor_sentences(["fp32", "downloaded"], "fp32", factors)[0]
    assert ("dropout", "none", "standard 0.1", "none") in factors_table(factors).rows
    assert "chance" in factor_sentences(["fp32", "copy"], "fp32", factors | {"copy": factors["fp32"]})[0]


def test_a_mode_name_of_an_arm_trained_elsewhere_says_nothing_of_its_factors(tmp_path):
    factors = arm_factors(*provenance(tmp_path, ["fp32"]))
    assert "trained elsewhere" in factor_sentences(["fp32", "bf16"], "fp32", factors)[0]
    runs = pd.DataFrame({"arm": ["fp32", "fp32", "bf16"], "seed": [1, 7, 1], "rep": 1})
    assert elsewhere_sentences(runs, [("fp32", 1, 1)]) == [
        "fp32 holds runs trained elsewhere too (seed 7); their factors are not known here."
    ]


def test_determinism_is_no_factor_on_a_cpu(tmp_path):
    factors = arm_factors(*provenance(tmp_path, ["fp32", "bf16"], device="cpu"))
    assert "determinism" not in [row[0] for row in factors_table(factors).rows]


def test_dropout_that_is_off_is_no_factor_and_is_flagged(tmp_path):
    records, labels = provenance(tmp_path, ["fp32", "bf16"], dropout_rate=0.0)
    assert "dropout" not in [row[0] for row in factors_table(arm_factors(records, labels)).rows]
    assert inert_sentences(records) == [
        "bf16 was trained with a dropout rate of 0 (precision.dropout_rate): it is bf16 without dropout, "
        "and dropout cannot be a cause of any difference."
    ]
    assert inert_sentences(provenance(tmp_path, ["fp32", "bf16"])[0]) == []


def test_arms_that_ended_in_the_same_weights_are_flagged():
    runs = pd.DataFrame(
        [("fp32", 1, "a"), ("fp32", 2, "b"), ("bf16", 1, "a"), ("bf16", 2, "b"), ("mixed", 1, "a"),
         ("mixed", 2, "c")], columns=["arm", "seed", "weight_hash"],
    ).assign(rep=1)  # fmt: skip
    found = same_weights_sentences(runs)
    assert len(found) == 1 and found[0].startswith("fp32 and bf16 ended in identical weights")


def test_prompts_left_out_are_counted(tmp_path):
    records, labels = provenance(tmp_path, ["fp32", "bf16"])
    assert prompts_table(records, labels).rows == ()
    records[1]["prompts"] = {"used": 1388, "too_long": 12, "room": 26}
    assert prompts_table(records, labels).rows == (("bf16", "1,388", "12", "26"),)


def test_strata_apart(analysed_study):
    runs = pd.read_csv(analysed_study.analysis.runs)
    table = strata_table(runs)
    assert table.head == ("task", "stratum", "base, %", "fp32", "bf16", "bf16_mixed")
    assert [row[:3] for row in table.rows] == [("add", "carry", "51.6"), ("add", "no_carry", "71.8")]
    own = runs[(runs["arm"] == "fp32") & (runs["task"] == "add")]
    assert table.rows[0][3] == f"{100 * (own['accuracy'] ** 2 - own['base_accuracy'] ** 2).mean():+.1f}"
    assert table.rows[1][3] == "+14.5"
    assert strata_table(runs[runs["task"] != "add"]).rows == ()


def test_strata_stand_in_the_report(report):
    assert "ΔJ in points by stratum" in report[1] and "<td>no_carry</td>" in report[1]


def test_gain_without_the_error_of_the_base_is_marked_where_it_is_missing(tmp_path):
    base = write_base(tmp_path, without_error=("sub",))
    runs = [write_run(tmp_path, ("fp32", s, 1), (s * 1.0,) * len(TASKS), (1.0,) * len(TASKS)) for s in (1, 2)]
    files = AnalysisFiles.in_folder(tmp_path)
    analyse_precision_study(CONFIG, "add", [base], runs, files)
    table = gains_table(pd.read_csv(files.arms), pd.read_csv(files.runs), 0.95)
    cells = {row[0]: row[2] for row in table.rows}
    assert cells["sub"] == "+1.5 (0.7) [−4.9, +7.9]*"
    assert not cells["max"].endswith("*") and "* over seeds only" in table.caption


def test_detectable_ratio_of_a_pooled_test_is_said_to_be_of_one_task(analysed_study):
    rows = claims_table(read_json(analysed_study.analysis.hypotheses)).rows
    pooled = [row[9] for row in rows if row[0] == "H2" and row[3] == "pooled"]
    assert pooled and all(cell.endswith("on a single task") for cell in pooled)


def test_inline_svg_has_identifiers_of_its_own():
    parts = '<path id="a"/><use xlink:href="#a"/><g clip-path="url(#a)"/>'
    svg = f'<?xml version="1.0"?><svg xmlns="http://x">{parts}</svg>'
    inline = inline_svg(svg, "sparsity", "Weights")
    assert inline.startswith('<svg role="img"') and "http" not in inline
    assert 'id="sparsity-a"' in inline and '"#sparsity-a"' in inline and "url(#sparsity-a)" in inline
