"""Four days of the simulated month; `python -m tests.month` is the whole of it."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_four_days_of_spans_and_crashes_end_with_good_models_and_nothing_lost(sample: object, data_dir: str, tmp_path: Path) -> None:
    del sample  # it has prepared the data
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATELINE")}
    command = [sys.executable, "-m", "tests.month", "--short", "--data-dir", data_dir, "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "NO" not in done.stdout
