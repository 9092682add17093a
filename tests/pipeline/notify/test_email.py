"""Channel `email`, against a real SMTP server."""

import email
from typing import Any

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.email import Email
from tests.pipeline.notify.conftest import Line, Post


def mail(port: int, **more: Any) -> Notify:
    return Notify(
        email=Email.model_validate(
            {
                "host": "127.0.0.1",
                "port": port,
                "from": "line@example.org",
                "to": ["ann@example.org", "bob@example.org"],
                "starttls": False,
                **more,
            }
        )
    )


def test_a_letter_says_the_same(line: Line, post: tuple[Post, int]) -> None:
    handler, port = post
    line.tell(line.run("refused", "refused: accuracy is 0.9, not ≥ 0.95\n  Train longer.", 3), mail(port))
    (letter,) = handler.letters
    subject = str(email.header.make_header(email.header.decode_header(letter["Subject"])))
    assert subject == "gateline: mnist, run 1: refused: accuracy is 0.9, not ≥ 0.95"
    assert (letter["From"], letter["To"]) == ("line@example.org", "ann@example.org, bob@example.org")
    body = letter.get_payload(decode=True).decode()
    assert "Train longer." in body
    assert '"exit_code": 3' in body


@pytest.mark.parametrize(
    ("answers", "letters", "words"),
    [
        (["451 later"], 2, None),
        (["451 later"] * 3, 3, "it answered 451 later"),
        (["554 no"], 1, "it answered 554 no"),
    ],
)
def test_a_mail_server_that_says_later_is_tried_again_and_one_that_says_no_is_not(
    line: Line,
    post: tuple[Post, int],
    capsys: pytest.CaptureFixture,
    answers: list[str],
    letters: int,
    words: str | None,
) -> None:
    handler, port = post
    handler.answers = answers
    line.tell(line.run("pushed"), mail(port))
    assert len(handler.letters) == letters
    warned = capsys.readouterr().err
    assert warned == "" if words is None else words in warned


def test_without_encryption_where_it_was_asked_for_nothing_is_sent(
    line: Line, post: tuple[Post, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    handler, port = post
    monkeypatch.setenv("SMTP_USER", "ann")
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2")
    line.tell(line.run("pushed"), mail(port, starttls=True, user_env="SMTP_USER", password_env="SMTP_PASSWORD"))
    warned = capsys.readouterr().err
    assert "STARTTLS" in warned
    assert "hunter2" not in warned
    assert handler.letters == []
