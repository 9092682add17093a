"""`serving verify --public-key` and `serving rollback --key`, on a directory of two signed versions."""

import pytest

from pipeline.serving import ModelDirectory, signing
from schemas.files import digest, listing
from schemas.settings.push import Signing
from tests.pipeline.command_line import gateline
from tests.pipeline.keys import write_private_key, write_public_key

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


@pytest.fixture
def model_directory(tmp_path):
    """Two versions, signed."""
    write_private_key(tmp_path / "key.pem")
    write_public_key(tmp_path / "public.pem", "key.pem")
    model_directory = ModelDirectory(tmp_path / "serving", "own", signing.seal(Signing(key=str(tmp_path / "key.pem"))))
    previous = None
    for name in "ab":
        model = tmp_path / name
        model.mkdir()
        (model / "saved_model.pb").write_text(f"the graph of {name}", encoding="utf-8")
        provenance = {"model": name, "accuracy": 0.9, "test": "these", "run": 1}
        model_directory.publish(model, {}, provenance, expected=digest(listing(model)), compared=previous)
        previous = name
    return model_directory


def test_verify_checks_signatures_only_with_a_public_key(model_directory, tmp_path):
    options = ("--serving-dir", model_directory.root)
    done = gateline("serving", "verify", *options, "--public-key", tmp_path / "public.pem")
    assert (done.stdout, done.stderr, done.returncode) == ("own/1  intact\nown/2  intact\n", "", 0)
    (model_directory.path / "1" / "model.sig").unlink()
    assert gateline("serving", "verify", *options).returncode == 0
    done = gateline("serving", "verify", *options, "--public-key", tmp_path / "public.pem")
    assert (done.stdout, done.returncode) == ("own/1  it has no model.sig\nown/2  intact\n", 4)
    done = gateline("serving", "verify", *options, "--public-key", tmp_path / "nothing.pem")
    assert done.stderr.startswith(
        f"configuration: push.signing.public_key {tmp_path / 'nothing.pem'} cannot be used: No such file"
    )
    assert done.returncode == 2


def test_a_rollback_is_signed_with_a_key_and_reports_when_it_is_not(model_directory, tmp_path):
    options = ("--serving-dir", model_directory.root)
    keys = Signing(public_key=str(tmp_path / "public.pem"))
    done = gateline("serving", "rollback", *options)
    assert done.stdout.splitlines()[1] == "it is not signed, unlike version 2; sign it with --key"
    assert signing.check(model_directory.path / "3", keys) == ["it has no model.sig"]
    done = gateline("serving", "rollback", *options, "--to", 2, "--key", tmp_path / "key.pem")
    assert done.stdout == "version 4 serves the model of version 2 again, in place of version 3\n"
    assert signing.check(model_directory.path / "4", keys) == []


def test_a_renamed_old_version_is_detected(model_directory):
    (model_directory.path / "1").rename(model_directory.path / "9")
    done = gateline("serving", "verify", 9, "--serving-dir", model_directory.root)
    assert (done.stdout, done.returncode) == ("own/9  provenance.json is that of version 1\n", 4)
