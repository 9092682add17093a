"""A rollback signs the version that it restores, so that version must have a valid signature itself."""

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
from tests.pipeline.keys import write_private_key, write_public_key
from tests.pipeline.published import contents, model, publish

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


@pytest.fixture
def keys(tmp_path: Path) -> Signing:
    """A private key, and no public key."""
    return Signing(key=write_private_key(tmp_path / "key.pem"))


@pytest.fixture
def model_directory(tmp_path: Path, keys: Signing) -> ModelDirectory:
    """Models one and two, signed, as versions 1 and 2."""
    directory = ModelDirectory(tmp_path / "serving", "mnist", signing.seal(keys))
    for name in ("one", "two"):
        publish(directory, model(tmp_path, name))
    return directory


def forge(version: Path) -> None:
    """Alters a file, its entry in the provenance and the record of the version, without the key."""
    (version / "saved_model.pb").write_text("another graph", encoding="utf-8")
    provenance = json.loads((version / "provenance.json").read_text(encoding="utf-8"))
    provenance["files"]["saved_model.pb"] = files.listing(version)["saved_model.pb"]
    (version / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    (version.parent / ".history" / f"{version.name}.json").unlink()


FORGERIES = {
    "altered": (forge, "provenance.json is altered since it was signed; saved_model.pb is altered since it was signed"),
    "unsigned": (lambda version: (version / "model.sig").unlink(), "it has no model.sig"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("to", [(), ("--to", 1)], ids=["by default", "by name"])
def test_a_rollback_refuses_an_unsigned_or_altered_version(
    model_directory: ModelDirectory, keys: Signing, forgery: str, to: tuple[object, ...]
) -> None:
    forge_version, message = FORGERIES[forgery]
    forge_version(model_directory.path / "1")
    before = {
        name: content for name, content in contents(model_directory.path).items() if not name.startswith(".history")
    }
    done = gateline("serving", "rollback", *to, "--key", keys.key, "--serving-dir", model_directory.root)
    cause, remedy = done.stderr.splitlines()
    assert (cause, done.returncode) == (f"refused: {model_directory.path / '1'} has no valid signature: {message}", 3)
    assert remedy.startswith(
        "  Name another version with --to; or, if you trust it, sign it: python -m model_signing sign key "
    )
    assert {
        name: content for name, content in contents(model_directory.path).items() if not name.startswith(".history")
    } == before


def test_a_rollback_refuses_a_version_signed_with_another_key(
    model_directory: ModelDirectory, keys: Signing, tmp_path: Path
) -> None:
    signing.sign(model_directory.path / "1", Signing(key=write_private_key(tmp_path / "other.pem")))
    with pytest.raises(Refused, match="1 has no valid signature: it was signed with another key"):
        model_directory.rollback()


def test_a_rollback_verifies_with_the_configured_public_key(
    model_directory: ModelDirectory, keys: Signing, tmp_path: Path
) -> None:
    with_public_key = keys.model_copy(update={"public_key": write_public_key(tmp_path / "public.pem", "key.pem")})
    assert (
        ModelDirectory(model_directory.root, model_directory.model, signing.seal(with_public_key)).rollback().digest
        == "one"
    )
    assert signing.check(model_directory.path / "3", with_public_key) == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the remedy for a key with a password needs openssl")
def test_the_signing_command_in_the_remedy_works_with_a_password_and_a_space_in_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "open sesame")
    keys = Signing(key=write_private_key(tmp_path / "locked.pem", b"open sesame"), password_env="PW")
    model_directory = ModelDirectory(tmp_path / "my serving", "mnist")
    for name in ("one", "two"):
        publish(model_directory, model(tmp_path, name))
    signed_directory = ModelDirectory(model_directory.root, model_directory.model, signing.seal(keys))
    with pytest.raises(Refused) as refused:
        signed_directory.rollback()
    command = refused.value.remedy.partition("sign it: ")[2].replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60, cwd=tmp_path)
    version = signed_directory.rollback()
    assert (version.digest, signing.check(version.path, keys)) == ("one", [])
    assert list(tmp_path.glob("*.pem")) == [tmp_path / "locked.pem"]


def test_a_rollback_without_a_key_checks_and_signs_nothing(model_directory: ModelDirectory, keys: Signing) -> None:
    forge(model_directory.path / "1")
    assert gateline("serving", "rollback", "--serving-dir", model_directory.root).returncode == 0
    assert signing.check(model_directory.path / "3", keys) == ["it has no model.sig"]
