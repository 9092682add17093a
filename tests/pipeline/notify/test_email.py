"""Channel `email`, against a real SMTP server."""

import email
from typing import Any

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.email import Email
from tests.pipeline.notify.conftest import Line, MailHandler


def mail(port: int, **options: Any) -> Notify:
    return Notify(
        email=Email.model_validate(
            {
                "host": "127.0.0.1",
                "port": port,
                "from": "line@example.org",
                "to": ["ann@example.org", "bob@example.org"],
                "starttls": False,
                **options,
            }
        )
    )


def test_an_email_contains_text_and_event(line: Line, mail_server: tuple[MailHandler, int]) -> None:
    handler, port = mail_server
    line.notify(line.run("refused", "refused: accuracy is 0.9, not ≥ 0.95\n  Train longer.", 3), mail(port))
    (mail_message,) = handler.messages
    subject = str(email.header.make_header(email.header.decode_header(mail_message["Subject"])))
    assert subject == "gateline: mnist, run 1: refused: accuracy is 0.9, not ≥ 0.95"
    assert (mail_message["From"], mail_message["To"]) == ("line@example.org", "ann@example.org, bob@example.org")
    body = mail_message.get_payload(decode=True).decode()
    assert "Train longer." in body
    assert '"exit_code": 3' in body


@pytest.mark.parametrize(
    ("answers", "count", "message"),
    [
        (["451 later"], 2, None),
        (["451 later"] * 3, 3, "it answered 451 later"),
        (["554 no"], 1, "it answered 554 no"),
    ],
)
def test_only_temporary_mail_errors_are_retried(
    line: Line,
    mail_server: tuple[MailHandler, int],
    capsys: pytest.CaptureFixture,
    answers: list[str],
    count: int,
    message: str | None,
) -> None:
    handler, port = mail_server
    handler.answers = answers
    line.notify(line.run("pushed"), mail(port))
    assert len(handler.messages) == count
    warnings = capsys.readouterr().err
    assert warnings == "" if message is None else message in warnings


def test_nothing_is_sent_when_required_encryption_is_missing(
    line: Line, mail_server: tuple[MailHandler, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    handler, port = mail_server
    monkeypatch.setenv("SMTP_USER", "ann")
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2")
    line.notify(line.run("pushed"), mail(port, starttls=True, user_env="SMTP_USER", password_env="SMTP_PASSWORD"))
    warnings = capsys.readouterr().err
    assert "STARTTLS" in warnings
    assert "hunter2" not in warnings
    assert handler.messages == []
