"""Channel `webhook`: its URL is secret."""

import json

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.webhook import Webhook
from tests.pipeline.notify.conftest import Line, Slack


def test_a_url_from_the_environment_is_in_no_message_and_no_notice(
    line: Line, slack: Slack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    target = Notify(webhook=Webhook(url_env="GATELINE_TEST_HOOK"))
    monkeypatch.setenv("GATELINE_TEST_HOOK", slack.url)
    line.notify(line.run("pushed"), target)
    assert len(slack.requests) == 1
    for secret in ("ftp://secret", "secret", "http://secret\n/", "http://[secret"):
        monkeypatch.setenv("GATELINE_TEST_HOOK", secret)
        line.notify(line.run("pushed"), target)
    monkeypatch.delenv("GATELINE_TEST_HOOK")
    line.notify(line.run("pushed"), target)
    warnings = capsys.readouterr().err
    assert warnings.count("warning: webhook $GATELINE_TEST_HOOK was not notified") == 5
    assert "the environment variable GATELINE_TEST_HOOK is not set" in warnings
    assert "secret" not in warnings + json.dumps(line.ledger)
    assert slack.url not in json.dumps(line.ledger)
