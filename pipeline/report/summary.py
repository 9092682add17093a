"""Prints the summary of a report in the terminal, and the paths of its files."""

from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from pipeline.report import comparisons, limits, spans
from pipeline.report.console import echo
from pipeline.report.facts import Facts
from pipeline.report.index import Index
from pipeline.report.terminal import gates
from schemas.artifacts import refusals


def report(facts: Facts, written: dict[str, Path]) -> None:
    """Prints the verdict on the model, its gates, and the remarks on its data."""
    echo(Text(facts.verdict, "bold green" if facts.passed else "bold red"))
    echo(*(Text(text, "yellow") for text in _lost(facts)))
    if facts.gates:
        echo(*(Text(reason, "red") for reason in refusals(facts.gates) if reason not in facts.verdict))
        echo(gates(facts.gates))
    echo(*(Text(sentence) for _, sentence in comparisons.sentences(facts.comparisons)))
    echo(*_remarks(facts))
    echo(
        Text(f"card    {written['card']}", "dim"),
        Text(f"metrics {written['json']}", "dim"),
        Text(f"report  {written['html']}"),
    )


def index(index_: Index, written: dict[str, Path]) -> None:
    """Prints the headline of the page of all runs."""
    echo(Text(index_.headline), Text(f"report  {written['html']}"))


def _lost(facts: Facts) -> Iterator[str]:
    """What the report lacks."""
    if facts.missing:
        yield f"deleted from the store or replaced: {', '.join(facts.missing)}"
    if facts.damaged:
        yield f"damaged: {', '.join(facts.damaged_files)}"


def _remarks(facts: Facts) -> Iterator[Text]:
    """What a person should look at: label errors, spans, unused classes, unreadable images, anomalies."""
    if likely := len(facts.label_errors):
        images = f"test image{'s'[: likely != 1]}"
        yield Text(f"{facts.label_errors_counted} {images} may be labelled wrongly: see the report", "yellow")
    if facts.spans:
        yield Text(f"data: {facts.source} and {spans.trained_on(facts.spans)}")
    for row in spans.shown(facts.spans):
        if remarks := spans.remarks(row):
            yield Text(f"{row.span} {row.fate}: {'; '.join(remarks)}", "yellow")
    if facts.unused:
        yield Text(limits.unused(facts))
    if count := len(facts.unreadable):
        images = "1 image could not be read and was" if count == 1 else f"{count:,} images could not be read and were"
        yield Text(f"{images} set aside: see the report", "yellow")
    for anomaly in facts.anomalies:
        yield Text(f"{anomaly.severity}: {anomaly.message}", "yellow")
