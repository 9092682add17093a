"""evaluate with more shards than files that its process may have open."""

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.components import pictures

LIMIT, SHARDS = 256, 300
PROGRAM = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))

import pickle, sys
from pathlib import Path
from tests.components.evaluations import evaluated
from tests.conftest import folder_run

model, examples, contract, out = pickle.load(sys.stdin.buffer)
print(evaluated(model, examples, folder_run(out), contract).accuracy)
"""


@pytest.mark.slow
def test_there_may_be_more_shards_than_open_files(model, few, mnist, evaluated_alone, tmp_path):
    """macOS allows a process 256 open files by default."""
    resharded = tmp_path / "examples"
    resharded.mkdir()
    splits = {
        split: pictures.write(resharded, split, pictures.records(few, split), SHARDS if split == "test" else 1)
        for split in few.splits
    }
    examples = dataclasses.replace(few, path=resharded, splits=splits)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=pickle.dumps((model, examples, mnist, tmp_path / "out")),
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr.decode()
    assert float(done.stdout.split()[-1]) == evaluated_alone.accuracy
