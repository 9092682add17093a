"""Faults of disk, clock and operator, each on a copy of a line that is about to do one of its stages.

tasks = spread(states, 200, seed=1)       # [Task(fault="a full disk", state="train", chance=0.27), ...]
result = inflict(tasks[0], states, folder / "0", data_dir)     # Result(stage="train", kind="a full disk", found=[])

Whatever was done to it, the line ends well or says in two lines what to do; nothing partial is served; and when the disk has room
again, or the remedy was typed, the next run completes and every finished stage is reused.
"""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.serving import Shelf
from schemas.errors import GatelineError
from tests.crash import checks, matrix, victim
from tests.crash.matrix import MODEL, Result, State

ROOM = 4096, 2**24  # bytes left on a disk that will be full
LONG_AGO = datetime(2019, 7, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Task:
    """What is done to which state; `chance` in [0, 1) says where or when."""

    fault: str
    state: str
    chance: float


@dataclass
class Case:
    """A copy of a state, and what is seen of it."""

    state: State
    folder: Path
    data_dir: Path
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root, self.log = self.folder / "root", self.folder / "log"
        self.shelf = self.root / "serving" / MODEL
        self.poller = checks.Poller(self.shelf)

    def copy(self) -> None:
        if self.state.root.exists():
            shutil.copytree(self.state.root, self.root, dirs_exist_ok=True)

    def start(self, *more: str, hooks: victim.Installed | None = None, root: Path | None = None) -> int:
        return victim.start([*matrix.command(root or self.root, self.data_dir, self.state.seed), *more], self.log, hooks)

    def run(self, *more: str, hooks: victim.Installed | None = None, after: float | None = None, number: int = signal.SIGKILL) -> int:
        before = self.log.stat().st_size if self.log.exists() else 0
        code = victim.wait([self.start(*more, hooks=hooks)], self.poller, after, number)[0]
        self.said = self.log.read_text()[before:]
        self.judge(code)
        return code

    def judge(self, code: int) -> None:
        """An end in words, with a way out."""
        if "Traceback" in self.said:
            self.found.append(f"a traceback: {self.said[self.said.rindex('Traceback') :][:2000]}")
        elif code > 0 and not re.search(r"^\w+: .+\n  \S.+\Z", self.said.strip("\n"), re.MULTILINE):
            self.found.append(f"it ended with {code}, without a remedy: {self.said[-300:]}")

    def recover(self) -> None:
        """What was done is undone: the next run completes, and reuses what stood."""
        self.found += checks.after_a_kill(self.root)
        stood = checks.complete(self.root)
        if (code := self.run()) != 0:
            self.found.append(f"the next run ended with {code}: {self.said[-300:]}")
        else:
            self.found += checks.after_the_next_run(self.root, self.shelf, stood, self.state.models)


def full_disk(case: Case, chance: float) -> None:
    """A small file system of its own, with less room than the run may need."""
    case.root.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(case.root)]
    subprocess.run(mounted, check=True)
    try:
        case.copy()
        used = shutil.disk_usage(case.root).used
        room = int(ROOM[0] * (ROOM[1] / ROOM[0]) ** chance)
        subprocess.run(["mount", "-o", f"remount,size={used + room}", str(case.root)], check=True)
        code = case.run()
        if code and not re.search("[Nn]o space left on|disk full", case.said):
            case.found.append(f"it ended with {code}, and not since the disk was full: {case.said[-300:]}")
        subprocess.run(["mount", "-o", "remount,size=1g", str(case.root)], check=True)
        case.recover()
    finally:
        subprocess.run(["umount", str(case.root)], check=True)


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
        case.said = case.log.read_text()
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
    case.said = case.log.read_text()
    for code in codes:
        case.judge(code)
    for root in roots:
        case.found += checks.after_a_kill(root)
        stood = checks.complete(root)
        if code := victim.wait([case.start(*serving, root=root)], case.poller)[0]:
            case.found.append(f"the next run ended with {code}: {case.log.read_text()[-300:]}")
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


def flip(path: Path, chance: float) -> None:
    content = bytearray(path.read_bytes())
    bit = int(chance * 8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def cut(path: Path, chance: float) -> None:
    os.truncate(path, int(chance * path.stat().st_size))


def planted(change: Callable[[Path, float], object]) -> Callable[[Case, float], None]:
    """A file of the store or the serving directory is damaged. Any file: first a kind is drawn, then one of it."""

    def fault(case: Case, chance: float) -> None:
        case.copy()
        dice = random.Random(chance)
        kinds: dict[tuple[str, ...], list[Path]] = {}
        for path in sorted(p for p in case.root.rglob("*") if p.is_file() and p.stat().st_size):
            kinds.setdefault(_kind(path.relative_to(case.root)), []).append(path)
        path = dice.choice(kinds[dice.choice(sorted(kinds))])
        place = path.relative_to(case.root)
        whole = path.read_bytes()
        change(path, dice.random())
        case.poller.trust(version.name for version in case.shelf.glob("*"))
        if path.exists() and path.read_bytes() == whole:
            raise AssertionError(f"{place} was not changed")
        _seen(case, place)
        _mended(case, path, whole)

    return fault


def _kind(place: Path) -> tuple[str, ...]:
    """Files of one stage and one sort are of a kind; so are those of any version."""
    parts = place.parts
    if parts[0] == "artifacts":
        return ("artifacts", parts[1], re.sub(r"\d+", "", place.name))
    return (parts[0], re.sub(r"\d+", "", place.name))


def _seen(case: Case, place: Path) -> None:
    """`store verify`, or `serving verify`, finds the change."""
    if place.parts[0] == "artifacts" and (name := "/".join(place.parts[1:3])) not in " ".join(checks.after_a_kill(case.root)):
        case.found.append(f"store verify does not find that {place} was changed ({name})")
    if place.parts[0] == "serving" and place.parts[2].isdigit():
        shelf = Shelf(case.root / "serving", MODEL)
        try:
            differences = shelf.differences(shelf.version(int(place.parts[2])))
        except GatelineError as error:
            differences = [str(error)]
        if not differences:
            case.found.append(f"serving verify does not find that {place} was changed")


def _mended(case: Case, path: Path, whole: bytes) -> None:
    """The run completes, or does once what it says was typed; where only a copy helps, the copy is put back."""
    for _ in range(4):
        if case.run() == 0:
            break
        if force := re.search(r"--force (\w+)", case.said):
            if case.run("--force", force[1]) == 0:
                break
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(whole)
    else:
        case.found.append(f"{path.relative_to(case.root)}: no remedy helped: {case.said[-300:]}")
    served = [version for version in case.shelf.glob("*") if version.name.isdigit()]
    case.found += [f"version {v.name}: {wrong}" for v in served if not path.is_relative_to(v) for wrong in checks.incomplete(v)]


FAULTS: dict[str, Callable[[Case, float], None]] = {
    "full disk": full_disk,
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


def spread(states: dict[str, State], number: int, seed: int) -> list[Task]:
    """So many faults, of each kind as many, over the states in turn; nothing can be planted before there is anything."""
    chance = random.Random(seed)
    turns = {fault: itertools.cycle(_states(fault, states)) for fault in FAULTS if fault != "full disk" or _small_disks()}
    return [Task(fault, next(turns[fault]), chance.random()) for fault in itertools.islice(itertools.cycle(turns), number)]


def _small_disks() -> bool:
    """Whether a file system can be mounted here; if not, `tests/end_to_end` still fills one by a limit on the size of files."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True).returncode == 0
        if mounted:
            subprocess.run(["umount", folder], check=True)
        return mounted


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
    (folder / "found.json").write_text(json.dumps(found))
    if not found:
        shutil.rmtree(folder)
    return Result(task.state, task.state, task.fault, False, found, case.poller.looks, time.monotonic() - began)
