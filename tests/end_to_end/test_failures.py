"""Runs that fail or are killed: exit codes, messages, and no partial result is left or served."""

import re
import resource
import threading
from pathlib import Path

import filelock
import pytest

from tests.components.pictures import contents
from tests.end_to_end.real_line import NOISE, REACHABLE, STAGES, Line, reused

pytestmark = pytest.mark.slow


def test_killed_runs_push_nothing_and_the_next_run_reuses_their_finished_stages(line):
    assert line.nothing_pushed
    assert reused(line.killed["ingest  "]) == []
    assert reused(line.killed["transform  "]) == []  # ingest was killed too
    assert reused(line.killed["train          epoch 1"]) == STAGES[:3]
    assert reused(line.killed["evaluate  "]) == STAGES[:5]
    assert reused(line.first.stderr) == STAGES[:6]


def test_a_killed_training_resumes_after_its_last_finished_epoch(line):
    assert "train          resumed after epoch 1\n" in line.killed["evaluate  "]
    assert "epoch 2/2" in line.killed["evaluate  "]


def test_a_second_run_at_the_same_time_is_refused_with_exit_code_5(line):
    assert line.meanwhile.returncode == 5
    assert line.meanwhile.stdout == ""
    assert (
        line.meanwhile.stderr
        == f"locked: another run holds {line.root / 'lock'}\n  Wait for it with --wait, or name another --root.\n"
    )


def test_a_second_run_that_waits_finds_nothing_changed(line):
    assert line.waited.returncode == 0
    assert f"nothing changed  {line.model_directory / '1'} already holds this model" in line.waited.stdout


def test_a_lock_held_by_another_process_is_exit_code_5(line):
    with filelock.FileLock(line.root / "lock"):
        done = line()
    assert done.returncode == 5
    assert done.stderr.startswith("locked: another run holds ")


# With `-O`, Python drops asserts: another floor, so that no refusal of the other case is reused.
@pytest.mark.parametrize(("python", "floor"), [((), "0.999"), (("-O",), "0.998")], ids=["python", "python -O"])
def test_a_model_below_a_gate_is_refused_with_exit_code_3_and_not_served(line, python, floor):
    before = contents(line.root / "serving")
    temporary = sorted(Path(line.environment["TMPDIR"]).iterdir())
    done = line(sets=[f"gates.accuracy={floor}"], python=python)
    assert done.returncode == 3
    assert re.search(r"^evaluate +done ", done.stderr, re.MULTILINE), done.stderr
    assert sorted(Path(line.environment["TMPDIR"]).iterdir()) == temporary
    assert contents(line.root / "serving") == before
    message = re.search(
        rf"^refused: accuracy is (0\.\d{{4}}); gates\.accuracy requires {floor}0 \((0\.\d{{4}}) short\)$",
        done.stderr,
        re.MULTILINE,
    )
    assert message, done.stderr
    assert float(message[1]) + float(message[2]) == pytest.approx(float(floor), abs=2e-4)
    assert "Improve the model, or lower the gate" in done.stderr
    assert not NOISE.search(done.stderr)
    again = line(sets=[f"gates.accuracy={floor}"], python=python)
    assert again.returncode == 3
    assert message[0] in again.stderr


@pytest.fixture
def fresh(data_dir, environment, tmp_path):
    """A line on a new ROOT."""
    return Line(tmp_path / "root", data_dir, environment, REACHABLE)


def test_data_that_violates_the_schema_is_refused_with_exit_code_4(fresh):
    """With --json, stdout is valid for programs although the dataset is prepared during the run."""
    source = ("source.tfds=pictures/label_ten", "source.module=tests.components.pictures", "source.validation=0.3")
    done = fresh("run", "--json", sets=(*source, "validate.skew=ignore"))
    assert done.returncode == 4, done.stderr
    assert "data: validation: label is 10 (1 times); mnist.pbtxt allows 0 to 9" in done.stderr
    assert "Nothing was trained." in done.stderr
    assert done.stdout == ""
    assert fresh.versions() == []
    assert not (fresh.root / "artifacts" / "transform").exists()


def test_a_full_disk_is_a_one_line_error_with_exit_code_75_and_pushes_nothing(fresh):
    """Files of at most 1 MB: the train shard has 3 MB."""
    done = fresh(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)))
    assert done.returncode == 75
    cause, *rest = [text for text in done.stderr.splitlines() if not text.startswith("ingest  ")]
    assert re.match(r"environment: .*no space left", cause), done.stderr
    assert len(rest) == 1
    assert fresh.versions() == []
    assert list((fresh.root / "staging").iterdir()) == []
    assert fresh().returncode == 0
    assert fresh.versions() == ["1"]


def test_a_dataset_that_cannot_be_downloaded_is_refused_with_two_remedies(fresh, tmp_path):
    """A proxy address without a listener simulates a machine without network."""
    fresh.data_dir = tmp_path / "data"
    (tmp_path / "manual").mkdir()
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    fresh.environment = (
        fresh.environment | dict.fromkeys(proxies, "http://127.0.0.1:9") | {"no_proxy": "", "NO_PROXY": ""}
    )
    process = fresh.start(
        sets=("source.tfds=fashion_mnist", "source.module=null", f"source.manual_dir={tmp_path / 'manual'}")
    )
    timer = threading.Timer(40, process.kill)
    timer.start()
    out, err = process.communicate()
    timer.cancel()
    assert process.returncode == 75, "it was still trying after 40 s" if process.returncode < 0 else err
    assert "environment: the dataset fashion_mnist cannot be prepared: " in err
    assert "Run again when the network works." in err
    assert "--set source.manual_dir=FOLDER" in err
    assert out == ""
