"""The events of a run and their texts."""

import pytest

from tests.pipeline.notify.conftest import Line, Slack, webhook


def test_a_push_is_told_with_its_version_and_accuracy(line: Line, slack: Slack) -> None:
    line.tell(line.run("pushed"), webhook(slack))
    ((headers, body),) = slack.got
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
def test_other_ends_are_told_in_the_words_of_the_run(
    line: Line, slack: Slack, state: str, message: str, event: str, text: str
) -> None:
    line.tell(line.run(state, message, 3), webhook(slack))
    ((_, body),) = slack.got
    assert (body["event"], body["text"], body["message"]) == (event, f"mnist, run 1: {text}", message)


@pytest.mark.parametrize("state", ["unchanged", "interrupted"])
def test_of_a_run_that_changed_nothing_nobody_hears(line: Line, slack: Slack, state: str) -> None:
    line.tell(line.run(state), webhook(slack))
    assert slack.got == []


def test_drift_is_told_beside_the_outcome_and_skew_is_not_drift(line: Line, slack: Slack) -> None:
    line.tell(line.run("pushed", drift=True), webhook(slack, "drift"))
    assert slack.texts == ["mnist, run 1: drift: train against version 3's: the share of label 4 differs by 0.2"]


def test_of_a_span_that_drifts_or_is_kept_out_people_hear_once(line: Line, slack: Slack) -> None:
    far, cut = "span-2 lies far from version 1's training data", "span-3/7/1.png cannot be decoded as an image"
    for candidate in ("one", "two"):
        spans = {"drifted": {"span-2": far}, "quarantined": {"span-3": cut}}
        line.tell(line.run("unchanged", candidate=candidate, spans=spans), webhook(slack))
    assert slack.texts == [f"mnist, run 1: drift: {far}", f"mnist, run 1: span-3 is quarantined: {cut}"]
    assert [body["span"] for _, body in slack.got] == ["span-2", "span-3"]


def test_a_target_hears_only_what_it_asked_for(line: Line, slack: Slack) -> None:
    line.tell(line.run("pushed"), webhook(slack, "refused", "failed"))
    assert slack.got == []
    assert line.ledger == []


def test_the_same_refusal_night_after_night_is_one_event_and_a_failure_is_not(line: Line, slack: Slack) -> None:
    for candidate in ("one", "one", "other"):
        line.tell(line.run("refused", "refused: no", 3, drift=True, candidate=candidate), webhook(slack))
    assert [text.split(": ")[1] for text in slack.texts] == ["refused", "drift", "refused", "drift"]
    for _ in range(2):
        line.tell(line.run("failed", "OSError: boom", 1, candidate="other"), webhook(slack))
    assert [text.split(": ")[1] for text in slack.texts[4:]] == ["failed", "failed"]
