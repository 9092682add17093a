"""Artifacts on disk: each complete or absent."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.lineage import now
from pipeline.store import Store
from schemas.artifacts import Artifact, Evaluation, Examples, Features, Model, Split, Statistics, Verdict
from schemas.errors import ConfigurationError, DataError, Locked, StoreError

SPLITS = {"train": Split(("train-0.tfrecord", "train-1.tfrecord"), (3, 0)), "test": Split((), ())}
RECIPE = {"code": {}, "settings": {"epochs": 3}, "inputs": {}, "versions": {}}


def put(store: Store, artifact: Artifact, key: str = "key", **files: str) -> Artifact:
    """Commit an artifact of those facts and files."""
    with store.staging("stage", key) as out:
        for name, text in (files or {"file": "content"}).items():
            (out / name).write_text(text)
        facts = {name: value for name, value in vars(artifact).items() if name not in ("path", "digest")}
        return store.commit(type(artifact)(out, **facts), "stage", key, RECIPE, now())


@pytest.mark.parametrize(
    "artifact",
    [
        Examples(Path(), splits=SPLITS, source="mnist:3.0.1"),
        Statistics(Path(), counts={"train": 3, "test": 0}),
        Verdict(Path(), passed=False, reasons=("too few", "too many"), remedy="Mend it.", warnings=("odd",)),
        Features(Path(), splits=SPLITS, shape=(28, 28, 1), classes=10, one_hot=True),
        Model(Path(), epochs=3, validation_accuracy=0.1 + 0.2),
        Evaluation(Path(), passed=True, accuracy=1.0, loss=1e-9, saved_model="abc", baseline=None),
    ],
    ids=lambda artifact: type(artifact).__name__,
)
def test_what_was_committed_is_found_with_all_its_facts(store: Store, artifact: Artifact) -> None:
    committed = put(store, artifact, file="content")
    assert committed.path == store.root / "artifacts" / "stage" / "key"
    assert (committed.path / "file").read_text() == "content"
    assert len(committed.digest) == 64
    assert store.find("stage", "key", type(artifact)) == committed
    assert Store(store.root).find("stage", "key", type(artifact)) == committed


def test_the_same_content_has_the_same_digest_under_every_key(store: Store) -> None:
    one, same, other = (put(store, Statistics(Path(), counts={}), key, file=text) for key, text in (("a", "x"), ("b", "x"), ("c", "y")))
    assert one.digest == same.digest != other.digest


def test_an_artifact_that_was_never_made_does_not_exist(store: Store) -> None:
    assert store.find("stage", "key", Statistics) is None
    assert list(store.manifests("stage")) == []


@pytest.mark.parametrize("manifest", [None, "", '{"files": {', "[]", '{"files": {}, "facts": {}}'])
def test_an_artifact_without_a_whole_manifest_does_not_exist(store: Store, manifest: str | None) -> None:
    path = put(store, Statistics(Path(), counts={})).path / "manifest.json"
    path.unlink()
    if manifest is not None:
        path.write_text(manifest)
    assert store.find("stage", "key", Statistics) is None
    assert list(store.manifests("stage")) == []


def test_an_artifact_without_a_manifest_makes_room_for_a_new_one(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={"old": 1}), old="old").path
    (path / "manifest.json").unlink()
    committed = put(store, Statistics(Path(), counts={"new": 1}), new="new")
    assert store.find("stage", "key", Statistics) == committed
    assert sorted(p.name for p in path.iterdir()) == ["manifest.json", "new"]
    assert list((store.root / "staging").iterdir()) == []


def test_an_artifact_that_lost_a_file_is_refused(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={}), one="1", two="2").path
    (path / "two").unlink()
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert str(error.value) == f"data: artifact {path}: two is missing\n  Run again with --force stage to make it anew."


def test_an_artifact_with_a_file_cut_short_is_refused(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={}), one="x" * 2000).path
    (path / "one").write_text("x" * 1000)
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert error.value.cause == f"artifact {path}: one has 1,000 bytes, its manifest says 2,000"
    assert error.value.exit_code == 4


def test_manifests_say_what_an_artifact_was_made_from_the_newest_last(store: Store) -> None:
    for key in ("z", "a"):
        put(store, Statistics(Path(), counts={}), key)
    found = list(store.manifests("stage"))
    assert sorted(m["made"] for m in found) == [m["made"] for m in found]
    assert {m["key"] for m in found} == {"z", "a"}
    assert found[0]["recipe"] == RECIPE
    assert found[0]["files"]["file"]["size"] == len("content")


def test_staging_is_empty_at_first_and_gone_after_a_failure(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.staging("stage", "key") as out:
        assert list(out.iterdir()) == []
        (out / "half").touch()
        raise ZeroDivisionError
    assert not out.exists()
    assert store.find("stage", "key", Statistics) is None


def test_a_symbolic_link_is_not_committed(store: Store) -> None:
    with pytest.raises(StoreError, match="link is a symbolic link; artifacts hold plain files only"), store.staging("stage", "key") as out:
        (out / "link").symlink_to("/etc/hostname")
        store.commit(Statistics(out, counts={}), "stage", "key", RECIPE, now())
    assert store.find("stage", "key", Statistics) is None


def test_what_a_killed_run_was_writing_is_swept_by_the_next_one_that_holds_the_lock(store: Store) -> None:
    killed = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom pipeline.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "with store.lock(wait=False), store.staging('stage', 'key') as out:\n"
        "    (out / 'half').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed, store.root], check=False).returncode == -9
    leftover = store.root / "staging" / "stage-key" / "half"
    assert Store(store.root).find("stage", "key", Statistics) is None
    assert leftover.exists()
    with store.lock(wait=False):
        assert not leftover.exists()


def test_a_lock_that_is_held_is_refused_or_waited_for(store: Store) -> None:
    entered, events = threading.Event(), []

    def waits() -> None:
        with Store(store.root).lock(wait=True):
            events.append("the waiting run began")
            entered.set()

    with store.lock(wait=False):
        with pytest.raises(Locked) as error, Store(store.root).lock(wait=False):
            raise AssertionError("two runs in one store")
        waiting = threading.Thread(target=waits, daemon=True)
        waiting.start()
        assert not entered.wait(0.2)
        events.append("the first run ended")
    waiting.join(10)
    assert events == ["the first run ended", "the waiting run began"]
    assert str(error.value) == f"locked: another run holds {store.root / 'lock'}\n  Wait for it with --wait, or name another --root."
    assert error.value.exit_code == 5


def test_a_killed_run_holds_no_lock(store: Store) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom pipeline.store import Store\n"
        "with Store(Path(sys.argv[1])).lock(wait=False):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Locked), store.lock(wait=False):
            raise AssertionError("two runs in one store")
        other.kill()
    with store.lock(wait=False):
        assert (store.root / "lock").exists()


def test_an_error_under_the_lock_is_not_the_locks(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="of the user"), store.lock(wait=False):
        raise FileNotFoundError("a file of the user")
    with store.lock(wait=False):
        assert (store.root / "lock").exists()


def test_a_store_of_a_newer_format_is_refused(store: Store) -> None:
    (store.root / "store.json").write_text('{"format": 2}')
    with pytest.raises(ConfigurationError) as error:
        Store(store.root)
    assert str(error.value) == (
        f"configuration: the store {store.root} has format 2, this program reads format 1\n"
        "  Upgrade gateline, or name another ROOT with --root."
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", "format 1"])
def test_a_marker_that_says_no_format_is_refused(store: Store, text: str) -> None:
    (store.root / "store.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"is not a store's marker file\n  Name another ROOT with --root\.$"):
        Store(store.root)


def test_a_root_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as error:
        Store(tmp_path / "file" / "root")
    assert str(error.value) == (
        f"store: cannot use ROOT {tmp_path}/file/root: Not a directory\n  Name another with --root or --serving-dir."
    )
    assert error.value.exit_code == 2


def test_a_manifest_is_the_last_file_and_names_all_others(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={"train": 3}), one="1", two="2").path
    manifest = json.loads((path / "manifest.json").read_text())
    assert sorted(manifest["files"]) == ["one", "two"]
    assert manifest["facts"] == {"counts": {"train": 3}}
