"""A run of the line in its own process, which frees its memory at the end and can be stopped.

child = Child(["python", "-m", "pipeline", "run", "--json", ...], root / "logs" / "schedule.log", limit=3600)
child().exit_code
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.schedule.state import Ended


@dataclass(frozen=True)
class Child:
    """A command that prints the run's JSON on stdout; its stderr goes to `log`."""

    command: list[str]
    log: Path
    limit: float | None = None  # seconds, after which it is asked to end
    grace: float = 60.0  # seconds until it is killed
    read: Callable[[dict[str, Any]], Ended] | None = None  # reads the JSON of a successful run; None: of a whole run

    def __call__(self) -> Ended:
        """Runs the command to its end. Asks it to stop on an interruption, or after `limit` seconds."""
        with self.log.open("ab") as log, tempfile.TemporaryFile() as out:
            began = log.tell()
            # Its own session: Ctrl-C reaches only the scheduler, which passes it on once.
            process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True
            )
            timed_out = False
            try:
                process.wait(self.limit)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                self._end(process)
            out.seek(0)
            printed = out.read().decode(errors="replace")
        if timed_out:
            return Ended(
                process.returncode,
                f"longer than {(self.limit or 0) / 60:g} minutes: the next run continues from there",
                timed_out=True,
            )
        if process.returncode == 0:
            return _done(printed, self.read or pushed)
        return Ended(process.returncode, self._cause(began, process.returncode))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.grace)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and its child processes
            process.wait()

    def _cause(self, began: int, code: int) -> str:
        """The last line that is not a remedy: the error itself."""
        with self.log.open("rb") as log:
            log.seek(began)
            lines = log.read().decode(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip() and not line.startswith(" ")), "no output")
        return last if code > 0 else f"killed by {signal.Signals(-code).name}; last output: {last}"


def _done(printed: str, read: Callable[[dict[str, Any]], Ended]) -> Ended:
    try:
        return read(json.loads(printed))
    except (ValueError, KeyError, TypeError):
        return Ended(0, "done")


def pushed(run: dict[str, Any]) -> Ended:
    """The outcome from the JSON of a whole run."""
    if run.get("state") == "waiting":
        return Ended(0, f"run {run['run']} waits for approval", special="waiting")
    what = f"version {run['version']}" if run["new"] else f"nothing changed, version {run['version']} is still served"
    return Ended(0, f"{what} (run {run['run']})", new=run["new"])


def drifted(run: dict[str, Any]) -> Ended:
    """The outcome from the JSON of a run that ended with admit: `new` where a span drifted."""
    far = run["stages"]["admit"]["drifted"]
    words = "; ".join(far.values()) if far else f"no span drifted from the training data (run {run['run']})"
    return Ended(0, words, new=bool(far), special=None if far else "no drift")
