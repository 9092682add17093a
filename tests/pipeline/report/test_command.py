"""The command `report`."""

import re
import subprocess
import sys
from pathlib import Path

from pipeline.report.facts import Facts
from tests.pipeline.command_line import gateline


def test_report_prints_a_summary_and_the_paths_of_its_files(root: Path, refused: Facts) -> None:
    done = gateline("report", 2, "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, card_row, json_row, page_row = done.stdout.splitlines()
    assert first == refused.verdict
    reports = root / "reports"
    assert [card_row.split()[1], json_row.split()[1], page_row.split()[1]] == [
        str(reports / f"run-2.{e}") for e in ("md", "json", "html")
    ]
    assert refused.comparisons[0].message in done.stdout
    assert f"{refused.label_errors_counted} test images may be labelled wrongly" in done.stdout
    assert re.search(r"per_class +label=8 .* -0.0040 +refused", done.stdout)


def test_report_opens_the_page_in_a_browser(root: Path, tmp_path: Path) -> None:
    browser, opened_url = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened_url}\n', encoding="utf-8")
    browser.chmod(0o755)
    done = gateline("report", 1, "--root", root, "--open", BROWSER=f"{browser} %s")
    assert (done.returncode, done.stderr) == (0, "")
    assert opened_url.read_text(encoding="utf-8") == (root / "reports" / "run-1.html").absolute().as_uri()


def test_report_imports_neither_tensorflow_nor_beam(root: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.pipeline.report_page import facts_of\n"
        "from pipeline.report import html\n"
        "print(len(html.page(facts_of(Path(sys.argv[1]), 1))) > 10_000,"
        " [n for n in ('tensorflow', 'apache_beam', 'keras') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, root], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("True []\n", "")
