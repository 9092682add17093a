"""A run of the line in a forked process that is killed right before a write or after a time.

run(command, log, Hooks(root, events_file, kill_at=17), meanwhile=poller)       # -9

The parent has imported TensorFlow and Beam but run none of their operations: it has no threads, so a fork is safe
and saves each run six seconds of imports.
"""

import importlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

HEAVY = (
    "apache_beam.runners.portability.fn_api_runner", "keras", "matplotlib.figure", "pyarrow.parquet", "tensorflow",
    "tensorflow_datasets", "tensorflow_model_analysis", "tensorflow_transform.beam",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {
    "os.rename": "rename",
    "os.mkdir": "mkdir",
    "os.remove": "unlink",
    "os.rmdir": "rmdir",
    "os.truncate": "truncate",
}


def warm_up() -> None:
    """Imports the libraries of the stages without starting threads."""
    for name in HEAVY:
        importlib.import_module(name)
    from tensorflow.python.eager import context

    assert not context.context()._initialized, "TensorFlow's threads would not survive a fork"


@dataclass
class Hooks:
    """Observes each write below `root` right before it happens, numbered from 0; kills the process at one of them."""

    root: Path
    events_file: Path  # one line per write, or one for the write at which it was killed
    kill_at: int | None = None  # None: every write is recorded
    numbers: Iterator[int] = field(default_factory=itertools.count, init=False)  # thread-safe

    def install(self) -> None:
        import sqlalchemy

        sync, self._root = os.fsync, str(self.root)

        def fsync(descriptor: int) -> None:
            self._about_to("fsync", _opened(descriptor if isinstance(descriptor, int) else descriptor.fileno()))
            sync(descriptor)

        os.fsync = fsync
        sys.addaudithook(self._audit)
        sqlalchemy.event.listen(
            sqlalchemy.Engine, "commit", lambda _: self._about_to("commit", f"{self._root}/lineage.db")
        )
        self._file = os.open(self.events_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes) and (set(mode or "") & set("wax+") or (flags or 0) & WRITES):
                self._about_to("open", path)
        elif event in CHANGES:
            path, directory = arguments[0], arguments[-2] if event == "os.rename" else arguments[-1]
            if event in ("os.remove", "os.rmdir") and isinstance(directory, int) and directory >= 0:
                path = f"{_opened(directory)}/{os.fsdecode(path)}"
            self._about_to(CHANGES[event], path)

    def _about_to(self, kind: str, path: Any) -> None:
        absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  (resolve() would read the disk)
        if not f"{absolute}/".startswith(f"{self._root}/"):
            return
        number = next(self.numbers)
        if self.kill_at in (None, number):
            os.write(self._file, f"{json.dumps([stage_of(absolute[len(self._root) + 1 :]), kind])}\n".encode())
        if self.kill_at == number:
            os.kill(os.getpid(), signal.SIGKILL)


def _opened(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def stage_of(relative_path: str) -> str:
    """The stage of a write, by its path relative to ROOT."""
    parts = relative_path.split("/")
    if parts[0] == "serving":
        return "push"
    if parts[0] == "artifacts":
        return parts[1] if len(parts) > 1 else "store"
    if parts[0] in ("staging", "scratch") and len(parts) > 1:
        names = [part for part in parts[1].split("-") if part not in ("replaced", "removed")]
        return names[0]
    return "lineage" if parts[0].startswith("lineage") else "store"


class Installed(Protocol):
    """Changes of a process before the command runs."""

    def install(self) -> None: ...


def start(command: list[str], log: Path, hooks: Installed | None) -> int:
    """Starts a process that runs a command and appends its output to `log`."""
    log.touch()
    child = os.fork()
    if child == 0:
        _become(command, log, hooks)
    return child


def wait(
    children: list[int], meanwhile: Callable[[], None], after: float | None = None, number: int = signal.SIGKILL
) -> list[int]:
    """Exit codes of processes, or minus the signals that ended them. Calls `meanwhile` about every millisecond until
    all have ended. After `after` seconds they get the signal `number`."""
    started, ended = time.monotonic(), dict[int, int]()
    while len(ended) < len(children):
        meanwhile()
        for child in [child for child in children if child not in ended]:
            ended_child, status = os.waitpid(child, os.WNOHANG)
            if ended_child:
                ended[child] = os.waitstatus_to_exitcode(status)
            elif after is not None and time.monotonic() - started > after:
                os.kill(child, number)
        if after is not None and time.monotonic() - started > after:
            after = None
        time.sleep(0.001)
    return [ended[child] for child in children]


def run(
    command: list[str], log: Path, hooks: Hooks | None, meanwhile: Callable[[], None], kill_after: float | None = None
) -> int:
    """The exit code of one command, or -9."""
    return wait([start(command, log, hooks)], meanwhile, kill_after)[0]


def _become(command: list[str], log: Path, hooks: Installed | None) -> None:
    """Never returns."""
    from pipeline import cli

    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(fd), "w", buffering=1, encoding="utf-8") for fd in (1, 2))
        sys.argv = ["gateline", *command]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background processes of a shell
        if hooks:
            hooks.install()
        cli.main()
    finally:
        os._exit(99)
