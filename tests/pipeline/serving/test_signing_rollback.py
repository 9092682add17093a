"""A rollback signs what it serves again: so what it serves again must itself be what was signed."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory, signing
from schemas import files
from schemas.errors import Refused
from schemas.settings.push import Signing
from tests.pipeline.command_line import gateline
from tests.pipeline.keys import private, public
from tests.pipeline.shelves import model, publish, seen

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


@pytest.fixture
def keys(tmp_path: Path) -> Signing:
    """A private key; whoever rolls back names no public one."""
    return Signing(key=private(tmp_path / "key.pem"))


@pytest.fixture
def shelf(tmp_path: Path, keys: Signing) -> ModelDirectory:
    """Models one and two, signed, as versions 1 and 2."""
    found = ModelDirectory(tmp_path / "serving", "mnist", signing.seal(keys))
    for name in ("one", "two"):
        publish(found, model(tmp_path, name))
    return found


def forge(version: Path) -> None:
    """Somebody without the key alters a file, what the provenance says of it, and what is remembered of both."""
    (version / "saved_model.pb").write_text("another graph", encoding="utf-8")
    found = json.loads((version / "provenance.json").read_text(encoding="utf-8"))
    found["files"]["saved_model.pb"] = files.listing(version)["saved_model.pb"]
    (version / "provenance.json").write_text(json.dumps(found), encoding="utf-8")
    (version.parent / ".history" / f"{version.name}.json").unlink()


FORGERIES = {
    "altered": (forge, "provenance.json is altered since it was signed; saved_model.pb is altered since it was signed"),
    "unsigned": (lambda version: (version / "model.sig").unlink(), "it has no model.sig"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("to", [(), ("--to", 1)], ids=["by default", "by name"])
def test_what_is_unsigned_or_altered_gets_no_good_signature(
    shelf: ModelDirectory, keys: Signing, forgery: str, to: tuple[object, ...]
) -> None:
    do, words = FORGERIES[forgery]
    do(shelf.path / "1")
    before = {name: content for name, content in seen(shelf.path).items() if not name.startswith(".history")}
    done = gateline("serving", "rollback", *to, "--key", keys.key, "--serving-dir", shelf.root)
    cause, remedy = done.stderr.splitlines()
    assert (cause, done.returncode) == (f"refused: {shelf.path / '1'} has no valid signature: {words}", 3)
    assert remedy.startswith(
        "  Name another version with --to; or, if you trust it, sign it: python -m model_signing sign key "
    )
    assert {name: content for name, content in seen(shelf.path).items() if not name.startswith(".history")} == before


def test_what_was_signed_with_another_key_is_not_signed_with_this_one(
    shelf: ModelDirectory, keys: Signing, tmp_path: Path
) -> None:
    signing.sign(shelf.path / "1", Signing(key=private(tmp_path / "other.pem")))
    with pytest.raises(Refused, match="1 has no valid signature: it was signed with another key"):
        shelf.rollback()


def test_the_public_key_that_is_named_counts(shelf: ModelDirectory, keys: Signing, tmp_path: Path) -> None:
    named = keys.model_copy(update={"public_key": public(tmp_path / "public.pem", "key.pem")})
    assert ModelDirectory(shelf.root, shelf.model, signing.seal(named)).rollback().digest == "one"
    assert signing.check(shelf.path / "3", named) == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the remedy for a key with a password needs openssl")
def test_the_remedy_is_one_even_with_a_password_and_a_space_in_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "open sesame")
    keys = Signing(key=private(tmp_path / "locked.pem", b"open sesame"), password_env="PW")
    shelf = ModelDirectory(tmp_path / "my serving", "mnist")
    for name in ("one", "two"):
        publish(shelf, model(tmp_path, name))
    sealed = ModelDirectory(shelf.root, shelf.model, signing.seal(keys))
    with pytest.raises(Refused) as refused:
        sealed.rollback()
    command = refused.value.remedy.partition("sign it: ")[2].replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60, cwd=tmp_path)
    version = sealed.rollback()
    assert (version.digest, signing.check(version.path, keys)) == ("one", [])
    assert list(tmp_path.glob("*.pem")) == [tmp_path / "locked.pem"]


def test_without_a_key_nothing_is_checked_and_nothing_signed(shelf: ModelDirectory, keys: Signing) -> None:
    forge(shelf.path / "1")
    assert gateline("serving", "rollback", "--serving-dir", shelf.root).returncode == 0
    assert signing.check(shelf.path / "3", keys) == ["it has no model.sig"]
