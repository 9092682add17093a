"""Verifies a store: recomputes every digest.

result = verify(store, lineage)
result.damage      # [Damage(artifact="train/3f9a…", what="model.keras was altered: ...", remedy="...")]
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.lineage import Lineage
from pipeline.store import Store
from schemas import files


@dataclass(frozen=True)
class Damage:
    """A damaged file, and the remedy."""

    artifact: str  # "<stage>/<key>", or the name of a file in ROOT
    what: str
    remedy: str


@dataclass(frozen=True)
class Verified:
    """The numbers of checked artifacts, files and bytes, and the damage."""

    artifacts: int
    files: int
    bytes: int
    damage: list[Damage]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verify(store: Store, lineage: Lineage) -> Verified:
    """Checks every artifact against its manifest, and the lineage database. Changes nothing.

    Finds altered, truncated and added files, symbolic links, and artifacts without a manifest.
    """
    count = size = artifacts = 0
    damage: list[Damage] = []
    for path in artifact_directories(store.root):
        name, remedy = f"{path.parent.name}/{path.name}", f"Remove {path}: the next run that needs it makes it again."
        manifest = None if path.is_symlink() else store.manifest(path.parent.name, path.name)
        if manifest is None:
            fault = (
                "it is a symbolic link"
                if path.is_symlink()
                else f"it has no readable {files.MANIFEST}, so no run uses it"
            )
            damage.append(Damage(name, fault, f"Remove {path}."))
            continue
        artifacts, count = artifacts + 1, count + len(manifest["files"])
        size += sum(entry["size"] for entry in manifest["files"].values())
        lines = files.differences(path, manifest["files"], contents=True) + files.unlisted(path, manifest["files"])
        if (manifest["stage"], manifest["key"]) != (path.parent.name, path.name):
            lines.append(f"it is {manifest['stage']}/{manifest['key']}, moved here")
        damage += [Damage(name, fault, remedy) for fault in lines]
    damage += [Damage("lineage", fault, "Restore the database from a copy.") for fault in lineage.damage()]
    return Verified(artifacts, count, size, damage)


def artifact_directories(root: Path) -> list[Path]:
    """The directories of artifacts, `ROOT/artifacts/<stage>/<key>`, sorted."""
    return sorted(path for path in root.glob("artifacts/*/*") if path.is_symlink() or path.is_dir())
