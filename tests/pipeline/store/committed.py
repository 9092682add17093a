"""Helpers that commit artifacts to a store and forge their manifests."""

import json

from pipeline.lineage import now
from pipeline.store import Store
from schemas import files
from schemas.artifacts import Artifact, Split

SPLITS = {"train": Split(("train-0.tfrecord", "train-1.tfrecord"), (3, 0)), "test": Split((), ())}
RECIPE = {"code": {}, "settings": {"epochs": 3}, "inputs": {}, "versions": {}}


def put(store: Store, artifact: Artifact, key: str = "key", **files: str) -> Artifact:
    """Commits an artifact with these facts and files."""
    with store.staging("stage", key) as out:
        for name, text in (files or {"file": "content"}).items():
            (out / name).write_text(text, encoding="utf-8")
        facts = {name: value for name, value in vars(artifact).items() if name not in ("path", "digest")}
        return store.commit(type(artifact)(out, **facts), "stage", key, RECIPE, now())


def forge(artifact: Artifact, **changes: object) -> None:
    """Changes the manifest and updates its digest and seal, as an attacker would."""
    path = artifact.path / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | changes
    manifest["digest"] = files.digest(manifest["files"], manifest["facts"])
    manifest["seal"] = files.seal(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
