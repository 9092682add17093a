"""Signatures of served versions: OpenSSF model-signing, with an elliptic-curve key of one's own and no network.

seal(settings).put(staged)      # leaves model.sig beside the model, over every other file
check(version, settings)        # [], or what is wrong with it, in words

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
from schemas import files
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
    """Refuse early, before hours of training, keys that could not sign or check.

    Raises:
        ConfigurationError: model-signing is not installed; a key cannot be read or has another type; or the two keys
            are no pair.
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
        raise ConfigurationError(cause, f"Make it: openssl ec -in {settings.key} -pubout -out PUBLIC.pem")


@dataclass(frozen=True)
class Seal:
    """Signs finished versions with one key, and knows again what was signed with it."""

    settings: Signing

    def put(self, staged: Path) -> None:
        """Sign a version before it appears, and check that where a signature is required."""
        sign(staged, self.settings)
        require(staged, self.settings)

    def insist(self, version: Path, otherwise: str) -> None:
        """Nothing, if the version is signed with this key, and intact.

        Raises:
            Refused: it is not; the way out is `otherwise`, or to sign it by hand.
        """
        if wrong := check(version, self.settings):
            raise Refused(
                f"{version} is not what was signed: {'; '.join(wrong)}",
                f"{otherwise}; or, {_by_hand(version, self.settings)}",
            )


def seal(settings: Signing | None) -> Seal | None:
    """What signs the versions to come; None where nothing is signed."""
    return Seal(settings) if settings and settings.key else None


def require(version: Path, settings: Signing | None) -> None:
    """Nothing, if the version is signed and intact, or need not be.

    Raises:
        Refused: it is not.
    """
    if settings and settings.require_signature:
        Seal(settings).insist(version, "Move it away")


def _by_hand(version: Path, settings: Signing) -> str:
    """How to sign a version that is not signed, in words."""
    place, key, signature = (shlex.quote(str(each)) for each in (version, settings.key, version / SIGNATURE))
    command = "python -m model_signing sign key {} --private_key {} --signature {}"
    if settings.password_env is None:
        return f"if you know it to be right, sign it: {command.format(place, key, signature)}"
    # model-signing's command has an option for a password, and fails on any
    unlocked = f"openssl ec -in {key} -passin env:{settings.password_env} -out UNLOCKED.pem"
    signing = command.format(place, "UNLOCKED.pem", signature)
    return f"if you know it to be right, sign it: {unlocked} && {signing}; rm UNLOCKED.pem"


def sign(version: Path, settings: Signing) -> None:
    """`model.sig` over all files of a version that is complete but for it, flushed to disk.

    Raises:
        ConfigurationError: the key cannot be read.
    """
    _private(settings)
    password: Any = _password(settings)  # said to be a string there, and used as bytes
    signer = model_signing.signing.Config().use_elliptic_key_signer(
        private_key=Path(settings.key or ""), password=password
    )
    signer.set_hashing_config(_hashing()).sign(version, version / SIGNATURE)
    with (version / SIGNATURE).open("rb") as file:
        os.fsync(file.fileno())
    files.sync_directory(version)


def check(version: Path, settings: Signing) -> list[str]:
    """What keeps a version from being exactly what the owner of the key signed, in words; nothing if it is.

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
    except Exception as error:  # whatever a file that anyone may have written brings up
        message = " ".join(str(error).split())[:200]
        return mismatches(str(error)) or [f"{SIGNATURE} cannot be checked: {message}"]
    return []


def _hashing() -> "model_signing.hashing.Config":
    """All files but the signature: those of git too, which model-signing leaves out by default."""
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
    except TypeError:  # cryptography's word for a password too many or too few
        hint = (
            "it has no password"
            if settings.password_env
            else "it has a password, and push.signing.password_env names none"
        )
        raise _unusable("key", path, hint) from None
    except ValueError:
        password = f", or its password is not that of {settings.password_env}" if settings.password_env else ""
        hint = f"it is no private key in PEM{password}"
        raise _unusable("key", path, hint) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise _unusable("key", path, f"it is not of {', '.join(CURVES)}")
    return key


def _public(settings: Signing) -> "ec.EllipticCurvePublicKey":
    path = Path(settings.public_key or "")
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise _unusable("public_key", path, error.strerror or str(error)) from None
    except ValueError:
        raise _unusable("public_key", path, "it is no public key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _unusable("public_key", path, f"it is not of {', '.join(CURVES)}")
    return key


@contextlib.contextmanager
def _public_file(settings: Signing) -> Iterator[Path]:
    """The public key as the file that model-signing needs: the named one, or a temporary one from the private key."""
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
        f"push.signing.{setting} {path} cannot be used: {why}", "Name an elliptic-curve key in PEM, P-256 for one."
    )
