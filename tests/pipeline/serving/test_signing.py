"""Signatures of served versions, with real keys: signing, verification, and keys that are refused before a run."""

import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pipeline.serving import signing
from schemas.errors import ConfigurationError
from schemas.settings.push import Signing
from tests.pipeline.keys import write_private_key, write_public_key

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


@pytest.fixture
def keys(tmp_path):
    """A key and its public key, as settings."""
    write_private_key(tmp_path / "key.pem")
    return Signing(
        key=str(tmp_path / "key.pem"),
        public_key=write_public_key(tmp_path / "public.pem", "key.pem"),
        require_signature=True,
    )


@pytest.fixture
def version(tmp_path, keys):
    """A version that was signed in its staging directory and then renamed."""
    staged = tmp_path / ".staging-1"
    (staged / "variables").mkdir(parents=True)
    (staged / "saved_model.pb").write_text("the graph", encoding="utf-8")
    (staged / "variables" / "variables.index").write_text("the weights", encoding="utf-8")
    (staged / "provenance.json").write_text('{"version": 1}', encoding="utf-8")
    signing.sign(staged, keys)
    return staged.rename(tmp_path / "1")


def test_a_signed_version_verifies(version, keys):
    signing.ready(keys)
    assert signing.check(version, keys) == []
    assert sorted(p.name for p in version.iterdir()) == ["model.sig", "provenance.json", "saved_model.pb", "variables"]


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", "provenance.json"])
def test_an_altered_file_is_named(file, version, keys):
    (version / file).write_text((version / file).read_text(encoding="utf-8").replace("e", "E"), encoding="utf-8")
    assert signing.check(version, keys) == [f"{file} is altered since it was signed"]


def test_all_altered_files_are_named_for_any_digest(version, keys):
    """model-signing prints digests as Python bytes, some of which contain quotes."""
    for n in range(40):
        (version / f"{n:02}").touch()
    signing.sign(version, keys)
    for n in range(40):
        (version / f"{n:02}").write_text(str(n), encoding="utf-8")
    assert signing.check(version, keys) == [f"{n:02} is altered since it was signed" for n in range(40)]


def test_missing_and_added_files_are_named(version, keys):
    (version / "variables" / "variables.index").unlink()
    (version / "assets.extra").mkdir()
    (version / "assets.extra" / "more").write_text("", encoding="utf-8")
    (version / ".gitattributes").write_text("", encoding="utf-8")
    assert signing.check(version, keys) == [
        ".gitattributes is there, but was not signed",
        "assets.extra/more is there, but was not signed",
        "variables/variables.index is missing, but was signed",
    ]


def test_a_link_is_not_followed(version, keys, tmp_path):
    shutil.copy(version / "saved_model.pb", tmp_path / "elsewhere")
    (version / "saved_model.pb").unlink()
    (version / "saved_model.pb").symlink_to(tmp_path / "elsewhere")
    (message,) = signing.check(version, keys)
    assert message.startswith("model.sig cannot be checked: ")
    assert "symlink" in message


def test_an_unsigned_version_is_reported(version, keys):
    (version / "model.sig").unlink()
    assert signing.check(version, keys) == ["it has no model.sig"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b'{"mediaType": "application/json"}'], ids=["empty", "{}", "bytes", "other"]
)
def test_a_malformed_signature_is_reported(content, version, keys):
    (version / "model.sig").write_bytes(content)
    (message,) = signing.check(version, keys)
    assert message.startswith("model.sig cannot be checked: ")


def test_an_altered_signature_is_detected(version, keys):
    import base64
    import json

    bundle = json.loads((version / "model.sig").read_text(encoding="utf-8"))
    claims = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(claims.replace(b"sha256", b"SHA256")).decode()
    (version / "model.sig").write_text(json.dumps(bundle), encoding="utf-8")
    assert signing.check(version, keys) == ["model.sig was altered"]


def test_a_signature_with_another_key_is_refused(version, keys, tmp_path):
    other = keys.model_copy(update={"key": write_private_key(tmp_path / "other.pem")})
    signing.sign(version, other)
    assert signing.check(version, keys) == ["it was signed with another key"]


def test_the_password_of_a_key_comes_from_the_environment(tmp_path, version, keys, monkeypatch):
    locked = Signing(key=write_private_key(tmp_path / "locked.pem", b"open sesame"), password_env="KEY_PASSWORD")
    monkeypatch.setenv("KEY_PASSWORD", "open sesame")
    signing.ready(locked)
    signing.sign(version, locked)
    assert (version / "model.sig").stat().st_size > 100


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        (None, None, "it has a password, and push.signing.password_env names none"),
        ("KEY_PASSWORD", "wrong", "it is not a private key in PEM format, or its password is not that of KEY_PASSWORD"),
    ],
)
def test_a_key_that_cannot_be_decrypted_is_refused(variable, value, reason, tmp_path, monkeypatch):
    path = write_private_key(tmp_path / "locked.pem", b"open sesame")
    if variable and value:
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as error:
        signing.ready(Signing(key=path, password_env=variable))
    assert error.value.cause == f"push.signing.key {path} cannot be used: {reason}"
    assert "wrong" not in str(error.value)


def test_an_unset_password_variable_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("KEY_PASSWORD", raising=False)
    with pytest.raises(ConfigurationError) as error:
        signing.ready(Signing(key=write_private_key(tmp_path / "key.pem"), password_env="KEY_PASSWORD"))
    assert error.value.cause == "the environment variable KEY_PASSWORD is not set"


def test_a_password_for_an_unencrypted_key_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY_PASSWORD", "something")
    with pytest.raises(ConfigurationError, match="it has no password"):
        signing.ready(Signing(key=write_private_key(tmp_path / "key.pem"), password_env="KEY_PASSWORD"))


@pytest.mark.parametrize("which", ["key", "public_key"])
@pytest.mark.parametrize("defect", ["absent", "garbage", "rsa", "secp256k1"])
def test_an_unusable_key_is_refused_before_the_run(which, defect, tmp_path):
    path = tmp_path / "key.pem"
    if defect == "garbage":
        path.write_text("not a key", encoding="utf-8")
    elif defect != "absent":
        write_private_key(
            path,
            key=rsa.generate_private_key(65537, 2048) if defect == "rsa" else ec.generate_private_key(ec.SECP256K1()),
        )
        if which == "public_key":
            write_public_key(path, "key.pem")
    kind = {"key": "private", "public_key": "public"}[which]
    reason = {"absent": "No such file or directory", "garbage": f"it is not a {kind} key in PEM format"}
    with pytest.raises(ConfigurationError) as error:
        signing.ready(Signing(**{which: str(path)}))
    expected = reason.get(defect, "its type is not one of secp256r1, secp384r1, secp521r1")
    assert error.value.cause == f"push.signing.{which} {path} cannot be used: {expected}"


def test_keys_that_do_not_match_are_refused_before_the_run(keys, tmp_path):
    other = write_private_key(tmp_path / "other.pem")
    with pytest.raises(ConfigurationError) as error:
        signing.ready(keys.model_copy(update={"key": other}))
    assert error.value.cause == f"push.signing.public_key {keys.public_key} is not the public key of {other}"


def test_without_signing_nothing_is_required(tmp_path):
    signing.ready(None)
    signing.require(tmp_path, None)
    assert signing.seal(None) is None
    assert signing.seal(Signing(public_key="public.pem")) is None


def test_without_signing_no_signing_library_is_imported():
    unwanted = "{'model_signing', 'cryptography'}"
    program = (
        f"import sys; from pipeline.serving import signing; signing.ready(None); print({unwanted} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


def test_a_missing_signing_extra_is_named(keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(ConfigurationError) as error:
        signing.ready(keys)
    assert error.value.cause == "push.signing needs model-signing, which is not installed"
