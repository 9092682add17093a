"""A run of the line in a process forked from this one, killed where it is about to write, or after a time.

run(command, log, Hooks(root, told, kill_at=17), meanwhile=poller)       # -9

The parent has imported TensorFlow and Beam, and has run no operation of theirs: it has no threads, so a fork is safe
and saves each victim six seconds of imports.
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
    """Import what the stages import, and nothing more."""
    for name in HEAVY:
        importlib.import_module(name)
    from tensorflow.python.eager import context

    assert not context.context()._initialized, "TensorFlow's threads would not survive a fork"


@dataclass
class Hooks:
    """What a victim watches of itself: each write below `root`, numbered from 0, before it happens."""

    root: Path
    told: Path  # gets a line for each write, or one for the write it died at
    kill_at: int | None = None  # none: every write is told
    numbers: Iterator[int] = field(default_factory=itertools.count, init=False)  # threads write, too

    def install(self) -> None:
        import sqlalchemy

        sync, self._root = os.fsync, str(self.root)

        def fsync(descriptor: int) -> None:
            self._about_to("fsync", _opened(descriptor if isinstance(descriptor, int) else descriptor.fileno()))
            sync(descriptor)

        os.fsync = fsync
        sys.addaudithook(self._hear)
        sqlalchemy.event.listen(
            sqlalchemy.Engine, "commit", lambda _: self._about_to("commit", f"{self._root}/lineage.db")
        )
        self._file = os.open(self.told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes) and (set(mode or "") & set("wax+") or (flags or 0) & WRITES):
                self._about_to("open", path)
        elif event in CHANGES:
            path, directory = arguments[0], arguments[-2] if event == "os.rename" else arguments[-1]
            if event in ("os.remove", "os.rmdir") and isinstance(directory, int) and directory >= 0:
                path = f"{_opened(directory)}/{os.fsdecode(path)}"
            self._about_to(CHANGES[event], path)

    def _about_to(self, what: str, path: Any) -> None:
        place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  (resolve() would look at the disk)
        if not f"{place}/".startswith(f"{self._root}/"):
            return
        number = next(self.numbers)
        if self.kill_at in (None, number):
            os.write(self._file, f"{json.dumps([stage_of(place[len(self._root) + 1 :]), what])}\n".encode())
        if self.kill_at == number:
            os.kill(os.getpid(), signal.SIGKILL)


def _opened(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def stage_of(place: str) -> str:
    """Whose write it is, by where below ROOT it goes."""
    parts = place.split("/")
    if parts[0] == "serving":
        return "push"
    if parts[0] == "artifacts":
        return parts[1] if len(parts) > 1 else "store"
    if parts[0] in ("staging", "scratch") and len(parts) > 1:
        names = [part for part in parts[1].split("-") if part not in ("replaced", "removed")]
        return names[0]
    return "lineage" if parts[0].startswith("lineage") else "store"


class Installed(Protocol):
    """What is changed in a victim before it runs."""

    def install(self) -> None: ...


def start(command: list[str], log: Path, changed: Installed | None) -> int:
    """The process that runs a command, its words appended to `log`."""
    log.touch()
    child = os.fork()
    if child == 0:
        _become(command, log, changed)
    return child


def wait(
    children: list[int], meanwhile: Callable[[], None], after: float | None = None, number: int = signal.SIGKILL
) -> list[int]:
    """Exit codes of processes, or minus the signals that ended them. Calls `meanwhile` about every millisecond until
    all have ended. After `after` seconds they get the signal `number`."""
    began, ended = time.monotonic(), dict[int, int]()
    while len(ended) < len(children):
        meanwhile()
        for child in [child for child in children if child not in ended]:
            gone, status = os.waitpid(child, os.WNOHANG)
            if gone:
                ended[child] = os.waitstatus_to_exitcode(status)
            elif after is not None and time.monotonic() - began > after:
                os.kill(child, number)
        if after is not None and time.monotonic() - began > after:
            after = None
        time.sleep(0.001)
    return [ended[child] for child in children]


def run(
    command: list[str], log: Path, hooks: Hooks | None, meanwhile: Callable[[], None], kill_after: float | None = None
) -> int:
    """The exit code of one command, or -9."""
    return wait([start(command, log, hooks)], meanwhile, kill_after)[0]


def _become(command: list[str], log: Path, changed: Installed | None) -> None:
    """Never returns."""
    from pipeline import cli

    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(fd), "w", buffering=1, encoding="utf-8") for fd in (1, 2))
        sys.argv = ["gateline", *command]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it begins with & ignore it
        if changed:
            changed.install()
        cli.main()
    finally:
        os._exit(99)
