"""Signatures of served versions: OpenSSF model-signing with a local elliptic-curve key, without network access.

seal(settings).sign(staged)     # writes model.sig, which covers all other files of the version
check(version, settings)        # [], or the reasons why the signature is invalid

Keys are PEM files, P-256, P-384 or P-521: `openssl ecparam -genkey -name prime256v1 -noout -out key.pem`.
"""

import contextlib
import importlib.util
import os
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy

from pipeline.serving.compat import mismatches
from schemas import disk
from schemas.errors import ConfigurationError, Refused
from schemas.settings.push import Signing

with epy.lazy_imports():
    import cryptography.exceptions
    import model_signing
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

SIGNATURE = "model.sig"  # a Sigstore bundle
CURVES = ("secp256r1", "secp384r1", "secp521r1")


def ready(settings: Signing | None) -> None:
    """Checks that the keys can sign and verify. Called first, so that hours of training are not lost.

    Raises:
        ConfigurationError: model-signing is not installed, a key cannot be read or has another type, or the two keys
            are not a pair.
    """
    if settings is None:
        return
    if importlib.util.find_spec("model_signing") is None:
        raise ConfigurationError(
            "push.signing needs model-signing, which is not installed", "pip install 'gateline[signing]'"
        )
    private = _private(settings).public_key() if settings.key else None
    public = _public(settings) if settings.public_key else None
    if private and public and private != public:
        cause = f"push.signing.public_key {settings.public_key} is not the public key of {settings.key}"
        raise ConfigurationError(cause, f"Create it: openssl ec -in {settings.key} -pubout -out PUBLIC.pem")


@dataclass(frozen=True)
class Seal:
    """Signs complete versions with one key, and verifies its signatures."""

    settings: Signing

    def sign(self, staged: Path) -> None:
        """Signs a version before it is published. If signatures are required, verifies the signature."""
        sign(staged, self.settings)
        require(staged, self.settings)

    def require(self, version: Path, remedy: str) -> None:
        """Checks that the version is unaltered and signed with this key.

        Raises:
            Refused: it is not. The message suggests `remedy`, or to sign the version manually.
        """
        if problems := check(version, self.settings):
            raise Refused(
                f"{version} has no valid signature: {'; '.join(problems)}",
                f"{remedy}; or, {_manual_signing(version, self.settings)}",
            )


def seal(settings: Signing | None) -> Seal | None:
    """The signer of new versions. None if no key is configured."""
    return Seal(settings) if settings and settings.key else None


def require(version: Path, settings: Signing | None) -> None:
    """Checks a version's signature, if signatures are required.

    Raises:
        Refused: the version is not signed, or was altered.
    """
    if settings and settings.require_signature:
        Seal(settings).require(version, "Move it away")


def _manual_signing(version: Path, settings: Signing) -> str:
    """The remedy that signs a version manually."""
    place, key, signature = (shlex.quote(str(each)) for each in (version, settings.key, version / SIGNATURE))
    command = "python -m model_signing sign key {} --private_key {} --signature {}"
    if settings.password_env is None:
        return f"if you trust it, sign it: {command.format(place, key, signature)}"
    # the password option of model-signing's command fails with every password
    unlock = f"openssl ec -in {key} -passin env:{settings.password_env} -out UNLOCKED.pem"
    signing = command.format(place, "UNLOCKED.pem", signature)
    return f"if you trust it, sign it: {unlock} && {signing}; rm UNLOCKED.pem"


def sign(version: Path, settings: Signing) -> None:
    """Writes `model.sig`, which covers all other files of a version, and flushes it to disk.

    Raises:
        ConfigurationError: the key cannot be read.
    """
    _private(settings)
    password: Any = _password(settings)  # annotated as a string there, but used as bytes
    signer = model_signing.signing.Config().use_elliptic_key_signer(
        private_key=Path(settings.key or ""), password=password
    )
    signer.set_hashing_config(_hashing()).sign(version, version / SIGNATURE)
    with (version / SIGNATURE).open("rb") as file:
        os.fsync(file.fileno())
    disk.sync_directory(version)


def check(version: Path, settings: Signing) -> list[str]:
    """The differences of a version from what was signed with the key, a sentence each. Empty if it is unaltered.

    Raises:
        ConfigurationError: the key cannot be read.
    """
    with _public_file(settings) as public:
        if not (version / SIGNATURE).is_file():
            return [f"it has no {SIGNATURE}"]
        verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public)
    try:
        verifier.set_hashing_config(_hashing()).verify(version, version / SIGNATURE)
    except cryptography.exceptions.InvalidSignature:
        return [f"{SIGNATURE} was altered"]
    except Exception as error:  # anyone may have written the file, so any error can occur
        message = " ".join(str(error).split())[:200]
        return mismatches(str(error)) or [f"{SIGNATURE} cannot be checked: {message}"]
    return []


def _hashing() -> "model_signing.hashing.Config":
    """Covers all files except the signature, including files of git, which model-signing excludes by default."""
    return model_signing.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _password(settings: Signing) -> bytes | None:
    if settings.password_env is None:
        return None
    if not (value := os.environ.get(settings.password_env)):
        cause = f"the environment variable {settings.password_env} is not set"
        raise ConfigurationError(
            cause, "push.signing.password_env names it; it holds the password of push.signing.key."
        )
    return value.encode()


def _private(settings: Signing) -> "ec.EllipticCurvePrivateKey":
    path = Path(settings.key or "")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), _password(settings))
    except OSError as error:
        raise _unusable("key", path, error.strerror or str(error)) from None
    except TypeError:  # raised by cryptography for a superfluous or missing password
        hint = (
            "it has no password"
            if settings.password_env
            else "it has a password, and push.signing.password_env names none"
        )
        raise _unusable("key", path, hint) from None
    except ValueError:
        password = f", or its password is not that of {settings.password_env}" if settings.password_env else ""
        hint = f"it is not a private key in PEM format{password}"
        raise _unusable("key", path, hint) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise _unusable("key", path, f"its type is not one of {', '.join(CURVES)}")
    return key


def _public(settings: Signing) -> "ec.EllipticCurvePublicKey":
    path = Path(settings.public_key or "")
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise _unusable("public_key", path, error.strerror or str(error)) from None
    except ValueError:
        raise _unusable("public_key", path, "it is not a public key in PEM format") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _unusable("public_key", path, f"its type is not one of {', '.join(CURVES)}")
    return key


@contextlib.contextmanager
def _public_file(settings: Signing) -> Iterator[Path]:
    """The path of a public key file: the configured one, or a temporary one derived from the private key."""
    if settings.public_key:
        _public(settings)
        yield Path(settings.public_key)
        return
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        file.write(_private(settings).public_key().public_bytes(serialization.Encoding.PEM, form))
        file.flush()
        yield Path(file.name)


def _unusable(setting: str, path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"push.signing.{setting} {path} cannot be used: {why}",
        "Name an elliptic-curve key in PEM format, for example P-256.",
    )
