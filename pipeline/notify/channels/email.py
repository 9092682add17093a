"""Channel `email`: sends the event through an SMTP server."""

import contextlib
import json
from typing import Annotated, Any, ClassVar

from etils import epy
from pydantic import Field, model_validator

from pipeline.notify.channels import Undelivered
from schemas.settings.base import Settings, Variable, secret

with epy.lazy_imports():
    import email.message
    import smtplib
    import ssl

TIMEOUT = 10.0  # seconds


class Email(Settings):
    """An SMTP server and the addresses. User and password come from environment variables."""

    title: ClassVar[str] = "send by e-mail"

    host: str = Field(min_length=1, description="the server")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(587, description="the server's port")
    sender: str = Field(alias="from", min_length=3, description="address of the sender")
    to: list[str] = Field(min_length=1, description="addresses of the receivers")
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
    def _login_is_complete_and_secret(self) -> "Email":
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError("user_env and password_env go together")
        if self.password_env and not self.starttls:
            raise ValueError("starttls: false would send the password in the clear")
        return self

    @property
    def name(self) -> str:
        return f"email {', '.join(self.to)}"

    def send(self, event: dict[str, Any]) -> None:
        message = email.message.EmailMessage()
        message["Subject"] = f"gateline: {event['text'].splitlines()[0]}"[:200]
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message.set_content(f"{event['text']}\n\n{json.dumps(event, indent=2)}\n")
        login = (secret(self.user_env), secret(self.password_env)) if self.user_env and self.password_env else None
        try:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT)
        except (OSError, smtplib.SMTPException) as error:
            raise Undelivered(f"it cannot be reached: {error}", retryable=True) from None
        try:
            if self.starttls:
                server.starttls(context=ssl.create_default_context())
            if login:
                server.login(*login)
            refused = server.send_message(message)
        except smtplib.SMTPResponseException as error:
            response = f"it answered {error.smtp_code} {_text(error.smtp_error)}"
            raise Undelivered(response, retryable=400 <= error.smtp_code < 500) from None
        finally:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
        if refused:
            raise Undelivered(f"it refused {', '.join(refused)}")


def _text(response: bytes | str) -> str:
    return response.decode(errors="replace") if isinstance(response, bytes) else response


KIND = Email
