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
