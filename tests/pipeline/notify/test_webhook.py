"""Channel `webhook`: its address is kept secret."""

import json

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.webhook import Webhook
from tests.pipeline.notify.conftest import Line, Slack


def test_an_address_from_the_environment_stays_out_of_words_and_ledger(
    line: Line, slack: Slack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    target = Notify(webhook=Webhook(url_env="GATELINE_TEST_HOOK"))
    monkeypatch.setenv("GATELINE_TEST_HOOK", slack.url)
    line.tell(line.run("pushed"), target)
    assert len(slack.got) == 1
    for secret in ("ftp://secret", "secret", "http://secret\n/", "http://[secret"):
        monkeypatch.setenv("GATELINE_TEST_HOOK", secret)
        line.tell(line.run("pushed"), target)
    monkeypatch.delenv("GATELINE_TEST_HOOK")
    line.tell(line.run("pushed"), target)
    warned = capsys.readouterr().err
    assert warned.count("warning: webhook $GATELINE_TEST_HOOK was not notified") == 5
    assert "the environment variable GATELINE_TEST_HOOK is not set" in warned
    assert "secret" not in warned + json.dumps(line.ledger)
    assert slack.url not in json.dumps(line.ledger)
