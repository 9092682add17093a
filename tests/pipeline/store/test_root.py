"""The root of a store: its marker file, format, id, and the permissions of new files."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store import Store
from schemas.errors import ConfigurationError, StoreError


def test_a_store_of_a_newer_format_is_refused(store: Store) -> None:
    (store.root / "store.json").write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        Store(store.root)
    assert str(error.value) == (
        f"configuration: the store {store.root} has format 2, this version of gateline supports 1\n"
        "  Upgrade gateline, or name another ROOT with --root."
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", "format 1"])
def test_a_marker_without_a_format_is_refused(store: Store, text: str) -> None:
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


def test_a_store_has_a_unique_permanent_id(store: Store, tmp_path: Path) -> None:
    assert len(store.id) == 32
    assert Store(store.root).id == store.id != Store(tmp_path / "other").id
    id_ = store.id
    store.root.rename(tmp_path / "moved")
    assert Store(tmp_path / "moved").id == id_


def test_a_store_without_an_id_gets_one_with_its_next_run(store: Store) -> None:
    (store.root / "store.json").write_text('{"format": 1}', encoding="utf-8")
    assert Store(store.root).id == ""
    with Store(store.root).lock(wait=False):
        assert len(store.id) == 32


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_new_files_respect_the_umask(tmp_path: Path, umask: int) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom pipeline.store import Store\n"
        "from pipeline.lineage import Lineage, now\n"
        f"from schemas.artifacts import Statistics\nos.umask({umask})\n"
        "store = Store(Path(sys.argv[1]))\nwith store.lock(wait=False), store.staging('s', 'k') as out:\n"
        "    (out / 'file').touch()\n    store.commit(Statistics(out, counts={}), 's', 'k', {}, now())\n"
        "Lineage.at(store.root, None).start(profile='', command='', config={})\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "root"], check=True)
    too_permissive = [p for p in (tmp_path / "root").rglob("*") if p.stat().st_mode & 0o777 & umask]
    assert too_permissive == []
    assert len(list((tmp_path / "root").rglob("*"))) > 8
