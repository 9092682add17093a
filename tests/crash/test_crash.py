"""A small crash matrix; `python -m tests.crash --points 500 --faults 121` runs the large one."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash import faults, forked_run, matrix

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def test_kills_and_every_other_fault_leave_nothing_partial_and_lose_nothing(data_dir: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATELINE")}
    options = ("--points=3", f"--faults={len(faults.FAULTS)}", f"--data-dir={data_dir}", f"--keep={tmp_path / 'kept'}")
    command = [sys.executable, "-m", "tests.crash", *options]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    last = done.stdout.splitlines()[-1]
    expected = (
        rf"3 runs killed, {len(faults.FAULTS)} with another fault: [\d,]+ looks at the serving directory, 0 findings"
    )
    assert re.match(expected, last), last


def test_kill_points_cover_every_state_and_depend_only_on_the_seed() -> None:
    shared = matrix.shared(["ingest", "train", "push", "first push", "cold"], 500)
    states = {name: matrix.State(Path(), 1, 50, 2.0, 1, points) for name, points in shared.items()}
    points = matrix.spread(states, seed=3)
    assert len(points) == 500
    assert points == matrix.spread(states, seed=3) != matrix.spread(states, seed=4)
    writes = sorted(p.write for p in points if p.state == "push" and p.write is not None)
    assert (writes[0], writes[-1]) == (0, 49)
    assert max(later - earlier for earlier, later in pairwise(writes)) <= 2
    assert all((p.write is None) != (p.seconds is None) for p in points)


def test_a_write_is_attributed_to_its_stage() -> None:
    stages = {
        "serving/m/.staging-3/x": "push", "staging/replaced-train-3f9a": "train", "scratch/ingest-3f": "ingest",
        "logs/run-1.log": "store", "artifacts/evaluate/3f/manifest.json": "evaluate", "lineage.db": "lineage",
        "staging/check_serving-3f/x": "check_serving",
    }  # fmt: skip
    assert {place: forked_run.stage_of(place) for place in stages} == stages
