"""Canary: model-signing still writes the messages that `pipeline/serving/compat.py` parses."""

import pytest

from pipeline.serving import signing
from pipeline.serving.compat import mismatches
from schemas.settings.push import Signing
from tests.pipeline.keys import write_private_key, write_public_key

model_signing = pytest.importorskip("model_signing", reason="the extra `signing` is not installed")
BREAKS = "model-signing writes other messages: adapt pipeline/serving/compat.py"


def test_the_messages_of_model_signing_name_each_file_and_the_key(tmp_path):
    write_private_key(tmp_path / "key.pem")
    write_private_key(tmp_path / "other.pem")
    settings = Signing(key=str(tmp_path / "key.pem"), public_key=write_public_key(tmp_path / "public.pem", "key.pem"))
    version = tmp_path / "1"
    version.mkdir()
    for name in ("altered", "removed", "kept"):
        (version / name).write_text(name, encoding="utf-8")
    signing.sign(version, settings)
    (version / "altered").write_text("other", encoding="utf-8")
    (version / "removed").unlink()
    (version / "added").touch()
    verifier = model_signing.verifying.Config().set_hashing_config(
        model_signing.hashing.Config().set_ignored_paths(paths=["model.sig"], ignore_git_paths=False)
    )
    with pytest.raises(ValueError, match="mismatch") as error:
        verifier.use_elliptic_key_verifier(public_key=tmp_path / "public.pem").verify(version, version / "model.sig")
    assert mismatches(str(error.value)) == [
        "altered is altered since it was signed",
        "added is there, but was not signed",
        "removed is missing, but was signed",
    ], BREAKS
    other = write_public_key(tmp_path / "public-other.pem", "other.pem")
    with pytest.raises(ValueError, match="mismatch") as key:
        verifier.use_elliptic_key_verifier(public_key=tmp_path / other).verify(version, version / "model.sig")
    assert mismatches(str(key.value)) == ["it was signed with another key"], BREAKS


def test_an_unknown_message_gives_no_reasons():
    assert mismatches("something else went wrong") == []
