"""The line on the shipped sample as a user runs it: the command in a separate process.

line = Line(tmp_path / "root", data_dir, environment, REACHABLE)
done = line("run", "--force", "transform", sets=["train.epochs=3"])
"""

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

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


class Line:
    """Commands on one ROOT. `run` gets the settings of the line and of the call."""

    def __init__(self, root: Path, data_dir: str, environment: dict[str, str], sets: Sequence[str]) -> None:
        self.root, self.data_dir, self.environment, self.sets = root, data_dir, environment, sets
        self.model_directory = root / "serving" / "mnist_sample"

    def arguments(self, command: str, *arguments: str, sets: Sequence[str] = ()) -> list[str]:
        """The arguments of `python`."""
        settings = (f"source.data_dir={self.data_dir}", *self.sets, *sets) if command == "run" else ()
        options = [word for setting in settings for word in ("--set", setting)]
        return ["-m", "pipeline", command, *arguments, "--root", str(self.root), *options]

    def start(
        self,
        command: str = "run",
        *arguments: str,
        sets: Sequence[str] = (),
        python: Sequence[str] = (),  # options of the interpreter
        **options: object,
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *python, *self.arguments(command, *arguments, sets=sets)],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(self, command: str = "run", *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return ended(self.start(command, *arguments, **options))

    def kill_when(self, text: str) -> str:
        """Kills a run with signal 9 when a line of its progress starts with `text`; returns its output until then."""
        process = self.start()
        output = until(process, text)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive, "a killed run leaves no process behind"
        return output

    def versions(self) -> list[str]:
        return (
            sorted(p.name for p in self.model_directory.iterdir() if not p.name.startswith("."))
            if self.model_directory.exists()
            else []
        )


def until(process: subprocess.Popen[str], text: str) -> str:
    """Reads a run's progress until a line starts with `text`; returns the output until then."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(text):
            return "".join(lines)
    pytest.fail(f"no line starts with {text!r}: {''.join(lines)}{process.stdout.read()}")


def ended(process: subprocess.Popen[str], output: str = "") -> subprocess.CompletedProcess[str]:
    """The completed process. `output`: the part of its progress that was already read."""
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, output + err)


def reused(text: str) -> list[str]:
    """Stages that the progress reports as reused."""
    return [line.split()[0] for line in text.splitlines() if line.split()[1:2] == ["reused"]]
