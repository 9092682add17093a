"""The line from the outside: the command, its exit codes, what it prints, and what is left after the worst."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import psutil
import pytest

from tests.components.pictures import contents

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
STAGES = [
    "ingest",
    "describe",
    "validate",
    "transform",
    "tune",
    "train",
    "evaluate",
    "check_serving",
    "approve",
    "push",
]
CACHED = STAGES[:-2]  # approve and push run every time
REACHABLE = ("train.epochs=2", "gates.accuracy=0.7", "gates.per_class=0.3", "gates.drop=0.2")
NOISE = re.compile(r"tensorflow|absl|oneDNN|cuda|XLA|WARNING|Traceback|\bWarning\b|apache_beam", re.IGNORECASE)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A home and a temporary directory of its own, so that nothing is written to the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATELINE", "TF_", "TFDS"))}
    return kept | {"HOME": str(tmp_path_factory.mktemp("home")), "TMPDIR": str(tmp_path_factory.mktemp("temporary"))}


class Line:
    """The commands over one ROOT."""

    def __init__(self, root, data_dir, environment):
        self.root, self.data_dir, self.environment = root, data_dir, environment

    def start(self, *arguments, command="run", sets=REACHABLE, **given):
        options = (
            ["--set", f"source.data_dir={self.data_dir}", *(a for s in sets for a in ("--set", s))]
            if command == "run"
            else []
        )
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", command, *arguments, "--root", str(self.root), *options],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **given,
        )

    def __call__(self, *arguments, **given):
        process = self.start(*arguments, **given)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def kill_when(self, said):
        """Kill a run with signal 9 as soon as its progress says this; what it had said until then."""
        process = self.start()
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith(said):
                break
        else:
            pytest.fail(f"never said {said!r}: {''.join(lines)}{process.stdout.read()}")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive, "a killed run leaves no process behind"
        return "".join(lines)

    def versions(self):
        shelf = self.root / "serving" / "mnist_sample"
        return sorted(p.name for p in shelf.iterdir() if not p.name.startswith(".")) if shelf.exists() else []


def reused(text):
    """Stages that the progress calls reused."""
    return [line.split()[0] for line in text.splitlines() if line.split()[1:2] == ["reused"]]


@pytest.fixture(scope="module")
def line(sample, data_dir, environment, tmp_path_factory):
    """A ROOT whose first version was pushed by runs that were killed in four stages, and by one that was let be."""
    found = Line(tmp_path_factory.mktemp("line") / "root", data_dir, environment)
    found.killed = {
        said: found.kill_when(said) for said in ("ingest  ", "transform  ", "train          epoch 1", "evaluate  ")
    }
    found.nothing_pushed = found.versions() == []
    first = found.start()
    seen = []
    for text in first.stderr:
        seen.append(text)
        if text.startswith("evaluate  "):
            break
    found.meanwhile = found()
    found.waiting = found.start("--wait")
    out, err = first.communicate(timeout=300)
    found.first = subprocess.CompletedProcess(first.args, first.returncode, out, "".join(seen) + err)
    out, err = found.waiting.communicate(timeout=300)
    found.waited = subprocess.CompletedProcess(found.waiting.args, found.waiting.returncode, out, err)
    return found


def test_runs_that_are_killed_push_nothing_and_the_next_run_takes_up_where_they_were(line):
    assert line.nothing_pushed
    assert reused(line.killed["ingest  "]) == []
    assert reused(line.killed["transform  "]) == []  # ingest was killed too
    assert reused(line.killed["train          epoch 1"]) == STAGES[:3]
    assert reused(line.killed["evaluate  "]) == STAGES[:5]
    assert reused(line.first.stderr) == STAGES[:6]


def test_a_training_that_was_killed_goes_on_after_its_last_epoch(line):
    assert "train          resumed after epoch 1\n" in line.killed["evaluate  "]
    assert "epoch 2/2" in line.killed["evaluate  "]


def test_the_run_that_was_let_be_pushes_version_one(line):
    assert line.first.returncode == 0, line.first.stderr
    pushed = line.root / "serving" / "mnist_sample" / "1"
    assert f"pushed  {pushed}\n" in line.first.stdout
    assert (pushed / "saved_model.pb").exists()
    assert line.versions()[0] == "1"


def test_the_gates_are_shown(line):
    rows = [row.split() for row in line.first.stdout.splitlines()]
    gates = [row for row in rows if row and row[0] in ("accuracy", "per_class", "drop")]
    assert len(gates) == 11
    assert {row[-1] for row in gates} == {"passed"}
    assert gates[0][:4] == ["accuracy", "overall", "≥", "0.7000"]


def test_nothing_but_progress_is_printed(line):
    progress = re.compile(rf"^({'|'.join(STAGES)}) ")
    for run in (line.first, line.waited):
        assert [text for text in run.stderr.splitlines() if not progress.match(text)] == []
        assert not NOISE.search(run.stdout)
        assert not NOISE.search(run.stderr)


def test_a_second_run_at_once_is_refused_with_exit_code_5(line):
    assert line.meanwhile.returncode == 5
    assert line.meanwhile.stdout == ""
    assert (
        line.meanwhile.stderr
        == f"locked: another run holds {line.root / 'lock'}\n  Wait for it with --wait, or name another --root.\n"
    )


def test_a_second_run_that_waits_finds_nothing_changed(line):
    assert line.waited.returncode == 0
    assert (
        f"nothing changed  {line.root / 'serving' / 'mnist_sample' / '1'} already holds this model"
        in line.waited.stdout
    )


def test_a_run_again_reuses_everything_and_changes_nothing(line):
    before = contents(line.root / "serving")
    again = line()
    assert again.returncode == 0
    assert reused(again.stderr) == CACHED
    assert "nothing changed" in again.stdout
    assert contents(line.root / "serving") == before


def test_a_run_again_imports_nothing_heavy(line):
    sets = [a for s in (f"source.data_dir={line.data_dir}", *REACHABLE) for a in ("--set", s)]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "run", "--root", str(line.root), *sets],
        cwd=REPOSITORY,
        env=line.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    # What is imported while the run is on is told to its log, as all that is written to file descriptor 2.
    log = max((line.root / "logs").glob("run-*.log"), key=lambda path: path.stat().st_mtime_ns)
    told = (done.stderr + log.read_text(encoding="utf-8")).splitlines()
    imported = {text.rpartition("|")[2].strip() for text in told if text.startswith("import time:")}
    assert {"pipeline.engine.runner", "pipeline.serving"} <= imported
    assert not imported & {"tensorflow", "apache_beam", "keras", "tensorflow_datasets"}


def test_transformed_anew_to_the_same_end_nothing_behind_it_is_done_again(line):
    again = line("--force", "transform")
    assert again.returncode == 0, again.stderr
    assert reused(again.stderr) == [stage for stage in CACHED if stage != "transform"]
    assert "nothing changed" in again.stdout


def test_a_model_below_a_gate_is_refused_with_exit_code_3_and_the_serving_directory_stays(line):
    before = contents(line.root / "serving")
    temporary = sorted(Path(line.environment["TMPDIR"]).iterdir())
    found = line(sets=(*REACHABLE, "gates.accuracy=0.999"))
    assert found.returncode == 3
    assert sorted(Path(line.environment["TMPDIR"]).iterdir()) == temporary
    assert contents(line.root / "serving") == before
    words = re.search(
        r"^refused: accuracy is (0\.\d{4}); gates\.accuracy requires 0\.9990 \((0\.\d{4}) short\)$",
        found.stderr,
        re.MULTILINE,
    )
    assert words, found.stderr
    assert float(words[1]) + float(words[2]) == pytest.approx(0.999, abs=2e-4)
    assert "Train better, or lower the gate" in found.stderr
    assert not NOISE.search(found.stderr)
    again = line(sets=(*REACHABLE, "gates.accuracy=0.999"))
    assert again.returncode == 3
    assert words[0] in again.stderr


def test_a_second_model_is_compared_with_the_first(line):
    sets = (*REACHABLE, "train.epochs=3")
    second = line(sets=sets)
    assert second.returncode == 0, second.stderr
    assert line.versions() == ["1", "2"]
    (drop,) = [row.split() for row in second.stdout.splitlines() if row.split()[:1] == ["drop"]]
    assert drop[1:4] == ["overall", "≤", "0.2000"]
    again = line(sets=sets)
    assert "nothing changed" in again.stdout
    assert reused(again.stderr) == CACHED
    assert line.versions() == ["1", "2"]


def test_what_was_run_can_be_looked_at(line):
    runs = json.loads(line("--json", command="runs").stdout)
    states = [row["state"] for row in runs][::-1]
    assert states[:6] == ["killed", "killed", "killed", "killed", "pushed", "unchanged"]
    shown = json.loads(line("5", "--json", command="show").stdout)
    assert [(s["stage"], s["state"]) for s in shown["stages"]] == [(s, "reused") for s in STAGES[:6]] + [
        (s, "ran") for s in STAGES[6:]
    ]
    for command in (("5",), ()):
        found = line(*command, command="report")
        assert found.returncode == 0, found.stderr
        path = Path(found.stdout.splitlines()[-1].removeprefix("report").strip())
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    for command in ("runs", "show"):
        found = line(command=command)
        assert (found.returncode, found.stderr) == (0, "")
        assert not NOISE.search(found.stdout)


def test_a_lock_that_another_process_holds_is_exit_code_5(line):
    with filelock.FileLock(line.root / "lock"):
        found = line()
    assert found.returncode == 5
    assert found.stderr.startswith("locked: another run holds ")


@pytest.fixture
def fresh(data_dir, environment, tmp_path):
    return Line(tmp_path / "root", data_dir, environment)


def test_data_that_breaks_its_contract_is_refused_with_exit_code_4(fresh):
    """And with --json, what is printed to stdout stays for programs, though the dataset is prepared on the way."""
    source = ("source.tfds=pictures/label_ten", "source.module=tests.components.pictures", "source.validation=0.3")
    found = fresh("--json", sets=(*source, "validate.skew=ignore"))
    assert found.returncode == 4, found.stderr
    assert "data: validation: label is 10 (1 times); mnist.pbtxt allows 0 to 9" in found.stderr
    assert "Nothing was trained." in found.stderr
    assert found.stdout == ""
    assert fresh.versions() == []
    assert not (fresh.root / "artifacts" / "transform").exists()


def test_a_full_disk_is_one_line_and_exit_code_1_and_nothing_is_pushed(fresh):
    """Files of at most 1 MB: the train shard has 3 MB."""
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))}
    found = fresh(**limit)
    assert found.returncode == 1
    cause, *rest = [text for text in found.stderr.splitlines() if not text.startswith("ingest  ")]
    assert re.match(r"error: .*no space left", cause), found.stderr
    assert len(rest) == 1
    assert fresh.versions() == []
    assert list((fresh.root / "staging").iterdir()) == []
    assert fresh().returncode == 0
    assert fresh.versions() == ["1"]


def test_a_data_set_that_cannot_be_fetched_is_refused_soon_with_both_ways_out(fresh, tmp_path):
    """A proxy that nobody listens behind stands for a machine without network, wherever the tests run."""
    fresh.data_dir = tmp_path / "data"
    (tmp_path / "manual").mkdir()
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    fresh.environment = (
        fresh.environment | dict.fromkeys(proxies, "http://127.0.0.1:9") | {"no_proxy": "", "NO_PROXY": ""}
    )
    process = fresh.start(
        sets=("source.tfds=fashion_mnist", "source.module=null", f"source.manual_dir={tmp_path / 'manual'}")
    )
    late = threading.Timer(40, process.kill)
    late.start()
    out, err = process.communicate()
    late.cancel()
    assert process.returncode == 75, "it was still trying after 40 s" if process.returncode < 0 else err
    assert "environment: the dataset fashion_mnist cannot be prepared: " in err
    assert "Run again when the network works." in err
    assert "--set source.manual_dir=FOLDER" in err
    assert out == ""


def test_nothing_of_ours_was_written_to_the_home_of_the_user(line, environment):
    """Keras and Matplotlib keep a file there; datasets and results go where they were told."""
    assert {p.name for p in Path(environment["HOME"]).iterdir()} <= {".keras", ".cache", ".config"}
