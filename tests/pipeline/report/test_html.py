"""The HTML page of a run: sections, self-containment, accessibility; its JSON and model card."""

import json
import re
from pathlib import Path

from pipeline.report import html
from pipeline.report.facts import Facts, SplitFacts
from schemas.artifacts import Anomaly, Comparison, GalleryEntry, GateResult
from tests.pipeline.report_page import SECTIONS, Page


def test_a_page_has_all_sections_in_order(page: Page, refused: Facts, empty: Facts) -> None:
    for parsed in (page, Page(html.page(refused)), Page(html.page(empty))):
        assert [attributes["id"] for attributes in parsed.all("section")] == SECTIONS
        assert parsed.open == []


def test_the_page_starts_with_the_outcome_and_its_reason(page: Page, refused: Facts, empty: Facts) -> None:
    assert page.text.index(
        "Pushed as version 2: no gate refused; 1 could not be judged (too few test images)."
    ) < page.text.index("Required and measured")
    text = Page(html.page(refused)).text
    assert f"{refused.verdict} Train better, or lower the gate." in text
    expected = r"Refused: accuracy is 0.949\d; gates.accuracy requires 0.953\d \(0.0040 short\)."
    assert re.fullmatch(expected, refused.verdict)
    text = Page(html.page(empty)).text
    assert "Failed: nothing came. Look at the network." in text
    assert "The run did not reach the gates." in text


def test_the_page_is_self_contained(source: str, page: Page) -> None:
    assert len(source.encode()) < 3_000_000
    assert not {"script", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    addresses = (
        page.values("src") + page.values("href") + page.values("xlink:href") + re.findall(r"url\(([^)]*)\)", source)
    )
    assert addresses
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "@import" not in source


def test_ids_are_unique_and_anchors_resolve(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    anchors = [address[1:] for address in page.values("href") + page.values("xlink:href") if address.startswith("#")]
    assert set(SECTIONS) <= set(anchors) <= set(ids)


def test_the_page_is_accessible(page: Page) -> None:
    assert all(len(image["alt"] or "") > 5 for image in page.all("img"))
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))
    regions = [attributes for attributes in page.all("div") if attributes.get("class") == "scroll"]
    assert regions
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_the_json_file_contains_all_metrics(pushed: Facts, tmp_path: Path) -> None:
    paths = html.write(pushed, tmp_path / "reports")
    assert {kind: path.name for kind, path in paths.items()} == {
        "html": "run-1.html",
        "json": "run-1.json",
        "card": "run-1.md",
    }
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["run-1.html", "run-1.json", "run-1.md"]
    content = json.loads(paths["json"].read_text(encoding="utf-8"))
    assert content["verdict"] == "Pushed as version 2: no gate refused; 1 could not be judged (too few test images)."
    assert [GateResult.of(row) for row in content["gates"]] == pushed.gates
    assert tuple(map(Comparison.of, content["comparisons"])) == pushed.comparisons
    assert list(map(Anomaly.of, content["anomalies"])) == pushed.anomalies
    gallery = {reason: list(map(GalleryEntry.of, rows)) for reason, rows in content["gallery"].items()}
    assert gallery == pushed.gallery
    assert {name: SplitFacts(**row) for name, row in content["splits"].items()} == pushed.splits
    for name in ("metrics", "history", "versions"):
        assert content[name] == json.loads(json.dumps(getattr(pushed, name)))
    for name in ("metrics", "comparisons", "gallery", "history", "splits", "versions", "anomalies"):
        assert content[name]


def test_the_model_card_has_the_standard_headings(pushed: Facts) -> None:
    card = html.card(pushed)
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings == [
        "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
        "Quantitative analyses", "Ethical considerations", "Caveats and recommendations", "How to reproduce",
    ]  # fmt: skip
    overall = pushed.metrics["candidate"]["overall"]
    assert (
        f"| overall | {overall['count']:,} | {overall['accuracy']:.4f} | {html.interval(overall['interval'])} |" in card
    )
    assert "    python -m pipeline run --profile mnist\n" in card
    assert "Robustness was measured only under shift, rotation, noise, blur, contrast, at one severity each." in card
