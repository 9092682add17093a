"""Artifacts of one recorded run by type, if they still exist in the store.

artifacts = StoredArtifacts(store, lineage.executions(7))
artifacts.last(Pushed)                            # with the facts of the lineage; None if the run made none
artifacts.read(Evaluation, Evaluation.gates)      # None if the artifact is deleted or its file is damaged
artifacts.missing                                 # ["train"]: deleted from the store, or replaced
artifacts.damaged                                 # {"evaluate": ["gates.json"]}
artifacts.problems                                # {"gates": "gates.json of evaluate is damaged and cannot be read."}
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pipeline.dag import outputs
from pipeline.store import Store
from pipeline.store.recorded import Json, RecordedArtifacts
from schemas import files
from schemas.artifacts import Approval, Artifact, DamagedFile, Pushed

A = TypeVar("A", bound=Artifact)
T = TypeVar("T")


class StoredArtifacts(RecordedArtifacts):
    """Looks up artifacts in `store`. The paths in the lineage are not used: the store may have been moved."""

    def __init__(self, store: Store, executions: Iterable[Json]) -> None:
        super().__init__(executions, outputs())
        self.damaged: dict[str, list[str]] = {}  # by stage: files that the manifest lists but that cannot be read
        self.problems: dict[str, str] = {}  # by name of the artifact's method: why it has no result
        self._store = store
        self._manifests: dict[str, Json | None] = {}

    def stored(self, kind: type[A], *, first: bool = False) -> A | None:
        """The last (or first) artifact of this type, with its path in the store. None if it was deleted or replaced."""
        artifact, row = self.first(kind) if first else self.last(kind), self.row(kind, first=first)
        if artifact is None or row is None or self.manifest(row["stage"]) is None:
            return None
        return dataclasses.replace(artifact, path=self._store.path(row["stage"], row["key"]))

    def read(self, kind: type[A], method: Callable[[A], T], *, first: bool = False) -> T | None:
        """Calls a method of the last (or first) artifact of this type. None if its files cannot be read."""
        row, artifact = self.row(kind, first=first), self.stored(kind, first=first)
        name = getattr(method, "__name__", "")
        if row is None:
            return None
        if artifact is None:
            self._explain_absence(row["stage"], name)
            return None
        try:
            return method(artifact)
        except DamagedFile as error:
            if self.is_damage(row["stage"], error):
                self._damage(row["stage"], error.file, name)
            return None

    def is_damage(self, stage: str, error: DamagedFile) -> bool:
        """Whether the manifest lists the file. Otherwise an older version of gateline did not write it."""
        return error.file in (self.manifest(stage) or {}).get("files", {})

    def manifest(self, stage: str) -> Json | None:
        """The manifest of the artifact of a stage. None if it was deleted or replaced by other content."""
        if stage not in self._manifests:
            self._manifests[stage] = self._manifest(self.executions.get(stage) or {})
        return self._manifests[stage]

    @property
    def manifests(self) -> list[Json]:
        """The manifests of all artifacts that are still in the store."""
        return [manifest for manifest in map(self.manifest, self.executions) if manifest]

    @property
    def missing(self) -> list[str]:
        """Stages whose artifacts were deleted from the store or replaced."""
        return [stage for stage, row in self.executions.items() if row["path"] and not self._exists(row)]

    def _exists(self, row: Json) -> bool:
        kind = self.kinds.get(row["stage"], Artifact)
        if issubclass(kind, Approval):  # has no files
            return True
        if issubclass(kind, Pushed):  # outside the store; a relative path depends on the working directory of the run
            path = Path(row["path"])
            return not path.is_absolute() or _exists(path)
        return self.manifest(row["stage"]) is not None or row["stage"] in self.damaged

    def _manifest(self, row: Json) -> Json | None:
        if not (row.get("key") and row["digest"]):
            return None
        manifest = self._store.manifest(row["stage"], row["key"])
        if manifest is None and (self._store.path(row["stage"], row["key"]) / files.MANIFEST).exists():
            self._damage(row["stage"], files.MANIFEST)
        return manifest if manifest and manifest["digest"] == row["digest"] else None

    def _explain_absence(self, stage: str, method: str) -> None:
        if stage in self.missing:
            self.problems[method] = f"The artifact of {stage} was deleted from the store or replaced."
        elif self.damaged.get(stage):
            self._damage(stage, files.MANIFEST, method)

    def _damage(self, stage: str, file: str, method: str = "") -> None:
        names = self.damaged.setdefault(stage, [])
        if file not in names:
            names.append(file)
        if method:
            self.problems[method] = f"{file} of {stage} is damaged and cannot be read."


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no permission, or an invalid path
        return False
