"""Tiny stages of every kind, for tests that need a line but no training.

pick -> double -> judge -> deliver        `parity` keeps one bit of its input; `lookup` is resolved while planning.
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
    """Files: `judgement.txt`. A refusal is a `DataError`."""

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
def judge(number: Number, *, limit: int = 100, run: StageRun) -> Judgement:
    EVENTS.append("judge")
    (run.out / "judgement.txt").write_text(f"{number.value} of {limit}\n", encoding="utf-8")
    reasons = () if number.value <= limit else (f"{number.value} is over {limit}", "which is a lot")
    return Judgement(run.out, passed=not reasons, reasons=reasons, remedy="Pick less.")


@component(kind="resolver")
def lookup(number: Number, *, directory: Unkeyed[Path | None] = None) -> Number | None:
    EVENTS.append("lookup")
    value = int((directory / "number.txt").read_text(encoding="utf-8")) if directory and directory.exists() else None
    return None if value is None else Number(directory, digest=f"digest of {value}", value=value)


@component(completes="existing")
def fetch(existing: Number | None, *, directory: Unkeyed[Path], run: StageRun) -> Number:
    """Writes the number if there is none, as ingest prepares the dataset that it reads."""
    EVENTS.append("fetch")
    if existing is None:
        directory.mkdir()
        (directory / "number.txt").write_text("9", encoding="utf-8")
    return _written(run, 9)


@component
def compare(number: Number, other: Number | None, *, run: StageRun) -> Number:
    EVENTS.append("compare")
    return _written(run, number.value - (other.value if other else 0))


@contextlib.contextmanager
def connection() -> Iterator[str]:
    EVENTS.append("connection opens")
    try:
        yield "an open connection"
    finally:
        EVENTS.append("connection closes")


@component(prefetch=connection)
def use_prefetched(number: Number, *, run: StageRun) -> Number:
    EVENTS.append(f"prefetched: {run.prefetched}")
    return _written(run, number.value)


@component
def failing(number: Number, *, cause: str = "", run: StageRun) -> Number:
    """Writes files, then raises the error named `cause`; a later attempt continues from the scratch directory."""
    EVENTS.append("failing")
    (run.out / "half.txt").write_text("half", encoding="utf-8")
    with (run.scratch / "steps.txt").open("a", encoding="utf-8") as file:
        file.write("a step\n")
    if cause == "a bug":
        raise ZeroDivisionError("a bug in a stage")
    if cause == "the network":
        raise ConnectionRefusedError("connection refused")
    if cause == "data":
        raise DataError("number 3 is damaged", "Pick another.")
    return _written(run, len((run.scratch / "steps.txt").read_text(encoding="utf-8").splitlines()))


@component(kind="always")
def deliver(number: Number, judgement: Judgement, *, target: Unkeyed[Path], run: StageRun) -> Delivered:
    EVENTS.append("deliver")
    target.mkdir(exist_ok=True)
    (target / "number.txt").write_text(str(number.value), encoding="utf-8")
    return Delivered(target, digest=number.digest)


def line(target: Path, *, value: int = 1, factor: int = 2, limit: int = 100, place: str = "") -> Node:
    number = double(number=pick(value=value, place=place), factor=factor)
    return deliver(number=number, judgement=judge(number=number, limit=limit), target=target)


def _written(run: StageRun, value: int) -> Number:
    (run.out / "number.txt").write_text(str(value), encoding="utf-8")
    return Number(run.out, value=value)
