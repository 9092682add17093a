"""A real browser, and report pages of passed, refused and hostile runs."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from pipeline.lineage import Lineage
from pipeline.report import html, index
from pipeline.report.gather import gather
from pipeline.store import Store
from tests.pipeline import finished_run
from tests.pipeline.predictions import Predictions

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{ 7 * 7 }} " + "w" * 300
PAGES = ("passed", "refused", "hostile", "index", "hostile_index")


@dataclass
class Visit:
    """An open page, its messages and its requests."""

    page: Page
    messages: list[str] = field(default_factory=list)  # console errors and warnings, uncaught exceptions, dialogs
    requests: list[str] = field(default_factory=list)  # URLs


OpenPage = Callable[..., Visit]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses to run as root; the pages are trusted.
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages by name. The index of the normal store links to the pages of its runs."""
    normal, hostile = (Store(tmp_path_factory.mktemp(name) / "root").root for name in ("normal", "hostile"))
    good_model, weak_model = Predictions.random(n=800), Predictions.random(n=800, accuracy=0.9)
    finished_run.finish(normal, good_model, leaked=5, near_copies=30)
    finished_run.finish(normal, weak_model, refused=("accuracy", "per_class:label=8", "paired"))
    serve(normal, "mnist", json.dumps({"model": "f" * 64, "accuracy": 0.985}))
    finished_run.finish(
        hostile, weak_model, refused=("accuracy",), profile=HOSTILE, command=f"python -m pipeline run --set {HOSTILE}"
    )
    insert_hostile_text(hostile)
    serve(hostile, "<b onclick=alert(3)>&", "not JSON")
    by_name = {"passed": write_page(normal, 1), "refused": write_page(normal, 2), "hostile": write_page(hostile, 1)}
    return by_name | {"index": write_page(normal, None), "hostile_index": write_page(hostile, None)}


def serve(root: Path, model: str, provenance: str) -> None:
    version = root / "serving" / model / "2"
    version.mkdir(parents=True, exist_ok=True)
    (version / "provenance.json").write_text(provenance, encoding="utf-8")


def insert_hostile_text(root: Path) -> None:
    """Inserts hostile text into the run's message, slice names, gate messages and the model's name."""
    (evaluation,) = (root / "artifacts/evaluate").iterdir()
    for name in ("metrics.json", "gates.json", "comparisons.json"):
        path = evaluation / name
        content = json.loads(
            path.read_text(encoding="utf-8").replace("ink=below 0.1", "ink=HOSTILE"), object_hook=_hostile
        )
        path.write_text(json.dumps(content), encoding="utf-8")
    lineage = Lineage.at(root, None)
    lineage.finish(1, state="refused", exit_code=3, message=f"refused: {HOSTILE}\n  {HOSTILE}")
    lineage.engine.dispose()


def _hostile(mapping: dict[str, Any]) -> dict[str, Any]:
    insert = lambda text: text.replace("HOSTILE", HOSTILE) if isinstance(text, str) else text  # noqa: E731
    return {insert(key): insert(HOSTILE if key == "words" and value else value) for key, value in mapping.items()}


def write_page(root: Path, number: int | None) -> Path:
    lineage = Lineage.at(root, None)
    try:
        if number is None:
            return index.write(index.gather(Store(root), lineage, root / "serving"), root / "reports")["html"]
        run = lineage.run(number)
        assert run
        return html.write(gather(Store(root), run, lineage.executions(number)), root / "reports")["html"]
    finally:
        lineage.engine.dispose()


@pytest.fixture
def open_page(browser: Browser, pages: dict[str, Path]) -> Iterator[OpenPage]:
    """Opens a page by name in a new context without network, which records requests."""
    contexts = []

    def open_in_browser(name: str, *, scheme: str = "light") -> Visit:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        visit = Visit(context.new_page())

        def route(route: Route) -> None:
            visit.requests.append(route.request.url)
            if route.request.url.startswith("file:"):
                route.continue_()
            else:
                route.abort()

        context.route("**/*", route)
        visit.page.on(
            "console",
            lambda message: visit.messages.append(message.text) if message.type in ("error", "warning") else None,
        )
        visit.page.on("pageerror", lambda error: visit.messages.append(str(error)))
        visit.page.on("dialog", lambda dialog: (visit.messages.append(dialog.message), dialog.dismiss()))
        visit.page.goto(pages[name].as_uri())
        return visit

    yield open_in_browser
    for context in contexts:
        context.close()
