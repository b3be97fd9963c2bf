"""What every page of the report is made of: tables, inlined figures, the frame with its navigation."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup, escape

from rlvr.files import write_text
from rlvr.version import __version__

DATA_FILES = ("base.html", "macros.html")

# Each study's page under results/{name}/; the pages link to one another.
PAGES = {
    "precision": "report.html",
    "alignment": "alignment/report.html",
    "advantage": "advantage/report.html",
    "repair": "repair/report.html",
}

# What lies in the folder of a study's figures for each of them.
FORMATS = ("svg", "pdf", "csv")


@dataclass(frozen=True)
class Table:
    """A caption, the heads of the columns and the rows; every cell is text."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float | None, pattern: str = "{:.3g}") -> str:
    """A number in a pattern; an en dash where there is none."""
    return "–" if value is None or pd.isna(value) else pattern.format(value).replace("-", "−")


def inline_svg(svg: str, name: str, title: str) -> Markup:
    """An SVG as an element of an HTML page: no prolog, no metadata, identifiers of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    alternative = f'<svg role="img" aria-label="{escape(title)}" aria-describedby="caption-{name}"'
    return Markup(svg.replace("<svg", alternative, 1))


def _caption(text: str) -> Markup:
    """A caption, what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def read_figures(
    folder: str | Path, captions: Mapping[str, tuple[str, str]], page: str | Path
) -> list[dict[str, Any]]:
    """Every figure of `captions` (name: title and caption) with its `{name}.svg` from a folder.

    `page`: the file that shows them; it leads to the figure's files from where it lies.
    """
    beside = Path(os.path.relpath(folder, Path(page).parent)).as_posix()
    return [
        {
            "name": name,
            "title": title,
            "caption": _caption(caption),
            "files": [{"kind": kind.upper(), "link": f"{beside}/{name}.{kind}"} for kind in FORMATS],
            "svg": inline_svg((Path(folder) / f"{name}.svg").read_text(encoding="utf-8"), name, title),
        }
        for name, (title, caption) in captions.items()
    ]


def as_yaml(config: Mapping[str, Any]) -> str:
    """A config as YAML, innermost lists and mappings on one line."""
    return yaml.safe_dump(
        dict(config), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def _links(study: str) -> Sequence[Mapping[str, str]]:
    """The pages of all studies, as seen from the page of one."""
    here = os.path.dirname(PAGES[study])
    return [{"study": name, "link": os.path.relpath(path, here or ".")} for name, path in PAGES.items()]


def write_page(study: str, content: Mapping[str, Any], out_path: str | Path) -> None:
    """Write the page of a study from `{study}.html`; a value that the template lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["longest_word"] = lambda text: max(map(len, text.split()), default=0)
    template = environment.get_template(f"{study}.html")
    frame = {"study": study, "pages": _links(study), "version": __version__}
    write_text(out_path, template.render({**frame, **content}))
