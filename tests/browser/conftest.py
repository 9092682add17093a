"""A real browser, and the pages of a passing, a refused and a hostile store to open in it."""

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
from pipeline.report.facts import gather
from pipeline.store import Store
from tests.pipeline import finished_run
from tests.pipeline.answers import Answers

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{ 7 * 7 }} " + "w" * 300
PAGES = ("passed", "refused", "hostile", "index", "hostile_index")


@dataclass
class Visit:
    """A page that is open, and what went on while it was."""

    page: Page
    said: list[str] = field(default_factory=list)  # errors and warnings of the console, uncaught exceptions, dialogs
    asked: list[str] = field(default_factory=list)  # addresses


Open = Callable[..., Visit]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses to be started by root; the pages are our own.
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The written pages by name. The index of the ordinary store links to the pages of its runs."""
    ordinary, strange = (Store(tmp_path_factory.mktemp(name) / "root").root for name in ("ordinary", "strange"))
    good, weak = Answers.drawn(n=800), Answers.drawn(n=800, accuracy=0.9)
    finished_run.finish(ordinary, good, leaked=5, near_copies=30)
    finished_run.finish(ordinary, weak, refused=("accuracy", "per_class:label=8", "paired"))
    serve(ordinary, "mnist", json.dumps({"model": "f" * 64, "accuracy": 0.985}))
    finished_run.finish(
        strange, weak, refused=("accuracy",), profile=HOSTILE, command=f"python -m pipeline run --set {HOSTILE}"
    )
    poison(strange)
    serve(strange, "<b onclick=alert(3)>&", "not JSON")
    found = {"passed": written(ordinary, 1), "refused": written(ordinary, 2), "hostile": written(strange, 1)}
    return found | {"index": written(ordinary, None), "hostile_index": written(strange, None)}


def serve(root: Path, model: str, provenance: str) -> None:
    version = root / "serving" / model / "2"
    version.mkdir(parents=True, exist_ok=True)
    (version / "provenance.json").write_text(provenance, encoding="utf-8")


def poison(root: Path) -> None:
    """Hostile text in the run's message, in names of slices, in the gates' sentences, and as the model's name."""
    (evaluation,) = (root / "artifacts/evaluate").iterdir()
    for name in ("metrics.json", "gates.json", "comparisons.json"):
        path = evaluation / name
        found = json.loads(
            path.read_text(encoding="utf-8").replace("ink=below 0.1", "ink=HOSTILE"), object_hook=_hostile
        )
        path.write_text(json.dumps(found), encoding="utf-8")
    lineage = Lineage.at(root, None)
    lineage.finish(1, state="refused", exit_code=3, message=f"refused: {HOSTILE}\n  {HOSTILE}")
    lineage.engine.dispose()


def _hostile(found: dict[str, Any]) -> dict[str, Any]:
    put = lambda text: text.replace("HOSTILE", HOSTILE) if isinstance(text, str) else text  # noqa: E731
    return {put(key): put(HOSTILE if key == "words" and value else value) for key, value in found.items()}


def written(root: Path, number: int | None) -> Path:
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
def open_page(browser: Browser, pages: dict[str, Path]) -> Iterator[Open]:
    """Opens a page by name in a fresh context, which has no network and writes down who asks for it."""
    contexts = []

    def open_(name: str, *, scheme: str = "light") -> Visit:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        visit = Visit(context.new_page())

        def route(route: Route) -> None:
            visit.asked.append(route.request.url)
            if route.request.url.startswith("file:"):
                route.continue_()
            else:
                route.abort()

        context.route("**/*", route)
        visit.page.on(
            "console", lambda message: visit.said.append(message.text) if message.type in ("error", "warning") else None
        )
        visit.page.on("pageerror", lambda error: visit.said.append(str(error)))
        visit.page.on("dialog", lambda dialog: (visit.said.append(dialog.message), dialog.dismiss()))
        visit.page.goto(pages[name].as_uri())
        return visit

    yield open_
    for context in contexts:
        context.close()
