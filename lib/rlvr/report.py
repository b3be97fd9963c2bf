"""One self-contained page on the precision study: verdicts first, then figures, tables and provenance."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from rlvr import report_provenance as records
from rlvr import report_tables as tables
from rlvr import report_words as words
from rlvr.analysis.files import AnalysisFiles
from rlvr.figures.captions import CAPTIONS
from rlvr.files import read_json, write_text
from rlvr.version import __version__

DATA_FILES = ("report_template.html",)

QUESTIONS = {
    "H1": "On-task performance does not depend on precision",
    "H2": "Off-task performance varies more over seeds",
    "H3": "KL to the base: alike on-task, larger or more variable off-task",
}


@dataclass(frozen=True)
class ReportInputs:
    """Files that the report reads.

    `figures` is the folder of the SVG files; `provenance_labels` are (mode, seed, repeat) of `provenance`, in
    the same order.
    """

    analysis: AnalysisFiles
    figures: str | Path
    manifest: str | Path
    provenance: Sequence[str | Path]
    provenance_labels: Sequence[Sequence[Any]]


def inline_svg(svg: str, name: str) -> Markup:
    """An SVG as an element of an HTML page: no prolog, no metadata, identifiers of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    title, _ = CAPTIONS[name]
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1))


def _figures(folder: str | Path) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "title": title,
            "caption": caption,
            "svg": inline_svg((Path(folder) / f"{name}.svg").read_text(encoding="utf-8"), name),
        }
        for name, (title, caption) in CAPTIONS.items()
    ]


def _verdicts(claims: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By arm: each whole claim with its parts."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for claim in claims:
        own = arms.setdefault(claim["arm"], [])
        if claim["headline"]:
            own.append({"claim": claim, "question": QUESTIONS[claim["id"]], "parts": []})
        else:
            own[-1]["parts"].append(claim)
    return [
        {"arm": arm, "reference": found[0]["claim"]["reference"], "hypotheses": found}
        for arm, found in arms.items()
    ]


def _as_yaml(config: Mapping[str, Any]) -> str:
    """The config as YAML, innermost lists and mappings on one line."""
    return yaml.safe_dump(
        dict(config), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def _content(inputs: ReportInputs, config: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template shows."""
    files = inputs.analysis
    runs, arms, weights, components = (
        pd.read_csv(path) for path in (files.runs, files.arms, files.weights, files.variance_components)
    )
    claims, manifest = read_json(files.hypotheses), read_json(inputs.manifest)
    provenance = [read_json(path) for path in inputs.provenance]
    study = config["precision"]
    names, analysis = list(dict.fromkeys(arms["arm"])), study["analysis"]
    labels = inputs.provenance_labels
    factors = words.arm_factors(provenance, labels)
    return {
        "name": config["name"],
        "version": __version__,
        "verdicts": _verdicts(claims),
        "reference": analysis["reference"],
        "gains": read_json(files.gain),
        "warnings": [
            *words.near_zero_sentences(runs),
            *words.inert_sentences(provenance),
            *words.same_weights_sentences(runs),
        ],
        "scale": words.scale_sentence(config, runs, weights),
        "factors": words.factor_sentences(names, analysis["reference"], factors)
        + words.elsewhere_sentences(runs, labels),
        "factors_table": words.factors_table(factors),
        "notes": words.note_sentences(provenance) + words.repeat_sentences(components),
        "figures": _figures(inputs.figures),
        "results": [
            tables.gains_table(arms, runs, analysis["confidence"]),
            tables.strata_table(runs),
            tables.kl_table(arms),
            tables.weights_table(weights),
        ],
        "details": [
            tables.claims_table(claims),
            tables.components_table(components),
            tables.pass_table(runs),
        ],
        "data": [*records.data_tables(manifest), records.prompts_table(provenance, labels)],
        "configuration": _as_yaml(config),
        "provenance": records.provenance_tables(provenance, labels) if provenance else [],
    }


def build_report(inputs: ReportInputs, config: Mapping[str, Any], out_path: str | Path) -> None:
    """Write the page; `config` is the whole validated config as a mapping, without what changes no result."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template(DATA_FILES[0])
    write_text(out_path, template.render(_content(inputs, config)))
