"""A run's report in three files: a self-contained HTML page, the metrics as JSON, and a model card in Markdown."""

import json
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.lineage.states import RunState
from pipeline.report import (
    accuracy,
    class_plots,
    comparisons,
    confusion,
    gates,
    limits,
    lineage,
    photos,
    plots,
    shortened,
    spans,
    states,
)
from pipeline.report.facts import Facts
from pipeline.report.pictures import Pictures
from pipeline.report.times import local, took
from schemas import disk, places
from schemas.artifacts import in_order, refusals
from schemas.settings.source import source_title
from schemas.text import printable, yaml_text

# Modules that the templates use.
SUBJECTS = (accuracy, comparisons, confusion, gates, limits, lineage, photos, shortened, spans)


def write(facts: Facts, folder: Path) -> dict[str, Path]:
    """Writes `run-N.html`, `run-N.json` and `run-N.md`. Returns their paths by kind: html, json, card."""
    name = f"run-{facts.run['run']}"
    texts = {"json": json.dumps(facts.as_json(), indent=2) + "\n", "card": card(facts), "html": page(facts)}
    endings = {"card": "md"}
    return {kind: save(folder / f"{name}.{endings.get(kind, kind)}", text) for kind, text in texts.items()}


def save(path: Path, text: str) -> Path:
    """Writes a text file atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    with places.explained(path.parent, "cannot write the report to"):
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.atomic_write_text(path, text)
    return path


def page(facts: Facts) -> str:
    """The HTML page. Everything is escaped except the plots, which are SVG from `plots`."""
    svgs = {name: Markup(svg) for name, svg in _plots(facts).items()}
    pictures, near = Pictures.of(facts.images), Pictures.of(facts.near_images, lossy=True)
    template = environment().get_template("report.html.j2")
    return template.render(facts=facts, plots=svgs, pictures=pictures, near=near, max_rows=plots.MAX_ROWS)


def card(facts: Facts) -> str:
    """The model card, by the headings of Mitchell et al. 2019."""
    text = environment().get_template("card.md.j2").render(facts=facts)
    return re.sub(r"\n{3,}", "\n\n", text)


def environment() -> jinja2.Environment:
    """The templates and their filters. Values are escaped, and control characters removed."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "local": local,
        "took": took,
        "number": number,
        "interval": interval,
        "signed": lambda value: "" if value is None else f"{value:+.4f}".replace("-", "−"),
        "grouped": lambda value: f"{value:,}",
        "percent": percent,
        "sentence": sentence,
        "yaml": yaml_text,
        "chip": lambda state: states.RUNS[state].chip if state in states.RUNS else "dim",
        "predicate": lambda state: states.RUNS[state].predicate if state in states.RUNS else state,
        "stage_chip": lambda state: states.STAGE_CHIPS.get(state, ""),
        "plain": plain,
        "indented": lambda text: Markup("\n".join(f"    {line}" for line in str(text).splitlines())),
    }
    templates.globals |= {module.__name__.rpartition(".")[2]: module for module in SUBJECTS}
    templates.globals |= {
        "in_order": in_order,
        "refusals": refusals,
        "source_title": source_title,
        "RunState": RunState,
    }
    return templates


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def interval(ends: Any) -> str:
    return f"{ends[0]:.4f} – {ends[1]:.4f}" if accuracy.known(ends) else ""


def percent(share: float | None) -> str:
    """A probability in percent. Values near 0 and 1 are not rounded to 0 % and 100 %."""
    if share is None:
        return "not a number"
    return "< 0.1 %" if 0 < share < 0.0005 else "> 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def sentence(text: str) -> str:
    """The text with a capital, a full stop, and no line break before a percent sign. Empty if `text` is empty."""
    return (text[:1].upper() + text[1:].rstrip(".") + ".").replace(" %", "\u00a0%") if text else ""


def plain(value: object) -> Markup:
    """Text on one line, escaped for Markdown."""
    flat = re.sub(r"([\\`*_{}\[\]|#~$])", r"\\\1", " ".join(str(value).split()))
    return Markup(flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _plots(facts: Facts) -> dict[str, str]:
    """The SVGs of all plots that have data."""
    svgs: dict[str, str] = {}
    candidate = facts.candidate
    if candidate and candidate["overall"]["accuracy"] is not None:
        rows = [(row["name"], row["candidate"], row["baseline"]) for row in accuracy.classes(facts)]
        svgs["accuracies"] = (class_plots if len(rows) > plots.MAX_ROWS else plots).accuracies(rows)
        corrupted = {name: row for name, row in candidate["corruptions"].items() if row["accuracy"] is not None}
        if corrupted:
            baseline = facts.metrics.get("baseline", {}).get("corruptions", {})
            svgs["robustness"] = plots.robustness(candidate["overall"], corrupted, baseline)
        if any(each["count"] for each in candidate["calibration"]):
            svgs["reliability"] = plots.reliability(candidate["calibration"])
    labels = {name: split.labels for name, split in in_order(facts.splits).items() if split.labels}
    if labels:
        many = len(set().union(*labels.values())) > plots.MAX_ROWS
        svgs["labels"] = class_plots.labels(labels) if many else plots.labels(labels, facts.names)
    for name in ("loss", "accuracy"):
        if facts.history:
            svgs[name] = plots.curve(facts.history, name)
    return svgs
