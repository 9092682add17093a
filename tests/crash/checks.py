"""What must be true whatever happened: nothing partial, nothing lost.

poller = Poller(shelf)
poller()                   # about every millisecond
poller.found               # ["version 3: saved_model.pb is missing"]
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.lineage import Lineage
from pipeline.serving import PROVENANCE
from pipeline.store import Store
from pipeline.store.verify import verify
from schemas import files


@dataclass
class Poller:
    """A reader of one model's serving directory, as hasty as TensorFlow Serving: whatever has a number is loaded."""

    shelf: Path
    looks: int = 0
    found: list[str] = field(default_factory=list)
    _sound: set[str] = field(default_factory=set)

    def trust(self, names: Iterable[str]) -> None:
        """Versions that are not looked at: they were damaged on purpose, or stood beside one that was."""
        self._sound |= set(names)

    def __call__(self) -> None:
        self.looks += 1
        try:
            names = {path.name for path in self.shelf.iterdir() if path.name.isdigit()}
        except FileNotFoundError:
            names = set()
        self._sound &= names
        for name in names - self._sound:
            if (wrong := incomplete(self.shelf / name)) and (self.shelf / name).exists():
                self.found.append(f"version {name}: {wrong[0]}")
            self._sound.add(name)


def incomplete(version: Path) -> list[str]:
    """What of a version is not as its provenance says."""
    try:
        provenance = json.loads((version / PROVENANCE).read_text(encoding="utf-8"))
        listed = provenance["files"]
    except (OSError, ValueError, KeyError) as error:
        return [f"{PROVENANCE} cannot be read ({type(error).__name__})"]
    if not {"saved_model.pb", "variables/variables.index"} <= listed.keys():
        return ["its list of files lacks the SavedModel"]
    return files.differences(version, listed, contents=True)


def after_a_kill(root: Path) -> list[str]:
    """What is wrong with a ROOT whose run was just killed, before anybody tidied up."""
    if not (root / "store.json").exists():
        return []  # it died before there was a store
    return [f"{damage.artifact}: {damage.what}" for damage in verify(Store(root), Lineage.at(root, None)).damage]


def complete(root: Path) -> set[str]:
    """The artifacts that stand, as "<stage>/<key>"."""
    return {f"{p.parent.parent.name}/{p.parent.name}" for p in root.glob("artifacts/*/*/manifest.json")}


def after_the_next_run(root: Path, shelf: Path, stood: set[str], models: int) -> list[str]:
    """Faults after the run was repeated: it must have reused `stood`, and serve so many distinct models, each once."""
    lineage = Lineage.at(root, None)
    last = lineage.run(None)
    assert last
    executions = lineage.executions(last["run"])
    states = [run["state"] for run in lineage.runs()]
    found = after_a_kill(root)
    found += [
        f"{e['stage']} stood, and was {e['state']}"
        for e in executions
        if f"{e['stage']}/{e['key']}" in stood and e["state"] != "reused"
    ]
    found += [f"the last run is {last['state']}"] if last["state"] not in ("pushed", "unchanged") else []
    found += ["a run is still called running"] if "running" in states else []
    # Scratch of a stage that will never be asked for again is `store gc`'s to remove.
    done = {name.replace("/", "-") for name in complete(root)}
    left = [*(root / "staging").iterdir(), *(p for p in (root / "scratch").iterdir() if p.name in done), *litter(root)]
    found += [f"{path.relative_to(root)} was left" for path in left]
    versions = [path for path in shelf.iterdir() if path.name.isdigit()]
    found += [f"version {path.name}: {wrong}" for path in versions for wrong in incomplete(path)]
    served = Counter(identity(path) for path in versions)
    found += [f"model {model} is served {count} times" for model, count in served.items() if count > 1]
    found += [f"{len(served)} models are served, not {models}"] if len(served) != models else []
    return found


def litter(root: Path) -> list[Path]:
    """Temporary files that nobody will ever take away."""
    places = [root, *root.glob("serving/*"), *root.glob("serving/*/.history")]
    known = ("lineage.db", "lock", ".making", ".lock")
    return [
        p
        for place in places
        for p in place.glob(".*")
        if p.is_file() and p.name not in known and p.suffix.removeprefix(".").isdigit()
    ]


def identity(version: Path) -> str:
    """What tells one model from another: what it computes, not the bytes that two trainings of it differ in."""
    provenance: dict[str, Any] = json.loads((version / PROVENANCE).read_text(encoding="utf-8"))
    return str(provenance["identity"])
