"""Runs up to transform on a folder of 100,000 files: the first one, without a change, and after 1 % has changed."""

import sys
from pathlib import Path

from tests.benchmarks import generated
from tests.benchmarks.table import Row, at_most, timed

LABELS, EACH, SIDE = 10, 10_000, 100


def rows(work: Path) -> list[Row]:
    here = work / "files"
    folder = here / "photos"
    generated.labelled(folder, labels=LABELS, each=EACH, side=SIDE)
    gateline = [sys.executable, "-m", "pipeline"]
    timed([*gateline, "init", "photos", "--root", "drafts"], here)
    run = [*gateline, "run", "--until", "transform"]
    first = timed(run, here)[0]
    unchanged = timed(run, here)[0]
    generated.labelled(folder, labels=LABELS, each=EACH // 100, side=SIDE, first=EACH)
    added = timed(run, here)[0]
    for path in sorted((folder / "label0").iterdir())[: LABELS * EACH // 100]:
        path.unlink()
    removed = timed(run, here)[0]
    return [
        ("100,000 files: first run up to transform", f"{first:.1f} s", "", None),
        at_most("  nothing changed", unchanged, 3, "s"),
        at_most("  1 % added, in each label / first run", added / first, 0.1),
        at_most("  1 % removed, of one label / first run", removed / first, 0.1),
    ]
