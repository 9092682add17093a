"""Delivery: once to each receiver, with retries; a failure is a warning."""

import re
import sys

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.email import Email
from pipeline.notify.channels.webhook import Webhook
from tests.pipeline.notify.conftest import Line, Slack, free_port, webhook


def test_a_server_error_is_retried_after_pauses(line: Line, slack: Slack, capsys: pytest.CaptureFixture) -> None:
    slack.answers = [500, 503]
    line.notify(line.run("pushed"), webhook(slack))
    assert (len(slack.requests), line.pauses) == (3, [2.0, 8.0])
    assert len({headers["Idempotency-Key"] for headers, _ in slack.requests}) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("answers", "attempts", "message"),
    [
        ([500] * 9, 3, "it answered 500 Internal Server Error"),
        ([404], 1, "it answered 404 Not Found"),
        ([302], 1, "it answered 302 Found"),
        ([0], 1, "RemoteDisconnected"),  # the message may have been received
    ],
)
def test_a_failed_target_is_a_warning_and_not_retried_by_later_runs(
    line: Line, slack: Slack, capsys: pytest.CaptureFixture, answers: list[int], attempts: int, message: str
) -> None:
    slack.answers = answers
    number = line.run("pushed")
    line.notify(number, webhook(slack))
    warnings = capsys.readouterr().err
    assert warnings.startswith("warning: webhook 127.0.0.1:")
    assert warnings.count("\n") == 1
    assert message in warnings
    assert (line.root / "logs" / "run-1.log").read_text(encoding="utf-8") == warnings
    line.notify(number, webhook(slack))
    assert len(slack.requests) == attempts
    assert [notice["state"] for notice in line.ledger] == ["failed"]


def test_each_target_is_notified_once(line: Line, slack: Slack) -> None:
    number = line.run("pushed")
    command_channel = Notify(command=[sys.executable, "-c", f"open({str(line.root / 'told')!r}, 'a').write('told\\n')"])
    for _ in range(3):
        line.notify(number, webhook(slack), command_channel)
    assert len(slack.requests) == 1
    assert (line.root / "told").read_text(encoding="utf-8") == "told\n"
    line.notify(line.run("pushed"), webhook(slack))
    assert len(slack.requests) == 2


def test_a_notification_claimed_before_a_crash_is_not_sent_again(line: Line, slack: Slack) -> None:
    number = line.run("pushed")
    line.notify(number, webhook(slack))
    (notice,) = (line.root / "notices").glob("*")
    notice.write_text("{}", encoding="utf-8")  # as it is between the claim and the end of sending
    line.notify(number, webhook(slack))
    assert len(slack.requests) == 1


def test_an_unreachable_server_does_not_prevent_other_notifications(
    line: Line, slack: Slack, capsys: pytest.CaptureFixture
) -> None:
    dead = Notify(webhook=Webhook(url=f"http://127.0.0.1:{free_port()}/"))
    mail = Notify(
        email=Email.model_validate({"host": "127.0.0.1", "port": free_port(), "from": "a@b.c", "to": ["d@e.f"]})
    )
    line.notify(line.run("pushed"), dead, mail, webhook(slack))
    assert len(slack.requests) == 1
    assert line.pauses == [2.0, 8.0] * 2
    assert len(re.findall(r"it cannot be reached: .*Connection refused", capsys.readouterr().err)) == 2


def test_an_unknown_run_is_a_warning(line: Line, slack: Slack, capsys: pytest.CaptureFixture) -> None:
    line.notify(99, webhook(slack))
    assert capsys.readouterr().err.startswith("warning: notifications were interrupted: ")
