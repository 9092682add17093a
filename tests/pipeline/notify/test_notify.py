"""Who is told what, against real servers on loopback: once, with retries, and never at the run's expense."""

import email
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from pipeline.dag import outputs
from pipeline.lineage import Lineage
from pipeline.notify import EVENTS, Notify, send
from pipeline.notify.channels.email import Email
from pipeline.notify.channels.webhook import Webhook
from pipeline.store import Store

ROOT = Path(__file__).parents[3]


EVALUATED = {"accuracy": 0.98617, "loss": 0.05, "saved_model": "5" * 64, "passed": True}


@dataclass
class Slack:
    """A server that keeps what it was sent and answers as it is told: 200 when it has been told nothing more."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.got]


@pytest.fixture
def slack() -> Iterator[Slack]:
    made = Slack()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((dict(self.headers), json.loads(body)))
            code = made.answers.pop(0) if made.answers else 200
            if code == 0:  # it took the message, and falls silent
                self.close_connection = True
                return
            self.send_response(code)
            if code == 302:
                self.send_header("Location", made.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # a redirect that is followed would come as this

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever).start()
        yield made
        server.shutdown()


@dataclass
class Post:
    """An SMTP server's handler."""

    answers: list[str] = field(default_factory=list)
    letters: list[email.message.Message] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.letters.append(email.message_from_bytes(envelope.content))
        return self.answers.pop(0) if self.answers else "250 OK"


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    handler = Post()
    server = Controller(handler, hostname="127.0.0.1", port=free_port())
    server.start()
    yield handler, server.port
    server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Line:
    """Runs that are over, and what was told of them."""

    root: Path
    lineage: Lineage
    slept: list[float] = field(default_factory=list)

    def run(
        self,
        state: str,
        message: str = "",
        exit_code: int = 0,
        drift: bool = False,
        candidate: str = "one",
        spans: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
    ) -> int:
        number = self.lineage.start(profile="mnist", command="", config=config or {})
        verdict = self.root / "verdict"
        verdict.mkdir(exist_ok=True)
        words = "train against version 3's: the share of label 4 differs by 0.2"
        found = {
            "split": "train",
            "feature": "label",
            "kind": "COMPARATOR_L_INFTY_HIGH",
            "words": words,
            "severity": "warning",
        }
        other = found | {"split": "validation", "words": "validation against train"}
        (verdict / "anomalies.json").write_text(json.dumps([other, *([found] if drift else [])]), encoding="utf-8")
        stages = [("validate", verdict, {"passed": True}), ("evaluate", self.root, EVALUATED)]
        if spans is not None:
            stages.append(("admit", self.root, {"passed": True, "admitted": []} | spans))
        if state == "pushed":
            stages.append(("push", self.root / "serving/mnist/4", {"version": 4, "new": True}))
        for stage, path, facts in stages:
            digest = f"{stage} {candidate}"
            self.lineage.executed(
                number, stage, state="ran", why="", seconds=1, digest=digest, path=str(path), facts=facts
            )
        self.lineage.finish(number, state=state, exit_code=exit_code, message=message)
        return number

    def tell(self, number: int, *targets: Notify) -> None:
        send(list(targets), self.root, self.lineage, number, outputs(), sleep=self.slept.append)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((self.root / "notices").glob("*"))]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    root = Store(tmp_path / "root").root
    made = Line(root, Lineage.at(root, None))
    yield made
    made.lineage.engine.dispose()


def webhook(slack: Slack, *on: Any) -> Notify:
    return Notify(on=list(on or EVENTS), webhook=Webhook(url=slack.url))


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


def test_the_same_refusal_night_after_night_is_one_event_and_a_failure_is_not(line: Line, slack: Slack) -> None:
    for candidate in ("one", "one", "other"):
        line.tell(line.run("refused", "refused: no", 3, drift=True, candidate=candidate), webhook(slack))
    assert [text.split(": ")[1] for text in slack.texts] == ["refused", "drift", "refused", "drift"]
    for _ in range(2):
        line.tell(line.run("failed", "OSError: boom", 1, candidate="other"), webhook(slack))
    assert [text.split(": ")[1] for text in slack.texts[4:]] == ["failed", "failed"]


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


def test_a_program_gets_the_event_on_its_stdin(line: Line, tmp_path: Path) -> None:
    out = tmp_path / "event.json"
    program = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    line.tell(line.run("failed", "OSError: boom", 1), Notify(command=[sys.executable, "-c", program]))
    (told,) = out.read_text(encoding="utf-8").splitlines(keepends=True)
    assert told.endswith("\n"), "so that events can be appended to a file, one a line"
    event = json.loads(told)
    assert (event["event"], event["text"], event["exit_code"]) == ("failed", "mnist, run 1: failed: OSError: boom", 1)


@pytest.mark.parametrize(
    ("command", "words", "pauses"),
    [
        (
            [sys.executable, "-c", "import sys; print('no line', file=sys.stderr); sys.exit(7)"],
            "it exited with 7: no line",
            [2.0, 8.0],
        ),
        (["no-such-program-here"], "FileNotFoundError", []),
    ],
)
def test_a_program_that_fails_is_a_warning(
    line: Line, capsys: pytest.CaptureFixture, command: list[str], words: str, pauses: list[float]
) -> None:
    line.tell(line.run("pushed"), Notify(command=command))
    assert words in capsys.readouterr().err
    assert line.slept == pauses


def test_a_lineage_that_cannot_be_read_costs_a_warning_not_the_run(
    line: Line, slack: Slack, capsys: pytest.CaptureFixture
) -> None:
    line.tell(99, webhook(slack))
    assert capsys.readouterr().err.startswith("warning: notifications were interrupted: ")


def test_a_run_tells_after_it_is_recorded_and_a_dead_target_changes_nothing_of_its_end(
    tmp_path: Path, slack: Slack
) -> None:
    """The command itself, on data that is absent: refused, exit code 4. The run before was killed and not notified."""
    root = Store(tmp_path / "root").root
    lineage = Lineage.at(root, None)
    lineage.start(profile="sample", command="", config={})
    lineage.engine.dispose()
    states = "sqlite3.connect(sys.argv[1]).execute('SELECT state FROM runs').fetchall()"
    look = f"import sqlite3, sys; print({states}, file=open(sys.argv[2], 'w'))"
    targets = [
        {"command": [sys.executable, "-c", look, str(tmp_path / "root/lineage.db"), str(tmp_path / "seen")]},
        {"on": ["refused", "failed"], "webhook": {"url": slack.url}},
        {"command": ["no-such-program-here"]},
    ]
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "--root",
        str(tmp_path / "root"),
        "--set",
        f"notify={json.dumps(targets)}",
    ]
    command += [
        "--set",
        "source.module=null",
        "--set",
        "source.tfds=no_such_data",
        "--set",
        f"source.data_dir={tmp_path}",
    ]
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120, env=environment)
    assert done.returncode == 4, done.stderr
    assert (tmp_path / "seen").read_text(encoding="utf-8") == "[('killed',), ('refused',)]\n"
    assert len(slack.got) == 2
    assert slack.texts[1].startswith("sample, run 2: data: ")
    assert slack.texts[0] == "sample, run 1: killed: it ended without an error message"
    assert "warning: command no-such-program-here was not notified" in done.stderr


def test_people_hear_of_a_serving_directory_that_cannot_be_written(tmp_path: Path, slack: Slack) -> None:
    (tmp_path / "file").touch()
    target = {"on": ["failed"], "webhook": {"url": slack.url}}
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "--root",
        str(tmp_path / "root"),
        "--set",
        f"notify={json.dumps([target])}",
    ]
    command += ["--serving-dir", str(tmp_path / "file" / "serving")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 2
    assert slack.texts == [f"sample, run 1: failed: {done.stderr.strip()}"]


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
