"""A simulated month: python -m tests.month [--days 30] [--data-dir DIR] [--keep FOLDER]

Spans arrive daily; one is broken, one drifts, one has wrong labels, and on one day everything crashes. Scheduler and
line are the product's own; only the clock is simulated. Prints the findings, and exits with 1 if there are any.
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.month.checks import findings
from tests.month.story import Story, World


def main() -> int:
    parser = argparse.ArgumentParser(description="A simulated month of the line.")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--short", action="store_true", help="four days of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", help="where TFDS keeps the sample, prepared; prepared again if absent")
    parser.add_argument("--keep", type=Path, help="a folder to leave everything in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        data_dir = given.data_dir or prepared(folder / "tfds")
        story = Story.short() if given.short else dataclasses.replace(Story(), days=given.days)
        world = World(folder / "month", data_dir, story, seed=given.seed)
        world.live()
        found = findings(world)
    table = Table("what must be true", "what was found", "")
    for finding in found:
        table.add_row(finding.what, finding.came, "[green]yes" if finding.holds else "[red]NO")
    Console().print(table)
    return 0 if all(finding.holds for finding in found) else 1


def prepared(folder: Path) -> str:
    """The sample as TFDS keeps it."""
    code = "import components.mnist_sample, sys, tensorflow_datasets as tfds; "
    code += "tfds.builder('mnist_sample', data_dir=sys.argv[1]).download_and_prepare()"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
    return str(folder)


if __name__ == "__main__":
    sys.exit(main())
