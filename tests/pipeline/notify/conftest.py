"""Real receivers on loopback, and finished runs whose events are sent to them."""

import email
import http.server
import json
import socket
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
from pipeline.notify.channels.webhook import Webhook
from pipeline.store import Store

EVALUATED = {"accuracy": 0.98617, "loss": 0.05, "saved_model": "5" * 64, "passed": True}


@dataclass
class Slack:
    """A server that records requests and answers with the codes in `answers`, and then with 200."""

    answers: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.requests]


@pytest.fixture
def slack() -> Iterator[Slack]:
    server_state = Slack()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server_state.requests.append((dict(self.headers), json.loads(body)))
            code = server_state.answers.pop(0) if server_state.answers else 200
            if code == 0:  # received the message, but closes the connection without an answer
                self.close_connection = True
                return
            self.send_response(code)
            if code == 302:
                self.send_header("Location", server_state.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # a followed redirect would arrive as GET

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server_state.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever).start()
        yield server_state
        server.shutdown()


@dataclass
class MailHandler:
    """The handler of an SMTP server; it records messages."""

    answers: list[str] = field(default_factory=list)
    messages: list[email.message.Message] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.messages.append(email.message_from_bytes(envelope.content))
        return self.answers.pop(0) if self.answers else "250 OK"


@pytest.fixture
def mail_server() -> Iterator[tuple[MailHandler, int]]:
    handler = MailHandler()
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
    """Finished runs, and the notifications of them."""

    root: Path
    lineage: Lineage
    pauses: list[float] = field(default_factory=list)

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
        drift_message = "train against version 3's: the share of label 4 differs by 0.2"
        anomaly = {
            "split": "train",
            "feature": "label",
            "kind": "COMPARATOR_L_INFTY_HIGH",
            "words": drift_message,
            "severity": "warning",
        }
        skew = anomaly | {"split": "validation", "words": "validation against train"}
        (verdict / "anomalies.json").write_text(json.dumps([skew, *([anomaly] if drift else [])]), encoding="utf-8")
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

    def notify(self, number: int, *targets: Notify) -> None:
        send(list(targets), self.root, self.lineage, number, outputs(), sleep=self.pauses.append)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((self.root / "notices").glob("*"))]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    root = Store(tmp_path / "root").root
    line = Line(root, Lineage.at(root, None))
    yield line
    line.lineage.engine.dispose()


def webhook(slack: Slack, *on: Any) -> Notify:
    return Notify(on=list(on or EVENTS), webhook=Webhook(url=slack.url))
