"""Faults of disk, clock and operator, each on a copy of a line that is about to run one of its stages.

tasks = spread(states, 200, seed=1)       # [Task(fault="full disk", state="train", fraction=0.27), ...]
result = inject(tasks[0], states, folder / "0", data_dir)     # Result(stage="train", kind="full disk", findings=[])

With every fault, the line succeeds or prints a cause and a remedy; nothing partial is served. When the disk has
space again, or the remedy was applied, the next run completes and reuses every finished stage.
"""

import contextlib
import itertools
import json
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.crash import checks, forked_run
from tests.crash.case import Case
from tests.crash.damage import cut, damaging, flip
from tests.crash.matrix import MODEL, Result, State

ROOM = 4096, 2**24  # free bytes on the disk that fills up: minimum and maximum
LONG_AGO = datetime(2019, 7, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Task:
    """A fault and the state it is injected into; `fraction` in [0, 1) determines where or when."""

    fault: str
    state: str
    fraction: float


@contextlib.contextmanager
def mounted(directory: Path, *mount_arguments: str) -> Iterator[Callable[[str], None]]:
    """Mounts a file system at `directory`; yields a function that remounts it with other options."""

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(directory)], check=True, capture_output=True)

    mount(*mount_arguments)
    try:
        yield lambda options: mount("-o", f"remount,{options}")
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def full_disk(case: Case, fraction: float) -> None:
    """ROOT on a small file system with less space than the run may need."""
    case.root.mkdir()
    with mounted(case.root, "-t", "tmpfs", "-o", "size=1g", "tmpfs") as remount:
        case.copy()
        used = shutil.disk_usage(case.root).used
        remount(f"size={used + int(ROOM[0] * (ROOM[1] / ROOM[0]) ** fraction)}")
        code = case.run()
        if code and not re.search("[Nn]o space left on|disk full", case.output):
            case.findings.append(f"it ended with {code}, but not because the disk was full: {case.output[-300:]}")
        remount("size=1g")
        case.recover()


def read_only(case: Case, _: float) -> None:
    """First the serving directory is read-only, then all of ROOT: both are detected before a stage runs."""
    case.copy()
    case.model_directory.parent.mkdir(parents=True, exist_ok=True)
    for directory in (case.model_directory.parent, case.root):
        with mounted(directory, "--bind", str(directory)) as remount:
            remount("bind,ro")
            code = case.run()
        if code != 2 or "Read-only file system" not in case.output:
            case.findings.append(f"with {directory.name} read-only it ended with {code}: {case.output[-300:]}")
    case.recover()


def signalled(number: int) -> Callable[[Case, float], None]:
    def fault(case: Case, fraction: float) -> None:
        case.copy()
        code = case.run(after=fraction * case.state.seconds, number=number)
        if code not in (0, 130, -number):  # finished; ended cleanly; not started
            case.findings.append(f"after signal {number} it ended with {code}")
        if code == 130 and "interrupted: " not in case.output:
            case.findings.append(f"it does not say that it was interrupted: {case.output[-300:]}")
        case.recover()

    return fault


def concurrent_runs(number: int) -> Callable[[Case, float], None]:
    def fault(case: Case, _: float) -> None:
        case.copy()
        codes = forked_run.wait([case.start() for _ in range(number)], case.poller)
        case.output = case.log.read_text(encoding="utf-8")
        if not set(codes) <= {0, 5} or 0 not in codes:
            case.findings.append(f"{number} runs at once ended with {codes}: {case.output[-300:]}")
        case.recover()

    return fault


def two_pushes(case: Case, _: float) -> None:
    """Two stores push to one serving directory at the same time."""
    case.copy()
    other = case.folder / "other"
    shutil.copytree(case.root, other) if case.root.exists() else other.mkdir()
    shared = case.folder / "shared"
    if case.model_directory.exists():
        shutil.copytree(case.root / "serving", shared)
    case.model_directory = shared / MODEL
    case.poller = checks.Poller(case.model_directory)
    roots, serving = (case.root, other), ("--serving-dir", str(shared))
    codes = forked_run.wait([case.start(*serving, root=root) for root in roots], case.poller)
    case.output = case.log.read_text(encoding="utf-8")
    for code in codes:
        case.check_end(code)
    for root in roots:
        case.findings += checks.after_a_kill(root)
        complete_before = checks.complete(root)
        if code := forked_run.wait([case.start(*serving, root=root)], case.poller)[0]:
            case.findings.append(f"the next run ended with {code}: {case.log.read_text(encoding='utf-8')[-300:]}")
        else:
            case.findings += checks.after_the_next_run(root, case.model_directory, complete_before, case.state.models)


class Clock:
    """A clock that is set to another time and continues."""

    def install(self) -> None:
        import time_machine

        time_machine.travel(LONG_AGO, tick=True).start()


def clock_set_back(case: Case, _: float) -> None:
    case.copy()
    if code := case.run(hooks=Clock()):
        case.findings.append(f"with the clock set back it ended with {code}: {case.output[-300:]}")
    case.recover()


FAULTS: dict[str, Callable[[Case, float], None]] = {
    "full disk": full_disk,
    "read-only": read_only,
    "SIGTERM": signalled(signal.SIGTERM),
    "Ctrl-C": signalled(signal.SIGINT),
    "2 at once": concurrent_runs(2),
    "8 at once": concurrent_runs(8),
    "2 pushes": two_pushes,
    "clock back": clock_set_back,
    "bit flipped": damaging(flip),
    "file removed": damaging(lambda path, _: path.unlink()),
    "file cut": damaging(cut),
}
PUSHES = ("push", "first push")
MOUNTS = ("full disk", "read-only")


def spread(states: dict[str, State], number: int, seed: int) -> list[Task]:
    """The same number of faults of each kind, over the states in turn; damage needs a stage that has run."""
    rng = random.Random(seed)
    cycles = {fault: itertools.cycle(_states(fault, states)) for fault in FAULTS if fault not in MOUNTS or _mounts()}
    return [
        Task(fault, next(cycles[fault]), rng.random()) for fault in itertools.islice(itertools.cycle(cycles), number)
    ]


def _mounts() -> bool:
    """Whether file systems can be mounted; if not, `tests/end_to_end` limits the size of files instead."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(Path(folder), "-t", "tmpfs", "tmpfs"):
                return True
        except subprocess.CalledProcessError:
            return False


def _states(fault: str, states: dict[str, State]) -> list[str]:
    if fault == "2 pushes":
        return [name for name in states if name in PUSHES]
    return [name for name in states if name != "cold" or fault not in ("bit flipped", "file removed", "file cut")]


def inject(task: Task, states: dict[str, State], folder: Path, data_dir: Path) -> Result:
    """Injects a fault and checks the invariants before and after the next run."""
    started = time.monotonic()
    folder.mkdir(parents=True)
    case = Case(states[task.state], folder, data_dir)
    FAULTS[task.fault](case, task.fraction)
    findings = case.poller.findings + case.findings
    (folder / "found.json").write_text(json.dumps(findings), encoding="utf-8")
    if not findings:
        shutil.rmtree(folder)
    return Result(task.state, task.state, task.fault, findings, case.poller.polls, time.monotonic() - started)
