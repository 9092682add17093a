"""Faults of disk, clock and operator, each on a copy of a line that is about to do one of its stages.

tasks = spread(states, 200, seed=1)       # [Task(fault="full disk", state="train", chance=0.27), ...]
result = inflict(tasks[0], states, folder / "0", data_dir)     # Result(stage="train", kind="full disk", found=[])

Whatever the fault, the line succeeds or says in two lines what to do; nothing partial is served. When the disk has
room again, or the remedy was typed, the next run completes and reuses every finished stage.
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

from tests.crash import checks, victim
from tests.crash.case import Case
from tests.crash.damage import cut, flip, planted
from tests.crash.matrix import MODEL, Result, State

ROOM = 4096, 2**24  # bytes left on a disk that will be full
LONG_AGO = datetime(2019, 7, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Task:
    """What is done to which state; `chance` in [0, 1) says where or when."""

    fault: str
    state: str
    chance: float


@contextlib.contextmanager
def mounted(place: Path, *given: str) -> Iterator[Callable[[str], None]]:
    """A file system stands at `place`, and can be mounted there again with other options."""

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(place)], check=True, capture_output=True)

    mount(*given)
    try:
        yield lambda options: mount("-o", f"remount,{options}")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def full_disk(case: Case, chance: float) -> None:
    """A small file system of its own, with less room than the run may need."""
    case.root.mkdir()
    with mounted(case.root, "-t", "tmpfs", "-o", "size=1g", "tmpfs") as remount:
        case.copy()
        used = shutil.disk_usage(case.root).used
        remount(f"size={used + int(ROOM[0] * (ROOM[1] / ROOM[0]) ** chance)}")
        code = case.run()
        if code and not re.search("[Nn]o space left on|disk full", case.said):
            case.found.append(f"it ended with {code}, and not since the disk was full: {case.said[-300:]}")
        remount("size=1g")
        case.recover()


def read_only(case: Case, _: float) -> None:
    """First the serving directory may only be read, then all of ROOT: either is found out before a stage runs."""
    case.copy()
    case.shelf.parent.mkdir(parents=True, exist_ok=True)
    for place in (case.shelf.parent, case.root):
        with mounted(place, "--bind", str(place)) as remount:
            remount("bind,ro")
            code = case.run()
        if code != 2 or "Read-only file system" not in case.said:
            case.found.append(f"with {place.name} read-only it ended with {code}: {case.said[-300:]}")
    case.recover()


def asked_to_end(number: int) -> Callable[[Case, float], None]:
    def fault(case: Case, chance: float) -> None:
        case.copy()
        code = case.run(after=chance * case.state.seconds, number=number)
        if code not in (0, 130, -number):  # it had finished; it ended cleanly; it had not begun
            case.found.append(f"asked to end, it ended with {code}")
        if code == 130 and "interrupted: " not in case.said:
            case.found.append(f"it does not say that it was interrupted: {case.said[-300:]}")
        case.recover()

    return fault


def at_once(number: int) -> Callable[[Case, float], None]:
    def fault(case: Case, _: float) -> None:
        case.copy()
        codes = victim.wait([case.start() for _ in range(number)], case.poller)
        case.said = case.log.read_text(encoding="utf-8")
        if not set(codes) <= {0, 5} or 0 not in codes:
            case.found.append(f"{number} runs at once ended with {codes}: {case.said[-300:]}")
        case.recover()

    return fault


def two_pushes(case: Case, _: float) -> None:
    """Two stores push to one serving directory at the same time."""
    case.copy()
    other = case.folder / "other"
    shutil.copytree(case.root, other) if case.root.exists() else other.mkdir()
    shared = case.folder / "shared"
    if case.shelf.exists():
        shutil.copytree(case.root / "serving", shared)
    case.shelf = shared / MODEL
    case.poller = checks.Poller(case.shelf)
    roots, serving = (case.root, other), ("--serving-dir", str(shared))
    codes = victim.wait([case.start(*serving, root=root) for root in roots], case.poller)
    case.said = case.log.read_text(encoding="utf-8")
    for code in codes:
        case.judge(code)
    for root in roots:
        case.found += checks.after_a_kill(root)
        stood = checks.complete(root)
        if code := victim.wait([case.start(*serving, root=root)], case.poller)[0]:
            case.found.append(f"the next run ended with {code}: {case.log.read_text(encoding='utf-8')[-300:]}")
        else:
            case.found += checks.after_the_next_run(root, case.shelf, stood, case.state.models)


class Clock:
    """A clock that shows another time, and goes on."""

    def install(self) -> None:
        import time_machine

        time_machine.travel(LONG_AGO, tick=True).start()


def clock_set_back(case: Case, _: float) -> None:
    case.copy()
    if code := case.run(hooks=Clock()):
        case.found.append(f"with the clock set back it ended with {code}: {case.said[-300:]}")
    case.recover()


FAULTS: dict[str, Callable[[Case, float], None]] = {
    "full disk": full_disk,
    "read-only": read_only,
    "SIGTERM": asked_to_end(signal.SIGTERM),
    "Ctrl-C": asked_to_end(signal.SIGINT),
    "2 at once": at_once(2),
    "8 at once": at_once(8),
    "2 pushes": two_pushes,
    "clock back": clock_set_back,
    "bit flipped": planted(flip),
    "file removed": planted(lambda path, _: path.unlink()),
    "file cut": planted(cut),
}
PUSHES = ("push", "first push")
MOUNTS = ("full disk", "read-only")


def spread(states: dict[str, State], number: int, seed: int) -> list[Task]:
    """As many faults of each kind, over the states in turn; nothing can be planted before a stage has run."""
    chance = random.Random(seed)
    turns = {fault: itertools.cycle(_states(fault, states)) for fault in FAULTS if fault not in MOUNTS or _mounts()}
    return [
        Task(fault, next(turns[fault]), chance.random()) for fault in itertools.islice(itertools.cycle(turns), number)
    ]


def _mounts() -> bool:
    """Whether a file system can be mounted here; if not, `tests/end_to_end` limits the size of files instead."""
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


def inflict(task: Task, states: dict[str, State], folder: Path, data_dir: Path) -> Result:
    """Do it, look, and look again after the next run."""
    began = time.monotonic()
    folder.mkdir(parents=True)
    case = Case(states[task.state], folder, data_dir)
    FAULTS[task.fault](case, task.chance)
    found = case.poller.found + case.found
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    if not found:
        shutil.rmtree(folder)
    return Result(task.state, task.state, task.fault, found, case.poller.looks, time.monotonic() - began)
