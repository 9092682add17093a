"""Manifests: an artifact without a complete manifest does not exist; a damaged or forged manifest is refused."""

import json
from pathlib import Path

import pytest

from pipeline.store import Store
from schemas.artifacts import Examples, Statistics
from schemas.errors import DataError
from tests.pipeline.store.committed import SPLITS, forge, put


@pytest.mark.parametrize("manifest", [None, "", '{"files": {', "[]", '{"files": {}, "facts": {}}'])
def test_an_artifact_without_a_complete_manifest_does_not_exist(store: Store, manifest: str | None) -> None:
    path = put(store, Statistics(Path(), counts={})).path / "manifest.json"
    path.unlink()
    if manifest is not None:
        path.write_text(manifest, encoding="utf-8")
    assert store.find("stage", "key", Statistics) is None
    assert list(store.manifests("stage")) == []


def test_an_artifact_without_a_manifest_is_replaced(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={"old": 1}), old="old").path
    (path / "manifest.json").unlink()
    committed = put(store, Statistics(Path(), counts={"new": 1}), new="new")
    assert store.find("stage", "key", Statistics) == committed
    assert sorted(p.name for p in path.iterdir()) == ["manifest.json", "new"]
    assert list((store.root / "staging").iterdir()) == []


def test_a_manifest_lists_all_files_and_facts(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={"train": 3}), one="1", two="2").path
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["files"]) == ["one", "two"]
    assert manifest["facts"] == {"counts": {"train": 3}}


def test_every_flipped_bit_of_a_manifest_is_detected(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={"train": 3}), one="1", two="2").path / "manifest.json"
    content = path.read_bytes()
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        manifest = store.manifest("stage", "key")
        assert manifest is None or json.dumps(manifest, sort_keys=True) == json.dumps(
            json.loads(content), sort_keys=True
        ), content[i - 9 : i + 9]


@pytest.mark.parametrize("name", ["../../../store.json", "/etc/hostname", "deep/../../key/one"])
def test_a_manifest_with_file_names_outside_the_artifact_is_refused(store: Store, name: str) -> None:
    artifact = put(store, Statistics(Path(), counts={}), one="1")
    forge(artifact, files={name: {"size": 1, "sha256": "0" * 64}})
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert error.value.cause == f"artifact {artifact.path}: {name} leads out of its directory"


@pytest.mark.parametrize("shard", ["../../../../etc/hostname", "/etc/hostname", "..", "a/b"])
def test_a_manifest_with_shard_names_outside_the_artifact_is_refused(store: Store, shard: str) -> None:
    artifact = put(store, Examples(Path(), splits=SPLITS, source="mnist"), one="1")
    forge(artifact, facts={"splits": {"train": {"shards": [shard], "counts": [1]}}, "source": "mnist"})
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Examples)
    assert error.value.cause == f"shard {shard} leads out of its directory"


@pytest.mark.parametrize("entry", [{}, {"size": "1", "sha256": ""}, {"size": 1, "sha256": None}, 3])
def test_a_manifest_with_invalid_entries_is_ignored(store: Store, entry: object) -> None:
    artifact = put(store, Statistics(Path(), counts={}), one="1")
    path = artifact.path / "manifest.json"
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"files": {"one": entry}}), encoding="utf-8"
    )
    assert store.find("stage", "key", Statistics) is None
