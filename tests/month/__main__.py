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
    parser.add_argument("--short", action="store_true", help="only four days")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", help="the data directory of TFDS; the sample is prepared if absent")
    parser.add_argument("--keep", type=Path, help="a folder that keeps all files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        data_dir = options.data_dir or prepared(folder / "tfds")
        story = Story.short() if options.short else dataclasses.replace(Story(), days=options.days)
        world = World(folder / "month", data_dir, story, seed=options.seed)
        world.run_month()
        results = findings(world)
    table = Table("expectation", "result", "")
    for finding in results:
        table.add_row(finding.expectation, finding.result, "[green]yes" if finding.holds else "[red]NO")
    Console().print(table)
    return 0 if all(finding.holds for finding in results) else 1


def prepared(folder: Path) -> str:
    """The data directory of TFDS with the prepared sample."""
    code = "import components.mnist_sample, sys, tensorflow_datasets as tfds; "
    code += "tfds.builder('mnist_sample', data_dir=sys.argv[1]).download_and_prepare()"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
    return str(folder)


if __name__ == "__main__":
    sys.exit(main())
