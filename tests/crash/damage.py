"""A file of the store or the serving directory is damaged: that is found, and what is said of it helps."""

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
    if place.parts[0] == "artifacts" and (name := "/".join(place.parts[1:3])) not in " ".join(
        checks.after_a_kill(case.root)
    ):
        case.found.append(f"store verify does not find that {place} was changed ({name})")
    if place.parts[0] == "serving" and place.parts[2].isdigit():
        shelf = ModelDirectory(case.root / "serving", MODEL)
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
    case.found += [
        f"version {v.name}: {wrong}" for v in served if not path.is_relative_to(v) for wrong in checks.incomplete(v)
    ]
