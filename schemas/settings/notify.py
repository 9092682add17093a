"""The settings of who is told what became of a run; secrets come from environment variables alone.

Notify(on=["refused"], webhook=Webhook(url_env="SLACK_URL"))
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from schemas.settings.base import Settings

Event = Literal["pushed", "refused", "failed", "waiting", "drift", "quarantined"]
EVENTS: tuple[Event, ...] = get_args(Event)


def _variable(name: str) -> str:
    if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # not shown: it may be the secret itself
        raise ValueError(
            "this is not the name of an environment variable (capitals, digits, _), which would hold the secret"
        )
    return name


Variable = Annotated[str, AfterValidator(_variable)]


class Webhook(Settings):
    """An address that is sent JSON; its `text` is what Slack shows."""

    url_env: Variable | None = Field(None, description="environment variable that holds the address")
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] | None = Field(
        None, description="the address, where it is no secret"
    )

    @model_validator(mode="after")
    def _one_address(self) -> "Webhook":
        if (self.url is None) == (self.url_env is None):
            raise ValueError("state one of url_env and url")
        if self.url and "@" in self.url.split("/")[2]:
            raise ValueError(
                "a password stands in the url; put the address into an environment variable and name that in url_env"
            )
        return self


class Email(Settings):
    """A message through an SMTP server."""

    host: str = Field(min_length=1, description="the server")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(587, description="the server's port")
    sender: str = Field(alias="from", min_length=3, description="address it comes from")
    to: list[str] = Field(min_length=1, description="addresses it goes to")
    user_env: Variable | None = Field(None, description="environment variable that holds the user")
    password_env: Variable | None = Field(None, description="environment variable that holds the password")
    starttls: bool = Field(True, description="encrypt, and check the server's certificate")

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, value: Any) -> Any:
        if isinstance(value, dict) and "password" in value:
            raise ValueError(
                "a configuration must not contain a password; "
                "put it into an environment variable and name it: password_env"
            )
        return value

    @model_validator(mode="after")
    def _login_is_whole_and_secret(self) -> "Email":
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError("user_env and password_env go together")
        if self.password_env and not self.starttls:
            raise ValueError("starttls: false would send the password in the clear")
        return self


class Notify(Settings):
    """Who is told of a run's outcome: once an event, and after it is recorded."""

    on: list[Event] = Field(list(EVENTS), min_length=1, description="the events that are told")
    webhook: Webhook | None = Field(None, description="tell an address by HTTP")
    email: Email | None = Field(None, description="tell people by e-mail")
    command: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="tell a program: the event as JSON on its stdin"
    )

    @model_validator(mode="after")
    def _one_target(self) -> "Notify":
        if sum(target is not None for target in (self.webhook, self.email, self.command)) != 1:
            raise ValueError("state one of webhook, email and command")
        return self
