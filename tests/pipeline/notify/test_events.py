"""The events of a run and their texts."""

import pytest

from tests.pipeline.notify.conftest import Line, Slack, webhook


def test_a_push_event_has_version_and_accuracy(line: Line, slack: Slack) -> None:
    line.notify(line.run("pushed"), webhook(slack))
    ((headers, body),) = slack.requests
    assert headers["Content-Type"] == "application/json"
    assert body["text"] == "mnist, run 1: version 4 is served, accuracy 0.9862"
    assert (body["event"], body["run"], body["version"], body["accuracy"]) == ("pushed", 1, 4, 0.98617)
    assert body["path"] == str(line.root / "serving/mnist/4")
    assert [entry["state"] for entry in line.ledger] == ["sent"]


@pytest.mark.parametrize(
    ("state", "message", "event", "text"),
    [
        (
            "refused",
            "refused: accuracy is 0.9 <0.95>\n  Train longer.",
            "refused",
            "refused: accuracy is 0.9 &lt;0.95&gt;\n  Train longer.",
        ),
        ("failed", "OSError: boom", "failed", "failed: OSError: boom"),
        ("killed", "", "failed", "killed: it ended without an error message"),
        ("waiting", "waiting: for a person's yes", "waiting", "waiting: for a person's yes"),
    ],
)
def test_other_events_have_the_message_of_the_run(
    line: Line, slack: Slack, state: str, message: str, event: str, text: str
) -> None:
    line.notify(line.run(state, message, 3), webhook(slack))
    ((_, body),) = slack.requests
    assert (body["event"], body["text"], body["message"]) == (event, f"mnist, run 1: {text}", message)


@pytest.mark.parametrize("state", ["unchanged", "interrupted"])
def test_an_unchanged_or_interrupted_run_sends_no_event(line: Line, slack: Slack, state: str) -> None:
    line.notify(line.run(state), webhook(slack))
    assert slack.requests == []


def test_drift_is_an_event_and_skew_is_not(line: Line, slack: Slack) -> None:
    line.notify(line.run("pushed", drift=True), webhook(slack, "drift"))
    assert slack.texts == ["mnist, run 1: drift: train against version 3's: the share of label 4 differs by 0.2"]


def test_a_drifted_or_quarantined_span_is_notified_once(line: Line, slack: Slack) -> None:
    drift, damage = "span-2 lies far from version 1's training data", "span-3/7/1.png cannot be decoded as an image"
    for candidate in ("one", "two"):
        spans = {"drifted": {"span-2": drift}, "quarantined": {"span-3": damage}}
        line.notify(line.run("unchanged", candidate=candidate, spans=spans), webhook(slack))
    assert slack.texts == [f"mnist, run 1: drift: {drift}", f"mnist, run 1: span-3 is quarantined: {damage}"]
    assert [body["span"] for _, body in slack.requests] == ["span-2", "span-3"]


def test_a_target_gets_only_its_configured_events(line: Line, slack: Slack) -> None:
    line.notify(line.run("pushed"), webhook(slack, "refused", "failed"))
    assert slack.requests == []
    assert line.ledger == []


def test_a_repeated_refusal_is_notified_once_and_every_failure_separately(line: Line, slack: Slack) -> None:
    for candidate in ("one", "one", "other"):
        line.notify(line.run("refused", "refused: no", 3, drift=True, candidate=candidate), webhook(slack))
    assert [text.split(": ")[1] for text in slack.texts] == ["refused", "drift", "refused", "drift"]
    for _ in range(2):
        line.notify(line.run("failed", "OSError: boom", 1, candidate="other"), webhook(slack))
    assert [text.split(": ")[1] for text in slack.texts[4:]] == ["failed", "failed"]
