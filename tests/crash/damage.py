"""Damages a file of the store or the serving directory: the damage must be found, and the remedy must work."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

from pipeline.serving import ModelDirectory
from schemas.errors import GatelineError
from tests.crash import checks
from tests.crash.case import Case
from tests.crash.matrix import MODEL


def flip(path: Path, fraction: float) -> None:
    content = bytearray(path.read_bytes())
    bit = int(fraction * 8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def cut(path: Path, fraction: float) -> None:
    os.truncate(path, int(fraction * path.stat().st_size))


def damaging(change: Callable[[Path, float], object]) -> Callable[[Case, float], None]:
    """A fault that damages a random file of the store or the serving directory: first a kind is drawn, then a file."""

    def fault(case: Case, fraction: float) -> None:
        case.copy()
        rng = random.Random(fraction)
        kinds: dict[tuple[str, ...], list[Path]] = {}
        for path in sorted(p for p in case.root.rglob("*") if p.is_file() and p.stat().st_size):
            kinds.setdefault(_kind(path.relative_to(case.root)), []).append(path)
        path = rng.choice(kinds[rng.choice(sorted(kinds))])
        relative_path = path.relative_to(case.root)
        original = path.read_bytes()
        change(path, rng.random())
        case.poller.trust(version.name for version in case.model_directory.glob("*"))
        if path.exists() and path.read_bytes() == original:
            raise AssertionError(f"{relative_path} was not changed")
        _check_detected(case, relative_path)
        _check_recovery(case, path, original)

    return fault


def _kind(relative_path: Path) -> tuple[str, ...]:
    """The kind of a file: its stage and its name without numbers."""
    parts = relative_path.parts
    if parts[0] == "artifacts":
        return ("artifacts", parts[1], re.sub(r"\d+", "", relative_path.name))
    return (parts[0], re.sub(r"\d+", "", relative_path.name))


def _check_detected(case: Case, relative_path: Path) -> None:
    """`store verify` or `serving verify` must find the change."""
    if relative_path.parts[0] == "artifacts" and (name := "/".join(relative_path.parts[1:3])) not in " ".join(
        checks.after_a_kill(case.root)
    ):
        case.findings.append(f"store verify does not find that {relative_path} was changed ({name})")
    if relative_path.parts[0] == "serving" and relative_path.parts[2].isdigit():
        model_directory = ModelDirectory(case.root / "serving", MODEL)
        try:
            differences = model_directory.differences(model_directory.version(int(relative_path.parts[2])))
        except GatelineError as error:
            differences = [str(error)]
        if not differences:
            case.findings.append(f"serving verify does not find that {relative_path} was changed")


def _check_recovery(case: Case, path: Path, original: bytes) -> None:
    """The run must complete, directly or after its remedy; where only a backup helps, the original is restored."""
    for _ in range(4):
        if case.run() == 0:
            break
        if force := re.search(r"--force (\w+)", case.output):
            if case.run("--force", force[1]) == 0:
                break
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(original)
    else:
        case.findings.append(f"{path.relative_to(case.root)}: no remedy helped: {case.output[-300:]}")
    served = [version for version in case.model_directory.glob("*") if version.name.isdigit()]
    case.findings += [
        f"version {v.name}: {wrong}" for v in served if not path.is_relative_to(v) for wrong in checks.incomplete(v)
    ]
