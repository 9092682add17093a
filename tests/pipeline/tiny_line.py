"""Seven tiny stages of every kind, for tests that need a line and no learning.

pick -> double -> judge -> deliver        `parity` drops most of its input; `shelved` is looked up while planning.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.component import Node, StageRun, Unkeyed, component
from schemas.artifacts import Artifact, Gate
from schemas.errors import DataError

EVENTS: list[str] = []  # what ran in this process, in order


@dataclass(frozen=True)
class Number(Artifact):
    """Files: `number.txt`."""

    value: int


@dataclass(frozen=True)
class Judgement(Gate):
    """Files: `judgement.txt`. Its refusals are the data's fault."""

    refusal = DataError


@dataclass(frozen=True)
class Delivered(Artifact):
    """Files: none of its own."""


@component
def pick(*, value: int, place: Unkeyed[str] = "", run: StageRun) -> Number:
    EVENTS.append("pick")
    return _written(run, value)


@component
def parity(number: Number, *, run: StageRun) -> Number:
    EVENTS.append("parity")
    return _written(run, number.value % 2)


@component
def double(number: Number, *, factor: int = 2, run: StageRun) -> Number:
    EVENTS.append("double")
    return _written(run, number.value * factor)


@component
def judge(number: Number, *, most: int = 100, run: StageRun) -> Judgement:
    EVENTS.append("judge")
    (run.out / "judgement.txt").write_text(f"{number.value} of {most}\n", encoding="utf-8")
    reasons = () if number.value <= most else (f"{number.value} is over {most}", "which is a lot")
    return Judgement(run.out, passed=not reasons, reasons=reasons, remedy="Pick less.")


@component(kind="resolver")
def shelved(number: Number, *, shelf: Unkeyed[Path | None] = None) -> Number | None:
    EVENTS.append("shelved")
    found = int((shelf / "number.txt").read_text(encoding="utf-8")) if shelf and shelf.exists() else None
    return None if found is None else Number(shelf, digest=f"digest of {found}", value=found)


@component(completes="found")
def fetch(found: Number | None, *, shelf: Unkeyed[Path], run: StageRun) -> Number:
    """Puts a number on the shelf if there is none, as ingest prepares the dataset that it reads."""
    EVENTS.append("fetch")
    if found is None:
        shelf.mkdir()
        (shelf / "number.txt").write_text("9", encoding="utf-8")
    return _written(run, 9)


@component
def compare(number: Number, other: Number | None, *, run: StageRun) -> Number:
    EVENTS.append("compare")
    return _written(run, number.value - (other.value if other else 0))


@contextlib.contextmanager
def door() -> Iterator[str]:
    EVENTS.append("door opens")
    try:
        yield "an open door"
    finally:
        EVENTS.append("door closes")


@component(prefetch=door)
def walk_through(number: Number, *, run: StageRun) -> Number:
    EVENTS.append(f"walk through {run.prefetched}")
    return _written(run, number.value)


@component
def stumble(number: Number, *, over: str = "", run: StageRun) -> Number:
    """Fails as `over` says, after it has written something; later it goes on from its scratch."""
    EVENTS.append("stumble")
    (run.out / "half.txt").write_text("half", encoding="utf-8")
    with (run.scratch / "steps.txt").open("a", encoding="utf-8") as file:
        file.write("a step\n")
    if over == "a bug":
        raise ZeroDivisionError("one stone over no stones")
    if over == "the network":
        raise ConnectionRefusedError("nobody answers")
    if over == "data":
        raise DataError("number 3 is damaged", "Pick another.")
    return _written(run, len((run.scratch / "steps.txt").read_text(encoding="utf-8").splitlines()))


@component(kind="always")
def deliver(number: Number, judgement: Judgement, *, to: Unkeyed[Path], run: StageRun) -> Delivered:
    EVENTS.append("deliver")
    to.mkdir(exist_ok=True)
    (to / "number.txt").write_text(str(number.value), encoding="utf-8")
    return Delivered(to, digest=number.digest)


def line(to: Path, *, value: int = 1, factor: int = 2, most: int = 100, place: str = "") -> Node:
    number = double(number=pick(value=value, place=place), factor=factor)
    return deliver(number=number, judgement=judge(number=number, most=most), to=to)


def _written(run: StageRun, value: int) -> Number:
    (run.out / "number.txt").write_text(str(value), encoding="utf-8")
    return Number(run.out, value=value)
