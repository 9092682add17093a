"""A run's report as one self-contained HTML file."""

import os
from pathlib import Path

import jinja2
from markupsafe import Markup

from pipeline import files
from pipeline.report.facts import Facts
from pipeline.report.terminal import local


def write(facts: Facts, path: Path) -> Path:
    """The page at `path`, whole or absent. Everything in it is escaped but the training curves, which are our own SVG."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"local": local, "number": lambda value: "none" if value is None else f"{value:.4f}"}
    curves = Markup(facts.curves[facts.curves.find("<svg") :]) if facts.curves else ""
    page = environment.get_template("report.html.j2").render(facts=facts, curves=curves)
    with files.explained(path.parent, "cannot write the report to"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(page)
        temporary.replace(path)
    return path
