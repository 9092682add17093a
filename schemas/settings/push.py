"""Approval, signing, rollout check, and the serving directory."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from schemas.settings.base import FilePath, Positive, Settings, Variable

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]


class Signing(Settings):
    """Signatures of served versions, by OpenSSF model-signing with an elliptic-curve key. Needs the extra `signing`."""

    key: FilePath | None = Field(None, description="PEM file of the private key, which pushed versions are signed with")
    password_env: Variable | None = Field(None, description="environment variable that holds the key's password")
    public_key: FilePath | None = Field(
        None, description="PEM file of the public key, which signatures are checked with"
    )
    require_signature: bool = Field(
        False, description="refuse unsigned or altered versions: the new one, and the served one"
    )

    @model_validator(mode="after")
    def _keys_are_named(self) -> "Signing":
        if self.require_signature and not (self.key and self.public_key):
            raise ValueError("require_signature needs key, to sign what is pushed, and public_key, to check it")
        if not self.key and (self.password_env or not self.public_key):
            raise ValueError(
                "set key, public_key or both"
                if not self.password_env
                else "password_env is the password of key, which is not stated"
            )
        return self


class Watch(Settings):
    """Checks with TensorFlow Serving, after a push, that it serves the new version."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")] = Field(
        description="REST address of TensorFlow Serving, e.g. http://127.0.0.1:8501"
    )
    timeout_seconds: Annotated[FiniteFloat, Field(gt=0, le=3600)] = Field(
        120.0, description="longest time until a version is served"
    )
    rollback: bool = Field(True, description="if it is not served, roll back to the previous version")

    @model_validator(mode="after")
    def _no_password(self) -> "Watch":
        if "@" in self.url:
            raise ValueError("the url holds a password; TensorFlow Serving does not use one")
        return self


class Push(Settings):
    """How a model reaches the serving directory."""

    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None = Field(
        None, description="folder below the serving directory; default: named after the dataset"
    )
    keep: Annotated[int, Field(ge=2)] = Field(
        5, description="versions to keep, in addition to pinned ones and the best ever served"
    )
    approval: Literal["auto", "manual"] = Field(
        "auto", description="manual: a model that passed every gate waits for approval"
    )
    approvers: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="who may approve; default: anyone"
    )
    approval_days: Positive = Field(7.0, description="largest age of an approved evaluation, and of an approval")
    signing: Signing | None = Field(None, description="sign what is pushed; default: nothing is signed or checked")
    watch: Watch | None = Field(None, description="check with TensorFlow Serving after a push; default: no check")
