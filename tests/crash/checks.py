"""Invariants after every fault: nothing is partial, and nothing is lost.

poller = Poller(model_directory)
poller()                   # about every millisecond
poller.findings               # ["version 3: saved_model.pb is missing"]
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
    """Reads a model directory like TensorFlow Serving: every numbered folder is loaded at once."""

    model_directory: Path
    polls: int = 0
    findings: list[str] = field(default_factory=list)
    _checked: set[str] = field(default_factory=set)

    def trust(self, names: Iterable[str]) -> None:
        """Excludes versions from the check: those that existed when one was damaged on purpose."""
        self._checked |= set(names)

    def __call__(self) -> None:
        self.polls += 1
        try:
            names = {path.name for path in self.model_directory.iterdir() if path.name.isdigit()}
        except FileNotFoundError:
            names = set()
        self._checked &= names
        for name in names - self._checked:
            if (problem := incomplete(self.model_directory / name)) and (self.model_directory / name).exists():
                self.findings.append(f"version {name}: {problem[0]}")
            self._checked.add(name)


def incomplete(version: Path) -> list[str]:
    """Differences of a version from its provenance."""
    try:
        provenance = json.loads((version / PROVENANCE).read_text(encoding="utf-8"))
        listed = provenance["files"]
    except (OSError, ValueError, KeyError) as error:
        return [f"{PROVENANCE} cannot be read ({type(error).__name__})"]
    if not {"saved_model.pb", "variables/variables.index"} <= listed.keys():
        return ["its list of files lacks the SavedModel"]
    return files.differences(version, listed, contents=True)


def after_a_kill(root: Path) -> list[str]:
    """Problems of a ROOT whose run was just killed, before the next run cleans up."""
    if not (root / "store.json").exists():
        return []  # killed before the store was created
    return [f"{damage.artifact}: {damage.what}" for damage in verify(Store(root), Lineage.at(root, None)).damage]


def complete(root: Path) -> set[str]:
    """The complete artifacts, as "<stage>/<key>"."""
    return {f"{p.parent.parent.name}/{p.parent.name}" for p in root.glob("artifacts/*/*/manifest.json")}


def after_the_next_run(root: Path, model_directory: Path, complete_before: set[str], models: int) -> list[str]:
    """Problems after the next run: it must reuse `complete_before`, and serve `models` distinct models, each once."""
    lineage = Lineage.at(root, None)
    last = lineage.run(None)
    assert last
    executions = lineage.executions(last["run"])
    states = [run["state"] for run in lineage.runs()]
    findings = after_a_kill(root)
    findings += [
        f"{e['stage']} was complete, but {e['state']}"
        for e in executions
        if f"{e['stage']}/{e['key']}" in complete_before and e["state"] != "reused"
    ]
    findings += [f"the last run is {last['state']}"] if last["state"] not in ("pushed", "unchanged") else []
    findings += ["a run is still called running"] if "running" in states else []
    # `store gc` removes the scratch of stages that will not run again.
    done = {name.replace("/", "-") for name in complete(root)}
    leftovers = [
        *(root / "staging").iterdir(),
        *(p for p in (root / "scratch").iterdir() if p.name in done),
        *temporary_files(root),
    ]
    findings += [f"{path.relative_to(root)} was left" for path in leftovers]
    versions = [path for path in model_directory.iterdir() if path.name.isdigit()]
    findings += [f"version {path.name}: {problem}" for path in versions for problem in incomplete(path)]
    served = Counter(identity(path) for path in versions)
    findings += [f"model {model} is served {count} times" for model, count in served.items() if count > 1]
    findings += [f"{len(served)} models are served, not {models}"] if len(served) != models else []
    return findings


def temporary_files(root: Path) -> list[Path]:
    """Temporary files that no later run removes."""
    places = [root, *root.glob("serving/*"), *root.glob("serving/*/.history")]
    known = ("lineage.db", "lock", ".making", ".lock")
    return [
        p
        for place in places
        for p in place.glob(".*")
        if p.is_file() and p.name not in known and p.suffix.removeprefix(".").isdigit()
    ]


def identity(version: Path) -> str:
    """The identity of a model: its function, not its bytes, which differ between two trainings."""
    provenance: dict[str, Any] = json.loads((version / PROVENANCE).read_text(encoding="utf-8"))
    return str(provenance["identity"])
