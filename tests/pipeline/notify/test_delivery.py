"""Delivery: once to each receiver, with retries; a failure is a warning."""

import re
import sys

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.email import Email
from pipeline.notify.channels.webhook import Webhook
from tests.pipeline.notify.conftest import Line, Slack, free_port, webhook


def test_a_server_in_trouble_is_tried_again_after_pauses(
    line: Line, slack: Slack, capsys: pytest.CaptureFixture
) -> None:
    slack.answers = [500, 503]
    line.tell(line.run("pushed"), webhook(slack))
    assert (len(slack.got), line.slept) == (3, [2.0, 8.0])
    assert len({headers["Idempotency-Key"] for headers, _ in slack.got}) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("answers", "tries", "words"),
    [
        ([500] * 9, 3, "it answered 500 Internal Server Error"),
        ([404], 1, "it answered 404 Not Found"),
        ([302], 1, "it answered 302 Found"),
        ([0], 1, "RemoteDisconnected"),  # it may have been taken
    ],
)
def test_a_target_that_fails_is_a_warning_and_is_not_told_later(
    line: Line, slack: Slack, capsys: pytest.CaptureFixture, answers: list[int], tries: int, words: str
) -> None:
    slack.answers = answers
    number = line.run("pushed")
    line.tell(number, webhook(slack))
    warned = capsys.readouterr().err
    assert warned.startswith("warning: webhook 127.0.0.1:")
    assert warned.count("\n") == 1
    assert words in warned
    assert (line.root / "logs" / "run-1.log").read_text(encoding="utf-8") == warned
    line.tell(number, webhook(slack))
    assert len(slack.got) == tries
    assert [entry["state"] for entry in line.ledger] == ["failed"]


def test_nobody_is_told_twice_but_each_target_once(line: Line, slack: Slack) -> None:
    number = line.run("pushed")
    program = Notify(command=[sys.executable, "-c", f"open({str(line.root / 'told')!r}, 'a').write('told\\n')"])
    for _ in range(3):
        line.tell(number, webhook(slack), program)
    assert len(slack.got) == 1
    assert (line.root / "told").read_text(encoding="utf-8") == "told\n"
    line.tell(line.run("pushed"), webhook(slack))
    assert len(slack.got) == 2


def test_what_was_claimed_before_a_crash_is_not_sent_again(line: Line, slack: Slack) -> None:
    number = line.run("pushed")
    line.tell(number, webhook(slack))
    (entry,) = (line.root / "notices").glob("*")
    entry.write_text("{}", encoding="utf-8")  # as it stands between the claim and the end of sending
    line.tell(number, webhook(slack))
    assert len(slack.got) == 1


def test_a_dead_server_is_tried_and_the_others_are_still_told(
    line: Line, slack: Slack, capsys: pytest.CaptureFixture
) -> None:
    dead = Notify(webhook=Webhook(url=f"http://127.0.0.1:{free_port()}/"))
    mail = Notify(
        email=Email.model_validate({"host": "127.0.0.1", "port": free_port(), "from": "a@b.c", "to": ["d@e.f"]})
    )
    line.tell(line.run("pushed"), dead, mail, webhook(slack))
    assert len(slack.got) == 1
    assert line.slept == [2.0, 8.0] * 2
    assert len(re.findall(r"it cannot be reached: .*Connection refused", capsys.readouterr().err)) == 2


def test_a_lineage_that_cannot_be_read_costs_a_warning_not_the_run(
    line: Line, slack: Slack, capsys: pytest.CaptureFixture
) -> None:
    line.tell(99, webhook(slack))
    assert capsys.readouterr().err.startswith("warning: notifications were interrupted: ")
