"""`serving verify --public-key` and `serving rollback --key`, on a directory of two signed versions."""

import pytest

from pipeline.serving import ModelDirectory, signing
from schemas.files import digest, listing
from schemas.settings.push import Signing
from tests.pipeline.command_line import gateline
from tests.pipeline.keys import private, public

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


@pytest.fixture
def shelf(tmp_path):
    """Two versions, signed."""
    private(tmp_path / "key.pem")
    public(tmp_path / "public.pem", "key.pem")
    shelf = ModelDirectory(tmp_path / "serving", "own", signing.seal(Signing(key=str(tmp_path / "key.pem"))))
    before = None
    for name in "ab":
        model = tmp_path / name
        model.mkdir()
        (model / "saved_model.pb").write_text(f"the graph of {name}", encoding="utf-8")
        made = {"model": name, "accuracy": 0.9, "test": "these", "run": 1}
        shelf.publish(model, {}, made, expected=digest(listing(model)), compared=before)
        before = name
    return shelf


def test_signatures_are_verified_where_a_key_is_named(shelf, tmp_path):
    where = ("--serving-dir", shelf.root)
    done = gateline("serving", "verify", *where, "--public-key", tmp_path / "public.pem")
    assert (done.stdout, done.stderr, done.returncode) == ("own/1  intact\nown/2  intact\n", "", 0)
    (shelf.path / "1" / "model.sig").unlink()
    assert gateline("serving", "verify", *where).returncode == 0
    done = gateline("serving", "verify", *where, "--public-key", tmp_path / "public.pem")
    assert (done.stdout, done.returncode) == ("own/1  it has no model.sig\nown/2  intact\n", 4)
    done = gateline("serving", "verify", *where, "--public-key", tmp_path / "nothing.pem")
    assert done.stderr.startswith(
        f"configuration: push.signing.public_key {tmp_path / 'nothing.pem'} cannot be used: No such file"
    )
    assert done.returncode == 2


def test_a_rollback_is_signed_where_a_key_is_named_and_says_so_where_not(shelf, tmp_path):
    where = ("--serving-dir", shelf.root)
    keys = Signing(public_key=str(tmp_path / "public.pem"))
    done = gateline("serving", "rollback", *where)
    assert done.stdout.splitlines()[1] == "it is not signed, unlike version 2; sign it with --key"
    assert signing.check(shelf.path / "3", keys) == ["it has no model.sig"]
    done = gateline("serving", "rollback", *where, "--to", 2, "--key", tmp_path / "key.pem")
    assert done.stdout == "version 4 serves the model of version 2 again, in place of version 3\n"
    assert signing.check(shelf.path / "4", keys) == []


def test_an_old_version_that_is_put_in_front_by_hand_is_found_out(shelf):
    (shelf.path / "1").rename(shelf.path / "9")
    done = gateline("serving", "verify", 9, "--serving-dir", shelf.root)
    assert (done.stdout, done.returncode) == ("own/9  provenance.json is that of version 1\n", 4)
