"""Figures and page of a made-up alignment study."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from page_structure import check_page
from synthetic_arms import alignment_section, analyse, write_synthetic_study

from rlvr.alignment.arms import METHODS, Experiment
from rlvr.figures.alignment import draw_alignment_figures
from rlvr.figures.alignment_captions import ALIGNMENT_CAPTIONS
from rlvr.files import read_json, write_json, write_jsonl
from rlvr.report.alignment import GROUPS, AlignmentReportInputs, build_alignment_report

HOSTILE = "<script>alert(1)</script></think> <answer>12</answer>"
# An experiment that no group names, as a config may have.
OWN = Experiment(
    "grpo", "own", "Rates again", "A name of its own.", ("default", "use_std_normalization=false")
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Folder, experiments, arms and analysis of a study with figures."""
    folder = tmp_path_factory.mktemp("alignment")
    experiments = [*write_synthetic_study(folder), OWN]
    analysis = analyse(folder, experiments)
    arms = list(dict.fromkeys((one.method, arm) for one in experiments for arm in one.arms))
    section = alignment_section()
    draw_alignment_figures(
        analysis,
        experiments,
        {method: section[method]["settings"] for method in METHODS},
        arms,
        [folder / method / arm / "metrics.csv" for method, arm in arms],
        list(section["prompts"]),
        [folder / "zero_shot" / prompt / "categories.csv" for prompt in section["prompts"]],
        folder / "figures",
    )
    return folder, experiments, arms, analysis


@pytest.fixture(scope="module")
def inputs(study):
    folder, experiments, arms, _ = study
    section = alignment_section()
    generation = {"seed": 1, "prompt": "1+1=<think>", "response": HOSTILE, "ground_truth": "2"}
    generation |= {"format_reward": 1.0, "answer_reward": 0.0, "reward": 0.0, "entropy": None, "length": 9}
    for method, arm in arms:
        rows = [generation | {"step": step} for step in (0, 4)]
        write_jsonl(folder / method / arm / "generations.jsonl.gz", rows)
    facts = {"rows": 3, "rows_read": 4, "overlap_dropped": 1, "verifier": "r1_zero", "sha256": "ab" * 32}
    write_json(folder / "manifest.json", {"sft": facts | {"correct": 2}, "train": facts})
    zero_shot = [folder / "zero_shot" / prompt for prompt in section["prompts"]]
    provenance = [folder / method / arm / "provenance.json" for method, arm in arms]
    for path in provenance:
        record = read_json(path)
        runs = [run | {"weight_hash": "cd" * 32} for run in record["runs"]]
        write_json(path, record | {"runs": runs})
    return AlignmentReportInputs(
        analysis=folder / "analysis",
        figures=folder / "figures",
        manifest=folder / "manifest.json",
        arms=arms,
        generations=[folder / method / arm / "generations.jsonl.gz" for method, arm in arms],
        provenance=provenance,
        prompts=list(section["prompts"]),
        categories=[path / "categories.csv" for path in zero_shot],
        failures=[path / "failures.jsonl" for path in zero_shot],
        experiments=experiments,
    )


def build(inputs, path):
    build_alignment_report(inputs, {"name": "made-up", "alignment": alignment_section()}, path)
    return path.read_text()


@pytest.fixture(scope="module")
def page(study, inputs):
    return build(inputs, study[0] / "report.html")


def test_every_figure_is_drawn_for_screen_and_print(study):
    folder = study[0] / "figures"
    for name in ALIGNMENT_CAPTIONS:
        assert "<svg" in (folder / f"{name}.svg").read_text()
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_every_figure_is_in_one_group():
    assert sorted(figure for group in GROUPS for figure in group.figures) == sorted(ALIGNMENT_CAPTIONS)


def test_the_twelve_groups_stand_in_order_with_finding_figure_and_table(study, page):
    findings = read_json(study[3].findings)
    assert list(findings) == [group.name for group in GROUPS]
    sections = dict(re.findall(r'<section id="(\w+)">(.*?)</section>', page, re.DOTALL))
    assert list(sections)[: len(GROUPS) + 1] == ["verdicts", *findings]
    for name, finding in findings.items():
        text = sections[name]
        assert text.count("<figure") >= 1 and text.count("<table") >= 1
        plain = re.sub(r"<[^>]+>", "", text).replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
        assert all(sentence in plain for sentence in finding["sentences"]), name


def test_how_arms_are_judged_is_said_with_the_levels_of_the_config(page):
    assert "within 2 points" in page and "Intervals are at 95 %" in page


def test_figures_are_numbered_through(page):
    numbers = [int(number) for number in re.findall(r"<b>Figure (\d+)\.", page)]
    assert numbers == list(range(1, len(ALIGNMENT_CAPTIONS) + 1))


def test_every_arm_and_comparison_has_its_row(study, page):
    for _, arm in study[2]:
        for start in ('<th scope="row"', "<td"):
            assert f"{start}>{arm}</t" in page or f'{start} class="token">{arm}</t' in page
    comparisons = pd.read_csv(study[3].comparisons)
    assert page.count("<td>no difference seen</td>") == (comparisons["verdict"] == "no difference seen").sum()


def test_ranges_and_reasons_of_the_off_policy_sweeps_are_told(study, page):
    for experiment in study[1]:
        if experiment.name.startswith("off_policy"):
            assert experiment.why in page
            assert "; ".join(experiment.arms) in page


def test_an_experiment_that_no_group_names_stands_with_its_method(page):
    (section,) = re.findall(r'<section id="grpo">(.*?)</section>', page, re.DOTALL)
    assert page.count(OWN.title) == section.count(OWN.title) == 1
    assert "A name of its own. Arms: default; use_std_normalization=false." in section
    assert '<th scope="row">own</th><td class="token">use_std_normalization=false</td>' in section


def test_without_the_default_loop_there_are_no_responses_of_it(study, inputs, tmp_path):
    kept = [place for place, arm in enumerate(inputs.arms) if arm != ("grpo", "default")]
    fewer = replace(
        inputs,
        arms=[inputs.arms[place] for place in kept],
        generations=[inputs.generations[place] for place in kept],
        experiments=[one for one in study[1] if "default" not in one.arms],
    )
    page = build(fewer, tmp_path / "report.html")
    assert "Responses of the default loop" not in page and 'id="off_policy"' in page


def test_what_a_model_wrote_is_text(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/think&gt; &lt;answer&gt;12&lt;/answer&gt;" in page


def test_the_page_stands_alone_serves_every_reader_and_leads_to_the_others(study, page):
    others = {f"../{path}" for path in ("report.html", "advantage/report.html", "repair/report.html")}
    check_page(study[0] / "report.html", ALIGNMENT_CAPTIONS, others)
    assert all(f'href="{link}"' in page for link in others)


def test_verdicts_are_told_in_plain_words(study, page):
    for verdict in pd.read_csv(study[3].comparisons)["verdict"].unique():
        assert f"<li><b>{verdict}</b>: " in page
