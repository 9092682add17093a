"""A receiver that is added later gets no earlier event; an upgrade adds no receiver."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.webhook import Webhook
from tests.pipeline.notify.conftest import Line, Slack, webhook


def test_receivers_keep_their_identity_from_version_0_1(line: Line) -> None:
    """Otherwise an upgrade would send every open event again. The texts are those of 0.1 for the same settings."""
    assert Notify(webhook=Webhook(url="http://ümlaut/x")).identity == (
        '{"webhook":{"url_env":null,"url":"http://ümlaut/x"},"email":null,"command":null}'
    )
    assert Notify(command=["tee", "-a"]).identity == '{"webhook":null,"email":null,"command":["tee","-a"]}'


def test_a_new_channel_gets_no_earlier_event(line: Line, slack: Slack, tmp_path: Path) -> None:
    """Spans that stay quarantined and a candidate that stays refused are no new events for a new channel."""
    events_file = tmp_path / "events"
    command_channel = Notify(command=[sys.executable, "-c", f"open({str(events_file)!r}, 'a').write(input() + '\\n')"])
    spans = {"drifted": {}, "quarantined": {"span-1": "broken"}}

    def nightly_run(*targets: Notify, spans: dict[str, Any]) -> None:
        config = {"notify": [target.model_dump(mode="json", by_alias=True) for target in targets]}
        line.notify(line.run("refused", "refused: no", spans=spans, config=config), *targets)

    nightly_run(command_channel, spans=spans)
    nightly_run(command_channel, webhook(slack), spans=spans)
    nightly_run(command_channel, webhook(slack), spans=spans)
    assert slack.requests == []
    assert [json.loads(text)["event"] for text in events_file.read_text(encoding="utf-8").splitlines()] == [
        "refused",
        "quarantined",
    ]
    spans["quarantined"] = spans["quarantined"] | {"span-2": "broken, too"}
    nightly_run(command_channel, webhook(slack), spans=spans)
    assert [body["span"] for _, body in slack.requests] == ["span-2"]
    assert len(events_file.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("between", [{}, {"notify": []}], ids=["schema infer", "tune"])
def test_a_new_channel_gets_no_earlier_event_after_a_run_without_spans(
    line: Line, slack: Slack, between: dict[str, Any]
) -> None:
    spans = {"drifted": {}, "quarantined": {"span-1": "broken"}}
    line.run("refused", "refused: no", spans=spans, config={"notify": []})
    line.run("partial", config=between)
    config = {"notify": [webhook(slack).model_dump(mode="json", by_alias=True)]}
    line.notify(line.run("refused", "refused: no", spans=spans, config=config), webhook(slack))
    assert slack.requests == []
    assert {entry["state"] for entry in line.ledger} == {"old"}
