"""Every rule says what it is for, what it needs, and which code it depends on."""

import re
from pathlib import Path

import pytest

from rlvr.config.schema import SCHEMA_PATH
from rlvr.figures.advantage_captions import ADVANTAGE_CAPTIONS
from rlvr.figures.alignment_captions import ALIGNMENT_CAPTIONS
from rlvr.figures.captions import FIGURES
from rlvr.figures.repair_captions import REPAIR_CAPTIONS

ROOT = SCHEMA_PATH.parents[1]
FILES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
HEADER = re.compile(
    r"^(?:rule (?P<rule>\w+)|use rule (?P<parent>\w+) as (?P<variant>\w+) with):$", re.MULTILINE
)
TARGETS = {"all", "precision", "alignment", "advantage", "repair", "fetch"}


def read_rules() -> dict[str, tuple[str, str | None]]:
    """Text of each rule, and for a variant the rule it comes from."""
    rules = {}
    for file in FILES:
        text = file.read_text()
        headers = list(HEADER.finditer(text))
        ends = [header.start() for header in headers[1:]] + [len(text)] * bool(headers)
        for header, end in zip(headers, ends, strict=True):
            rules[header["rule"] or header["variant"]] = (text[header.end() : end], header["parent"])
    return rules


RULES = read_rules()
JOBS = [name for name in RULES if name not in TARGETS]


def test_there_are_rules():
    assert len(JOBS) >= 11


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_docstring(name):
    assert re.match(r'\s*""".+"""', RULES[name][0])


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("directive", ["input", "output", "log", "benchmark", "params"])
def test_every_job_declares(name, directive):
    assert re.search(rf"^    {directive}:", RULES[name][0], re.MULTILINE)


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("directive", ["threads:", "resources:", "gpu=", "mem_mb=", "runtime=", "script:"])
def test_every_job_declares_or_inherits(name, directive):
    text, parent = RULES[name]
    assert directive in text + (RULES[parent][0] if parent else "")


@pytest.mark.parametrize("name", JOBS)
def test_every_job_depends_on_the_code_of_its_own_adaptor(name):
    text, parent = RULES[name]
    script = re.search(r'"\.\./workflow_scripts/(\w+\.py)"', text if parent is None else RULES[parent][0])[1]
    assert f'code=code_of("{script}")' in text
    assert (ROOT / "workflow_scripts" / script).is_file()
    assert script == f"{parent or name}.py"


@pytest.mark.parametrize("name", JOBS)
def test_log_and_benchmark_bear_the_rule_and_all_wildcards(name):
    text, _ = RULES[name]
    wildcards = set(re.findall(r"\{(\w+)\}", re.search(r"    output:\n((?: {8}.*\n)+)", text)[1])) - {
        "figure"
    }
    for directive in ("log", "benchmark"):
        path = re.search(rf'    {directive}:\n +"<{directive}s?(?:marks)?>/(.+)"', text)[1]
        assert re.match(rf"{name}\b", path)
        assert set(re.findall(r"\{(\w+)\}", path)) == wildcards


def test_resources_are_no_reason_to_rerun():
    for name in JOBS:
        params = re.search(r"    params:\n((?: {8}.*\n)+)", RULES[name][0])[1]
        assert "resources" not in params, name


def test_adaptors_are_thin():
    for script in (ROOT / "workflow_scripts").glob("*.py"):
        text = script.read_text()
        assert len(text.splitlines()) <= 25
        assert not re.search(r"^(if|for|while|def|try)\b", text, re.MULTILINE), script.name


def test_every_adaptor_has_a_rule():
    scripts = {script.stem for script in (ROOT / "workflow_scripts").glob("*.py")}
    assert scripts == {name for name in JOBS if RULES[name][1] is None}


def test_every_caption_is_used():
    text = "".join(Path(file).read_text() for file in FILES)
    named = set(re.findall(r'caption="\.\./report/(\w+)\.rst"', text)) | set(FIGURES)
    named |= {*ADVANTAGE_CAPTIONS, *REPAIR_CAPTIONS}
    named |= {f"alignment_{figure}" for figure in ALIGNMENT_CAPTIONS}
    assert {caption.stem for caption in (ROOT / "report").glob("*.rst")} == named
