"""Runs the line in a child process, which frees all memory at its end and can be stopped.

child = Child(["python", "-m", "pipeline", "run", "--json", ...], root / "logs" / "schedule.log", limit=3600)
child().exit_code
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.lineage.states import RunState
from pipeline.schedule.state import Ended


@dataclass(frozen=True)
class Child:
    """A command that prints JSON about its run on stdout. Its stderr is appended to `log`."""

    command: list[str]
    log: Path
    limit: float | None = None  # seconds, after which SIGTERM is sent
    grace: float = 60.0  # seconds between SIGTERM and SIGKILL
    environment: Mapping[str, str] = field(default_factory=dict)  # in addition to that of this process
    read: Callable[[dict[str, Any]], Ended] | None = None  # converts the JSON of a successful run; None: `pushed`

    def __call__(self) -> Ended:
        """Runs the command and returns its outcome. Stops it on an interruption, or after `limit` seconds."""
        with self.log.open("ab") as log, tempfile.TemporaryFile() as out:
            log_offset = log.tell()
            # In a new session, Ctrl-C reaches only the scheduler, which sends SIGTERM once.
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
            timed_out = False
            try:
                process.wait(self.limit)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                self._stop(process)
            out.seek(0)
            stdout = out.read().decode(errors="replace")
        if timed_out:
            return Ended(
                process.returncode,
                f"longer than {(self.limit or 0) / 60:g} minutes: the next run continues from there",
                timed_out=True,
            )
        if process.returncode == 0:
            return _parse(stdout, self.read or pushed)
        return Ended(process.returncode, self._cause(log_offset, process.returncode))

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        try:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.grace)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and its child processes
            process.wait()

    def _cause(self, log_offset: int, code: int) -> str:
        """The error message in the log: the last line that is not indented, as remedies are."""
        with self.log.open("rb") as log:
            log.seek(log_offset)
            lines = log.read().decode(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip() and not line.startswith(" ")), "no output")
        return last if code > 0 else f"killed by {signal.Signals(-code).name}; last output: {last}"


def _parse(stdout: str, read: Callable[[dict[str, Any]], Ended]) -> Ended:
    try:
        return read(json.loads(stdout))
    except (ValueError, KeyError, TypeError):
        return Ended(0, "done")


def pushed(run: dict[str, Any]) -> Ended:
    """The outcome from the JSON of a run of all stages."""
    if run.get("state") == RunState.WAITING:
        return Ended(0, f"run {run['run']} waits for approval", special="waiting")
    text = f"version {run['version']}" if run["new"] else f"nothing changed, version {run['version']} is still served"
    return Ended(0, f"{text} (run {run['run']})", new=run["new"])


def drifted(run: dict[str, Any]) -> Ended:
    """The outcome from the JSON of a run that ended with the admission of spans. `new`: a span drifted."""
    spans = run["drifted"]
    message = "; ".join(spans.values()) if spans else f"no span drifted from the training data (run {run['run']})"
    return Ended(0, message, new=bool(spans), special=None if spans else "no drift")
