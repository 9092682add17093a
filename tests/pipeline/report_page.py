"""A parsed report page, and the facts of a run, as the command gathers them."""

import dataclasses
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from pipeline.lineage import Lineage
from pipeline.report.facts import Facts
from pipeline.report.gather import gather
from pipeline.store import Store

SECTIONS = [
    "verdict",
    "gates",
    "comparison",
    "slices",
    "confusion",
    "calibration",
    "robustness",
    "mistakes",
    "data",
    "training",
]
SECTIONS += ["stages", "lineage", "reproduce"]
BLOCKS = {
    "p",
    "td",
    "th",
    "tr",
    "h1",
    "h2",
    "h3",
    "li",
    "dt",
    "dd",
    "caption",
    "summary",
    "figcaption",
    "section",
    "br",
}
VOID = {"meta", "link", "img", "br", "use", "path", "rect"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text; checks that its tags are balanced."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in BLOCKS:
            self.text += " "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]


def facts_of(root: Path, number: int) -> Facts:
    lineage = Lineage.at(root, None)
    run = lineage.run(number)
    assert run
    facts = gather(Store(root), run, lineage.executions(number))
    lineage.engine.dispose()
    return facts


def edited(facts: Facts, **changes: Any) -> Facts:
    return dataclasses.replace(facts, **changes)
