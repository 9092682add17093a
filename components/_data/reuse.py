"""Parts of earlier artifacts of a stage that are linked instead of made again.

parts = Reuse(run, "parts.json")
if (facts := parts.link("train-0 3f9a...")) is None:             # the digest of all that the part depends on
    ...; parts.add("train-0 3f9a...", ["parts/train-0.npy"], facts)
parts.write()                                                    # the listing, for the next run
"""

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.engine.component import StageRun
from schemas import files
from schemas.artifacts import Sharded

EARLIER = 10  # artifacts that are looked at, the newest first


class Reuse:
    """The parts of a stage's artifact by digest, in a JSON file: the same for the same parts, linked or not."""

    def __init__(self, run: StageRun, listing: str) -> None:
        self.run, self.listing = run, listing
        self.parts: dict[str, dict[str, Any]] = {}
        self.linked = 0
        read = (_read(artifact.path, listing) for artifact in islice(run.previous(), EARLIER))
        self._earlier = [each for each in read if each]

    def link(self, digest: str) -> Any:
        """Links the files of a part from an earlier artifact, if they are as its manifest states.

        Returns its facts, or None if the part has to be made.
        """
        for path, manifest, parts in self._earlier:
            part = parts.get(digest)
            if part and files.link_checked(path, {name: manifest[name] for name in part["files"]}, self.run.out):
                self.parts[digest] = part
                self.linked += 1
                return part["facts"]
        return None

    def add(self, digest: str, names: Iterable[str], facts: Any = True) -> None:
        """A part that was made. `facts`: JSON values, not None."""
        self.parts[digest] = {"files": list(names), "facts": facts}

    def write(self) -> None:
        text = json.dumps(self.parts, indent=1, sort_keys=True)
        (self.run.out / self.listing).write_text(text, encoding="utf-8")

    def message(self, noun: str) -> str:
        made = len(self.parts) - self.linked
        return f"{self.linked:,} of {len(self.parts):,} {noun} unchanged, {made:,} read"


def _read(path: Path, listing: str) -> tuple[Path, dict[str, Any], dict[str, Any]] | None:
    """(path, files by the manifest, parts) of an artifact, unless they are damaged."""
    manifest = files.contents(path)
    if listing not in manifest or files.differences(path, {listing: manifest[listing]}, contents=True):
        return None
    parts = json.loads((path / listing).read_text(encoding="utf-8"))
    return path, manifest, {key: part for key, part in parts.items() if manifest.keys() >= {*part["files"]}}


def shard_digests(examples: Sharded) -> dict[str, str]:
    """By name of each shard, its name and SHA-256: from the manifest, which was checked, or computed without one."""
    manifest = files.contents(examples.path)
    digests = {}
    for _, path, _ in examples.shards():
        stated = manifest.get(path.name)
        digests[path.name] = f"{path.stem} {stated['sha256'] if stated else _sha256(path)}"
    return digests


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
