"""Signatures of served versions, with real keys: what signs, what is found out, and what is refused early."""

import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pipeline.serving import signing
from schemas.errors import ConfigurationError
from schemas.settings.push import Signing
from tests.pipeline.keys import private, public

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


@pytest.fixture
def keys(tmp_path):
    """A key and its public key, as settings."""
    private(tmp_path / "key.pem")
    return Signing(
        key=str(tmp_path / "key.pem"), public_key=public(tmp_path / "public.pem", "key.pem"), require_signature=True
    )


@pytest.fixture
def version(tmp_path, keys):
    """A version that was signed while it was staged, and then renamed."""
    staged = tmp_path / ".staging-1"
    (staged / "variables").mkdir(parents=True)
    (staged / "saved_model.pb").write_text("the graph", encoding="utf-8")
    (staged / "variables" / "variables.index").write_text("the weights", encoding="utf-8")
    (staged / "provenance.json").write_text('{"version": 1}', encoding="utf-8")
    signing.sign(staged, keys)
    return staged.rename(tmp_path / "1")


def test_what_was_signed_is_what_was_signed(version, keys):
    signing.ready(keys)
    assert signing.check(version, keys) == []
    assert sorted(p.name for p in version.iterdir()) == ["model.sig", "provenance.json", "saved_model.pb", "variables"]


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", "provenance.json"])
def test_each_altered_file_is_named(file, version, keys):
    (version / file).write_text((version / file).read_text(encoding="utf-8").replace("e", "E"), encoding="utf-8")
    assert signing.check(version, keys) == [f"{file} is altered since it was signed"]


def test_all_altered_files_are_named_whatever_their_digests(version, keys):
    """model-signing shows digests as Python's bytes, so some hold quotes."""
    for n in range(40):
        (version / f"{n:02}").touch()
    signing.sign(version, keys)
    for n in range(40):
        (version / f"{n:02}").write_text(str(n), encoding="utf-8")
    assert signing.check(version, keys) == [f"{n:02} is altered since it was signed" for n in range(40)]


def test_what_is_missing_and_what_was_added_is_named(version, keys):
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
    (words,) = signing.check(version, keys)
    assert words.startswith("model.sig cannot be checked: ")
    assert "symlink" in words


def test_an_unsigned_version_is_named(version, keys):
    (version / "model.sig").unlink()
    assert signing.check(version, keys) == ["it has no model.sig"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b'{"mediaType": "application/json"}'], ids=["empty", "{}", "bytes", "other"]
)
def test_a_signature_of_any_content_is_no_crash(content, version, keys):
    (version / "model.sig").write_bytes(content)
    (words,) = signing.check(version, keys)
    assert words.startswith("model.sig cannot be checked: ")


def test_a_signature_whose_claims_were_altered_is_found_out(version, keys):
    import base64
    import json

    bundle = json.loads((version / "model.sig").read_text(encoding="utf-8"))
    claims = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(claims.replace(b"sha256", b"SHA256")).decode()
    (version / "model.sig").write_text(json.dumps(bundle), encoding="utf-8")
    assert signing.check(version, keys) == ["model.sig was altered"]


def test_the_signature_of_another_key_does_not_count(version, keys, tmp_path):
    other = keys.model_copy(update={"key": private(tmp_path / "other.pem")})
    signing.sign(version, other)
    assert signing.check(version, keys) == ["it was signed with another key"]


def test_the_password_of_a_key_comes_from_the_environment(tmp_path, version, keys, monkeypatch):
    locked = Signing(key=private(tmp_path / "locked.pem", b"open sesame"), password_env="KEY_PASSWORD")
    monkeypatch.setenv("KEY_PASSWORD", "open sesame")
    signing.ready(locked)
    signing.sign(version, locked)
    assert (version / "model.sig").stat().st_size > 100


@pytest.mark.parametrize(
    ("password", "set_to", "why"),
    [
        (None, None, "it has a password, and push.signing.password_env names none"),
        ("KEY_PASSWORD", "wrong", "it is not a private key in PEM format, or its password is not that of KEY_PASSWORD"),
    ],
)
def test_a_key_that_cannot_be_opened_is_refused(password, set_to, why, tmp_path, monkeypatch):
    path = private(tmp_path / "locked.pem", b"open sesame")
    if password and set_to:
        monkeypatch.setenv(password, set_to)
    with pytest.raises(ConfigurationError) as refused:
        signing.ready(Signing(key=path, password_env=password))
    assert refused.value.cause == f"push.signing.key {path} cannot be used: {why}"
    assert "wrong" not in str(refused.value)


def test_a_password_that_is_not_set_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("KEY_PASSWORD", raising=False)
    with pytest.raises(ConfigurationError) as refused:
        signing.ready(Signing(key=private(tmp_path / "key.pem"), password_env="KEY_PASSWORD"))
    assert refused.value.cause == "the environment variable KEY_PASSWORD is not set"


def test_a_password_for_a_key_that_has_none_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY_PASSWORD", "something")
    with pytest.raises(ConfigurationError, match="it has no password"):
        signing.ready(Signing(key=private(tmp_path / "key.pem"), password_env="KEY_PASSWORD"))


@pytest.mark.parametrize("which", ["key", "public_key"])
@pytest.mark.parametrize("fault", ["absent", "garbage", "rsa", "secp256k1"])
def test_a_key_of_no_use_is_refused_early(which, fault, tmp_path):
    path = tmp_path / "key.pem"
    if fault == "garbage":
        path.write_text("not a key", encoding="utf-8")
    elif fault != "absent":
        private(
            path,
            key=rsa.generate_private_key(65537, 2048) if fault == "rsa" else ec.generate_private_key(ec.SECP256K1()),
        )
        if which == "public_key":
            public(path, "key.pem")
    kind = {"key": "private", "public_key": "public"}[which]
    why = {"absent": "No such file or directory", "garbage": f"it is not a {kind} key in PEM format"}
    with pytest.raises(ConfigurationError) as refused:
        signing.ready(Signing(**{which: str(path)}))
    expected = why.get(fault, "its type is not one of secp256r1, secp384r1, secp521r1")
    assert refused.value.cause == f"push.signing.{which} {path} cannot be used: {expected}"


def test_keys_that_do_not_fit_each_other_are_refused_early(keys, tmp_path):
    other = private(tmp_path / "other.pem")
    with pytest.raises(ConfigurationError) as refused:
        signing.ready(keys.model_copy(update={"key": other}))
    assert refused.value.cause == f"push.signing.public_key {keys.public_key} is not the public key of {other}"


def test_nothing_is_asked_of_who_does_not_sign(tmp_path):
    signing.ready(None)
    signing.require(tmp_path, None)
    assert signing.seal(None) is None
    assert signing.seal(Signing(public_key="public.pem")) is None


def test_nothing_is_imported_for_who_does_not_sign():
    unwanted = "{'model_signing', 'cryptography'}"
    program = (
        f"import sys; from pipeline.serving import signing; signing.ready(None); print({unwanted} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


def test_without_the_extra_it_is_named(keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(ConfigurationError) as refused:
        signing.ready(keys)
    assert refused.value.cause == "push.signing needs model-signing, which is not installed"
