"""A receiver that is added later gets no earlier event; an upgrade adds no receiver."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.notify import Notify
from pipeline.notify.channels.webhook import Webhook
from tests.pipeline.notify.conftest import Line, Slack, webhook


def test_a_receiver_keeps_its_identity_of_version_0_1(line: Line) -> None:
    """Or an upgrade would send every open event again. The texts are what 0.1 made of the same settings."""
    assert Notify(webhook=Webhook(url="http://ümlaut/x")).identity == (
        '{"webhook":{"url_env":null,"url":"http://ümlaut/x"},"email":null,"command":null}'
    )
    assert Notify(command=["tee", "-a"]).identity == '{"webhook":null,"email":null,"command":["tee","-a"]}'


def test_a_new_channel_gets_no_event_of_before_it_was_configured(line: Line, slack: Slack, tmp_path: Path) -> None:
    """Spans stay quarantined, and a candidate stays refused, night after night: that is no news for a new channel."""
    told = tmp_path / "told"
    program = Notify(command=[sys.executable, "-c", f"open({str(told)!r}, 'a').write(input() + '\\n')"])
    spans = {"drifted": {}, "quarantined": {"span-1": "broken"}}

    def night(*targets: Notify, spans: dict[str, Any]) -> None:
        config = {"notify": [target.model_dump(mode="json", by_alias=True) for target in targets]}
        line.tell(line.run("refused", "refused: no", spans=spans, config=config), *targets)

    night(program, spans=spans)
    night(program, webhook(slack), spans=spans)
    night(program, webhook(slack), spans=spans)
    assert slack.got == []
    assert [json.loads(text)["event"] for text in told.read_text(encoding="utf-8").splitlines()] == [
        "refused",
        "quarantined",
    ]
    spans["quarantined"] = spans["quarantined"] | {"span-2": "broken, too"}
    night(program, webhook(slack), spans=spans)
    assert [body["span"] for _, body in slack.got] == ["span-2"]
    assert len(told.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("between", [{}, {"notify": []}], ids=["schema infer", "tune"])
def test_nor_after_a_run_that_read_no_spans(line: Line, slack: Slack, between: dict[str, Any]) -> None:
    spans = {"drifted": {}, "quarantined": {"span-1": "broken"}}
    line.run("refused", "refused: no", spans=spans, config={"notify": []})
    line.run("partial", config=between)
    config = {"notify": [webhook(slack).model_dump(mode="json", by_alias=True)]}
    line.tell(line.run("refused", "refused: no", spans=spans, config=config), webhook(slack))
    assert slack.got == []
    assert {entry["state"] for entry in line.ledger} == {"old"}
