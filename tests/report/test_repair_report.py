import csv
import json
import re

import pytest
from page_structure import check_page

from rlvr.figures.repair import draw_repair_figures
from rlvr.figures.repair_captions import REPAIR_CAPTIONS
from rlvr.report.repair import RepairReportInputs, build_repair_report, plain_sentence, solver_sentence

SETTINGS = {"server": "", "seed": 0, "turns": 3, "max_tokens": 64, "temperature": 1.0, "time_limit_s": 4.0}
SPREAD = {"count": 1, "min": 0.43, "q1": 0.43, "median": 0.43, "q3": 0.43, "max": 0.43}
ATTEMPT = {
    "number": 0,
    "label": "untouched",
    "passed": False,
    "kind": "untouched",
    "feedback": "off by <b>43 %",
    "variance_errors": {"0.3": 0.43},
    "sha256": "0",
    "turns": 1,
}
RESULTS = {
    "solver": {"name": "mutations", "model": "", **SETTINGS},
    "confidence": 0.95,
    "target": [0.1, 0.4],
    "runs": 15,
    "passed": 4,
    "rate": 4 / 15,
    "low": 0.109,
    "high": 0.52,
    "verdict": "undecided",
    "failures": {"untouched": 11},
    "variance_errors": {rate: SPREAD for rate in ("0.3", "0.5", "0.7")},
    "attempts": [ATTEMPT],
}
KNOWN = [
    [
        "name",
        "group",
        "what",
        "must_pass",
        "passed",
        "kind",
        "as_expected",
        "error_30",
        "error_50",
        "error_70",
    ],
    ["sqrt", "solution", "1 / np.sqrt(keep_prob)", True, True, "", True, 0.001, 0.001, 0.001],
    ["true", "forgery", "returns True", False, False, "output", True, "", "", ""],
]
VARIANCE = [
    ["scale", "mean", "rate", "theory", "measured"],
    ["1/keep", 0.0, 0.5, 1.0, 1.0024],
    ["1/sqrt(keep)", 0.0, 0.5, 0.0, 0.0009],
]


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def build(folder, known):
    (folder / "results.json").write_text(json.dumps(RESULTS))
    (folder / "provenance.json").write_text(json.dumps({"isolation": {"rung": "namespaces", "strong": True}}))
    variance = write(folder / "variance.csv", VARIANCE)
    draw_repair_figures(folder / "results.json", variance, folder)
    inputs = RepairReportInputs(
        folder / "results.json",
        write(folder / "known.csv", known),
        variance,
        folder / "provenance.json",
        folder,
    )
    build_repair_report(inputs, {"name": "small", "repair": {"runs": 15}}, folder / "report.html")
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return build(tmp_path_factory.mktemp("repair"), KNOWN)


def test_the_page_says_rate_interval_and_whose_it_is(page):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "4 of 15 attempts passed: 26.7 %, 95 % interval 10.9 to 52.0 % (Wilson)" in text
    assert "undecided" in text and "seeded edits of the file without any model" in text
    assert "right about 2 of 2 submissions" in text and "cannot be trusted" not in text
    assert "+100.0 %" in text and "+100.2 %" in text  # theory and measurement
    assert "isolation.rung" in text and "namespaces" in text


def test_the_page_needs_no_network_serves_every_reader_and_links_to_the_other_studies(tmp_path):
    build(tmp_path, KNOWN)
    others = {f"../{path}" for path in ("report.html", "alignment/report.html", "advantage/report.html")}
    check_page(tmp_path / "report.html", REPAIR_CAPTIONS, others)


@pytest.mark.parametrize(
    ("verdict", "rate", "told"),
    [
        ("inside", 0.2, "as hard for this solver as it is meant"),
        ("outside", 0.05, "harder for this solver"),
        ("outside", 0.9, "easier for this solver"),
        ("undecided", 0.3, "cannot tell"),
    ],
)
def test_the_verdict_has_a_sentence_without_statistics(verdict, rate, told):
    assert told in plain_sentence(RESULTS | {"verdict": verdict, "rate": rate})


def test_words_of_a_submission_are_text(page):
    assert "off by &lt;b&gt;43 %" in page


def test_a_wrong_verdict_is_a_warning(tmp_path):
    wrong = [KNOWN[0], KNOWN[1], ["true", "forgery", "returns True", False, True, "", False, "", "", ""]]
    page = build(tmp_path, wrong)
    assert "The grader is wrong about true: its rewards cannot be trusted." in page
    assert "right about 1 of 2" in page


def test_a_submission_may_be_called_nan(tmp_path):
    called = ["nan", "wrong", "divides by zero", False, True, "", False, "", "", ""]
    page = build(tmp_path, [*KNOWN, called])
    assert "The grader is wrong about nan: its rewards cannot be trusted." in page
    assert '<th scope="row">nan</th><td>wrong</td>' in page


def test_a_model_is_named():
    solver = {"name": "openai-compatible", "model": "m-7b", **SETTINGS, "server": "localhost:8000"}
    assert "openai-compatible, model m-7b at localhost:8000, temperature 1" in solver_sentence(solver)
