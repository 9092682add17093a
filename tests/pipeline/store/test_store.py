"""Artifacts on disk: each complete or absent."""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.lineage import now
from pipeline.store import Store
from schemas import files
from schemas.artifacts import Artifact, Evaluation, Examples, Features, Model, Split, Statistics, Verdict
from schemas.errors import ConfigurationError, DataError, Locked, StoreError

SPLITS = {"train": Split(("train-0.tfrecord", "train-1.tfrecord"), (3, 0)), "test": Split((), ())}
RECIPE = {"code": {}, "settings": {"epochs": 3}, "inputs": {}, "versions": {}}


def put(store: Store, artifact: Artifact, key: str = "key", **files: str) -> Artifact:
    """Commit an artifact of those facts and files."""
    with store.staging("stage", key) as out:
        for name, text in (files or {"file": "content"}).items():
            (out / name).write_text(text, encoding="utf-8")
        facts = {name: value for name, value in vars(artifact).items() if name not in ("path", "digest")}
        return store.commit(type(artifact)(out, **facts), "stage", key, RECIPE, now())


@pytest.mark.parametrize(
    "artifact",
    [
        Examples(Path(), splits=SPLITS, source="mnist:3.0.1"),
        Statistics(Path(), counts={"train": 3, "test": 0}),
        Verdict(Path(), passed=False, reasons=("too few", "too many"), remedy="Fix it.", warnings=("odd",)),
        Features(Path(), splits=SPLITS, shape=(28, 28, 1), classes=10, one_hot=True),
        Model(Path(), epochs=3, validation_accuracy=0.1 + 0.2),
        Evaluation(Path(), passed=True, accuracy=1.0, loss=1e-9, saved_model="abc", baseline=None),
    ],
    ids=lambda artifact: type(artifact).__name__,
)
def test_what_was_committed_is_found_with_all_its_facts(store: Store, artifact: Artifact) -> None:
    committed = put(store, artifact, file="content")
    assert committed.path == store.root / "artifacts" / "stage" / "key"
    assert (committed.path / "file").read_text(encoding="utf-8") == "content"
    assert len(committed.digest) == 64
    assert store.find("stage", "key", type(artifact)) == committed
    assert Store(store.root).find("stage", "key", type(artifact)) == committed


def test_what_is_found_is_in_the_order_in_which_it_was_made(store: Store) -> None:
    made = put(store, Examples(Path(), splits={"train": SPLITS["train"], "test": SPLITS["test"]}, source="mnist:3.0.1"))
    assert list(store.find("stage", "key", Examples).splits) == list(made.splits) == ["train", "test"]


def test_the_same_content_has_the_same_digest_under_every_key(store: Store) -> None:
    one, same, other = (
        put(store, Statistics(Path(), counts={}), key, file=text) for key, text in (("a", "x"), ("b", "x"), ("c", "y"))
    )
    assert one.digest == same.digest != other.digest


def test_an_artifact_that_was_never_made_does_not_exist(store: Store) -> None:
    assert store.find("stage", "key", Statistics) is None
    assert list(store.manifests("stage")) == []


@pytest.mark.parametrize("manifest", [None, "", '{"files": {', "[]", '{"files": {}, "facts": {}}'])
def test_an_artifact_without_a_whole_manifest_does_not_exist(store: Store, manifest: str | None) -> None:
    path = put(store, Statistics(Path(), counts={})).path / "manifest.json"
    path.unlink()
    if manifest is not None:
        path.write_text(manifest, encoding="utf-8")
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
    assert str(error.value) == f"data: artifact {path}: two is missing\n  Run again with --force stage."


def test_an_artifact_with_a_file_cut_short_is_refused(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={}), one="x" * 2000).path
    (path / "one").write_text("x" * 1000, encoding="utf-8")
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert error.value.cause == f"artifact {path}: one has 1,000 bytes, its manifest states 2,000"
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
    with (
        pytest.raises(StoreError, match="link is a symbolic link; artifacts hold plain files only"),
        store.staging("stage", "key") as out,
    ):
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
    assert (
        str(error.value)
        == f"locked: another run holds {store.root / 'lock'}\n  Wait for it with --wait, or name another --root."
    )
    assert error.value.exit_code == 5


def test_a_killed_run_holds_no_lock(store: Store) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom pipeline.store import Store\n"
        "with Store(Path(sys.argv[1])).lock(wait=False):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
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
    (store.root / "store.json").write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        Store(store.root)
    assert str(error.value) == (
        f"configuration: the store {store.root} has format 2, this version of gateline supports 1\n"
        "  Upgrade gateline, or name another ROOT with --root."
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", "format 1"])
def test_a_marker_that_says_no_format_is_refused(store: Store, text: str) -> None:
    (store.root / "store.json").write_text(text, encoding="utf-8")
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
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["files"]) == ["one", "two"]
    assert manifest["facts"] == {"counts": {"train": 3}}


def test_order_hangs_on_what_was_made_after_what_not_on_the_clock(store: Store) -> None:
    for key, made in (("first", "2030-01-01"), ("second", "2026-01-01"), ("third", "2026-01-01")):
        with store.staging("stage", key) as out:
            store.commit(Statistics(out, counts={}), "stage", key, RECIPE, made)
    assert [m["key"] for m in store.manifests("stage")] == ["first", "second", "third"]


def test_what_a_killed_run_was_replacing_comes_back(store: Store) -> None:
    old = put(store, Statistics(Path(), counts={}), file="old")
    old.path.rename(store.root / "staging" / "replaced-stage-key")  # killed between the two renames of a forced run
    assert store.find("stage", "key", Statistics) is None
    with store.lock(wait=False):
        assert store.find("stage", "key", Statistics) == old
    assert list((store.root / "staging").iterdir()) == []


def test_what_was_replaced_does_not_come_back(store: Store) -> None:
    old = put(store, Statistics(Path(), counts={}), file="old")
    shutil.copytree(old.path, store.root / "old")
    new = put(store, Statistics(Path(), counts={}), file="new")
    (store.root / "old").rename(
        store.root / "staging" / "replaced-stage-key"
    )  # killed just before the old one is removed
    with store.lock(wait=False):
        assert store.find("stage", "key", Statistics) == new


def test_scratch_of_a_stage_that_is_done_goes_and_that_of_others_stays(store: Store) -> None:
    done, forced, killed = (store.scratch("stage", key) / "checkpoint" for key in ("done", "forced", "killed"))
    for key in ("done", "forced"):
        put(store, Statistics(Path(), counts={}), key)
    for path in (done, forced, killed):
        store.scratch("stage", path.parent.name.removeprefix("stage-"))
        path.touch()
    (done.parent / "done").write_text(
        store.manifest("stage", "done")["seal"], encoding="utf-8"
    )  # killed after the rename
    (forced.parent / "done").write_text("the seal of what was never renamed", encoding="utf-8")
    with store.lock(wait=False):
        assert sorted(p.name for p in (store.root / "scratch").iterdir()) == ["stage-forced", "stage-killed"]


def test_no_bit_of_a_manifest_can_be_flipped_unseen(store: Store) -> None:
    path = put(store, Statistics(Path(), counts={"train": 3}), one="1", two="2").path / "manifest.json"
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        found = store.manifest("stage", "key")
        assert found is None or json.dumps(found, sort_keys=True) == json.dumps(json.loads(whole), sort_keys=True), (
            whole[i - 9 : i + 9]
        )


def test_a_store_has_an_id_of_its_own_that_stays(store: Store, tmp_path: Path) -> None:
    assert len(store.id) == 32
    assert Store(store.root).id == store.id != Store(tmp_path / "other").id
    id_ = store.id
    store.root.rename(tmp_path / "moved")
    assert Store(tmp_path / "moved").id == id_


def test_a_store_from_before_there_were_ids_gets_one_with_its_next_run(store: Store) -> None:
    (store.root / "store.json").write_text('{"format": 1}', encoding="utf-8")
    assert Store(store.root).id == ""
    with Store(store.root).lock(wait=False):
        assert len(store.id) == 32


def test_a_flipped_bit_of_an_input_is_refused_before_it_is_used(store: Store) -> None:
    made = put(store, Statistics(Path(), counts={}), one="content")
    store.check("stage", made)
    (made.path / "one").write_text("Content", encoding="utf-8")
    assert store.find("stage", "key", Statistics) == made  # sizes only: a plan costs nothing
    with pytest.raises(DataError) as error:
        store.check("stage", made)
    assert str(error.value) == (
        f"data: artifact {made.path}: one was altered: its SHA-256 differs from the manifest's\n"
        "  Run again with --force stage."
    )


def forged(artifact: Artifact, **changes: object) -> None:
    """Its manifest says something else, and its digest is that of what it says: as an intruder would write it."""
    path = artifact.path / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | changes
    manifest["digest"] = files.digest(manifest["files"], manifest["facts"])
    manifest["seal"] = files.seal(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("name", ["../../../store.json", "/etc/hostname", "deep/../../key/one"])
def test_a_manifest_whose_names_climb_out_is_refused(store: Store, name: str) -> None:
    made = put(store, Statistics(Path(), counts={}), one="1")
    forged(made, files={name: {"size": 1, "sha256": "0" * 64}})
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert error.value.cause == f"artifact {made.path}: {name} leads out of its directory"


@pytest.mark.parametrize("shard", ["../../../../etc/hostname", "/etc/hostname", "..", "a/b"])
def test_a_manifest_whose_shards_climb_out_is_refused(store: Store, shard: str) -> None:
    made = put(store, Examples(Path(), splits=SPLITS, source="mnist"), one="1")
    forged(made, facts={"splits": {"train": {"shards": [shard], "counts": [1]}}, "source": "mnist"})
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Examples)
    assert error.value.cause == f"shard {shard} leads out of its directory"


@pytest.mark.parametrize("entry", [{}, {"size": "1", "sha256": ""}, {"size": 1, "sha256": None}, 3])
def test_a_manifest_of_another_shape_is_none(store: Store, entry: object) -> None:
    made = put(store, Statistics(Path(), counts={}), one="1")
    path = made.path / "manifest.json"
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"files": {"one": entry}}), encoding="utf-8"
    )
    assert store.find("stage", "key", Statistics) is None


def test_an_artifact_behind_a_symbolic_link_is_refused(store: Store, tmp_path: Path) -> None:
    made = put(store, Statistics(Path(), counts={}), one="1")
    made.path.rename(tmp_path / "elsewhere")
    made.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError) as error:
        store.find("stage", "key", Statistics)
    assert str(error.value) == f"data: artifact {made.path} is a symbolic link\n  Remove it and run again."


def test_a_file_that_became_a_symbolic_link_is_refused(store: Store, tmp_path: Path) -> None:
    made = put(store, Statistics(Path(), counts={}), one="1")
    (made.path / "one").rename(tmp_path / "one")
    (made.path / "one").symlink_to(tmp_path / "one")
    with pytest.raises(DataError, match="one is a symbolic link, or is behind one"):
        store.find("stage", "key", Statistics)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_are_made_with_the_umask(tmp_path: Path, umask: int) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom pipeline.store import Store\n"
        "from pipeline.lineage import Lineage, now\n"
        f"from schemas.artifacts import Statistics\nos.umask({umask})\n"
        "store = Store(Path(sys.argv[1]))\nwith store.lock(wait=False), store.staging('s', 'k') as out:\n"
        "    (out / 'file').touch()\n    store.commit(Statistics(out, counts={}), 's', 'k', {}, now())\n"
        "Lineage.at(store.root, None).start(profile='', command='', config={})\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "root"], check=True)
    loose = [p for p in (tmp_path / "root").rglob("*") if p.stat().st_mode & 0o777 & umask]
    assert loose == []
    assert len(list((tmp_path / "root").rglob("*"))) > 8


def test_a_stage_that_is_interrupted_leaves_nothing_though_its_threads_go_on(tmp_path: Path) -> None:
    """Beam's threads are not stopped with the main one; they write until the process ends."""
    store, stop, wrote = Store(tmp_path / "root"), threading.Event(), threading.Event()

    def write(out: Path) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            with contextlib.suppress(OSError):
                (out / "parts").mkdir(exist_ok=True)
                (out / "parts" / f"{number % 500}.json").write_text("{}", encoding="utf-8")
            wrote.set()

    with pytest.raises(KeyboardInterrupt), store.staging("describe", "key") as out:
        thread = threading.Thread(target=write, args=(out,))
        thread.start()
        wrote.wait()
        raise KeyboardInterrupt
    assert not out.exists()
    stop.set()
    thread.join()
    assert list((store.root / "staging").iterdir()) == []
