"""What a reader on a phone, at the keyboard or with a screen reader needs of a page of the report."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and collects elements with their attributes, ids, links and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.ids, self.links, self.text = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs, tuple(self.open)))
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

    def all(self, tag):
        """The attributes of every element of a kind."""
        return [attrs for name, attrs, _ in self.elements if name == tag]


def check_page(path, figures, studies):
    """A page, and the files beside it: `figures` by name, `studies`: links to the other studies' pages."""
    text = Path(path).read_text()
    page = Page(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    _check_frame(text, page)
    _check_links(Path(path), page, studies)
    _check_tables(text, page)
    _check_figures(Path(path), page, text, figures)


def _check_frame(text, page):
    assert page.all("html")[0]["lang"] == "en" and re.search(r"<title>[^<]+</title>", text)
    named = {attrs.get("name"): attrs.get("content") for attrs in page.all("meta")}
    assert "width=device-width" in named["viewport"] and named["color-scheme"] == "light dark"
    assert named["description"] and "prefers-color-scheme: dark" in text and ":focus-visible" in text
    assert len(page.all("main")) == 1 and page.all("a")[0] == {"class": "skip", "href": "#main-content"}
    names = [attrs.get("aria-label") for attrs in page.all("nav")]
    assert all(names) and len(names) == len(set(names))
    levels = [int(tag[1]) for tag, *_ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(lower <= upper + 1 for upper, lower in pairwise(levels))


def _check_links(path, page, studies):
    assert not re.search(r"https?://|<script|<link|<img|@import|url\((?!#)", path.read_text())
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert anchors <= set(page.ids)
    for attrs in page.all("a"):
        link = attrs["href"]
        assert link.startswith("#") or link in studies or (path.parent / link).is_file(), link


def _check_tables(text, page):
    tables = len(page.all("table"))
    captions = re.findall(r"<caption><span>([^<]+)</span></caption>", text)
    assert tables and len(captions) == len(page.all("caption")) == tables
    assert all(attrs.get("scope") in ("col", "row") for attrs in page.all("th"))
    assert not re.search(r"<th scope=\"col\">\s*</th>", text)
    for attrs, caption in zip(
        (attrs for attrs in page.all("div") if "tabindex" in attrs), captions, strict=True
    ):
        assert attrs["class"] == "scroll" and attrs["role"] == "group"
        assert attrs["aria-label"].startswith("Table: ") and attrs["aria-label"] != "Table: ", caption


def _check_figures(path, page, text, figures):
    assert sorted(attrs["id"] for attrs in page.all("figure")) == sorted(f"figure-{one}" for one in figures)
    drawn = [attrs for tag, attrs, inside in page.elements if tag == "svg" and "svg" not in inside]
    assert len(drawn) == len(figures)
    for attrs in drawn:
        assert attrs["role"] == "img" and attrs["aria-label"] and attrs["aria-describedby"] in page.ids
    files = [attrs["href"] for attrs in page.all("a") if "download" in attrs]
    assert len(files) == 3 * len(figures)
    for name in figures:
        own = [link for link in files if Path(link).stem == name]
        assert [Path(link).suffix for link in own] == [".svg", ".pdf", ".csv"]
        assert len(pd.read_csv(path.parent / own[2])), name
