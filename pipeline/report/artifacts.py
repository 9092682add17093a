"""Artifacts of one run, as far as the store still has them. Reading never fails; damaged files are recorded.

remains = Remains(store, lineage.executions(7))
remains.json("evaluate", "gates.json", [])     # [] where it cannot be read
remains.missing                                # ["train"]: gone from the store, or made again since
remains.damaged                                # {"evaluate": ["gates.json"]}
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.dag import components
from pipeline.store import Store, from_facts
from schemas import files
from schemas.artifacts import Artifact
from schemas.contract import Contract
from schemas.errors import ConfigurationError

Json = dict[str, Any]


class Remains:
    """Artifacts are looked for in this store, wherever it lies now: what the lineage recorded is where it lay then."""

    def __init__(self, store: Store, stages: list[Json]) -> None:
        self.stages = {stage["stage"]: stage for stage in stages}
        self.damaged: dict[str, list[str]] = {}  # by stage: files that are there, or should be, and cannot be read
        self._store = store
        self._manifests: dict[str, Json | None] = {}

    def manifest(self, name: str) -> Json | None:
        """The manifest of the artifact that a stage left, if it is still there and still the same one."""
        if name not in self._manifests:
            self._manifests[name] = self._manifest(self.stages.get(name) or {})
        return self._manifests[name]

    def path(self, name: str) -> Path | None:
        """The directory of that artifact."""
        return self._store.path(name, self.stages[name]["key"]) if self.manifest(name) else None

    @property
    def described(self) -> str:
        """The stage that described what was trained on: mix where the run came to mix spans in, else describe."""
        return "mix" if self.stages.get("mix", {}).get("digest") else "describe"

    @property
    def contract(self) -> Contract | None:
        """The contract that the stages were given."""
        settings = [
            manifest.get("recipe", {}).get("settings", {}) for manifest in map(self.manifest, self.stages) if manifest
        ]
        found = next((each["contract"] for each in settings if "contract" in each), None)
        return Contract(found["name"], found["text"]) if found else None

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels are called, by that contract. Empty where it does not say."""
        try:
            return contract.names if (contract := self.contract) else ()
        except ConfigurationError:  # another version of this program took it
            return ()

    @property
    def missing(self) -> list[str]:
        """Stages whose artifacts are gone, or were made again since."""
        return [name for name, stage in self.stages.items() if stage["path"] and not self._stands(name)]

    def whole(self, name: str, file: str) -> Path | None:
        """The path of one of its files, if that is as long as it was."""
        return self._path(name, file, sized=True)

    def json(self, name: str, file: str, default: Any) -> Any:
        """The content of one of its files, or `default`, of the same type, if it cannot be read."""
        path = self._path(name, file, sized=False)
        if path is None:
            return default
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            found = None
        if isinstance(found, type(default)):
            return found
        self.harmed(name, file)
        return default

    def harmed(self, name: str, file: str) -> None:
        """Remember that a file cannot be read."""
        found = self.damaged.setdefault(name, [])
        if file not in found:
            found.append(file)

    def _manifest(self, stage: Json) -> Json | None:
        if not (stage.get("key") and stage["digest"]):
            return None
        found = self._store.manifest(stage["stage"], stage["key"])
        if found is None and (self._store.path(stage["stage"], stage["key"]) / files.MANIFEST).exists():
            self.harmed(stage["stage"], files.MANIFEST)
        return found if found and found["digest"] == stage["digest"] else None

    def _stands(self, name: str) -> bool:
        if name == "approve":  # it leaves nothing of its own
            return True
        if (
            name == "push"
        ):  # not of the store; of a path that is relative to where the run was started, nothing is known
            path = Path(self.stages[name]["path"])
            return not path.is_absolute() or _is(path.exists)
        return self.manifest(name) is not None or name in self.damaged

    def _path(self, name: str, file: str, *, sized: bool) -> Path | None:
        manifest, folder = self.manifest(name), self.path(name)
        recorded = manifest["files"].get(file) if manifest else None
        if folder is None or recorded is None:
            return None  # older versions left fewer files
        path = folder / file
        if _is(path.is_file) and not (sized and path.stat().st_size != recorded["size"]):
            return path
        self.harmed(name, file)
        return None


def recorded(stage: Json) -> Artifact | None:
    """The artifact of a lineage row, with the facts that were recorded. None if it has none of its present type."""
    kind = components().get(stage["stage"])
    if kind is None or not stage["facts"]:
        return None
    try:
        return from_facts(kind.output, Path(stage["path"] or ""), stage["facts"])
    except ValueError:  # a version of this program that recorded other facts
        return None


def _is(asked: Callable[[], bool]) -> bool:
    """No for what may not be looked at, too."""
    try:
        return asked()
    except (OSError, ValueError):
        return False
