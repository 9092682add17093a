"""Two runs that prepare one TFDS dataset: both get it."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.sources import tfds_builder
from schemas.settings.source import Tfds
from tests.components import pictures

SOURCE = Tfds(tfds="pictures/png", module="tests.components.pictures")
# Says that it found no prepared dataset, waits to be told to prepare it, and prints how many images it has then.
PROGRAM = """
import sys
from components.sources import tfds_builder
from tests.components.test_tfds_prepared_twice import SOURCE

def wait(text):
    print(text, flush=True)
    sys.stdin.readline()

builder = tfds_builder.prepared(SOURCE, sys.argv[1], None, wait)
print(builder.info.splits["train"].num_examples)
"""


@contextmanager
def preparing(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, data_dir]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **streams) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False], ids=["at the same time", "one after the other"])
def test_two_processes_that_prepare_a_dataset_both_get_it(at_once: bool, tmp_path: Path) -> None:
    with preparing(tmp_path) as first, preparing(tmp_path) as second:
        processes = (first, second)
        assert [process.stdout.readline() for process in processes] == ["preparing pictures/png\n"] * 2
        if at_once:
            for process in processes:
                process.stdin.write("\n")
                process.stdin.flush()
        ended = [process.communicate("" if at_once else "\n", timeout=120) for process in processes]
    train = f"{pictures.COUNTS['train']}\n"
    assert [(process.returncode, out) for process, (out, _) in zip(processes, ended, strict=True)] == [
        (0, train)
    ] * 2, [err for _, err in ended]


def test_two_threads_that_prepare_a_dataset_both_get_it(tmp_path: Path) -> None:
    logged = []

    def prepare(_: int) -> int:
        return tfds_builder.prepared(SOURCE, str(tmp_path), None, logged.append).info.splits["train"].num_examples

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(prepare, range(2))) == [pictures.COUNTS["train"]] * 2
    assert logged == ["preparing pictures/png"]
