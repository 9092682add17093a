"""The contract of all channels: delivery, secrecy, one-line failures that state whether a retry is useful.

A new channel adds its real receiver to `RECEIVERS`.
"""

import contextlib
import dataclasses
import http.server
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from pydantic import BaseModel, ValidationError

from pipeline.config import describe
from pipeline.notify import EVENTS, Notify
from pipeline.notify.channels import Channel, Undelivered, kinds
from tests.pipeline.command_line import gateline

EVENT = {"event": "refused", "id": "refused 4", "text": "mnist, run 4: refused: a < b\n  Train better.", "run": 4}
SECRET = "T0P-SECRET"
ROOT = Path(__file__).parents[3]


@dataclasses.dataclass
class Receiver:
    """A channel, the events that arrived, and a function that makes the next delivery fail."""

    channel: Channel
    arrived: Callable[[], list[dict[str, Any]]]
    fail: Callable[[], None]  # temporarily: a retry succeeds


@contextlib.contextmanager
def webhook(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    bodies: list[dict[str, Any]] = []
    answers: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = answers.pop(0) if answers else 200
            bodies.extend([body] if code == 200 else [])
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_port}/{SECRET}")
        yield Receiver(kinds()["webhook"](url_env="HOOK"), lambda: bodies, lambda: answers.append(503))
        server.shutdown()


@contextlib.contextmanager
def email(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    messages: list[Message] = []
    answers: list[str] = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
            import email as library

            answer = answers.pop(0) if answers else "250 OK"
            messages.extend([library.message_from_bytes(envelope.content)] if answer.startswith("250") else [])
            return answer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Controller(Handler(), hostname="127.0.0.1", port=port)
    server.start()
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "from": "line@example.org",
        "to": ["ann@example.org"],
        "starttls": False,
    }

    def arrived() -> list[dict[str, Any]]:
        texts = [message.get_payload(decode=True).decode() for message in messages]
        return [json.loads(text[text.index("\n{") :]) for text in texts]

    yield Receiver(kinds()["email"].model_validate(settings), arrived, lambda: answers.append("451 later"))
    server.stop()


@contextlib.contextmanager
def command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    program = (
        "import os, pathlib, sys\nfolder = pathlib.Path(sys.argv[1])\n"
        "if (folder / 'fail').exists(): (folder / 'fail').unlink(); sys.exit('no space')\n"
        "(folder / 'got').open('a').write(sys.stdin.read())\n"
    )
    (folder / "program.py").write_text(program, encoding="utf-8")
    (folder / "got").touch()
    kind = kinds()["command"].model_validate([sys.executable, str(folder / "program.py"), str(folder)])

    def arrived() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / "got").read_text(encoding="utf-8").splitlines()]

    yield Receiver(kind, arrived, (folder / "fail").touch)


RECEIVERS = {"webhook": webhook, "email": email, "command": command}


@pytest.fixture(params=sorted(kinds()))
def receiver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with RECEIVERS[request.param](tmp_path, monkeypatch) as receiver:
        yield receiver


def test_a_channel_delivers_an_event_once(receiver: Receiver) -> None:
    receiver.channel.send(EVENT)
    (arrived,) = receiver.arrived()
    assert {name: arrived[name] for name in ("event", "id", "run")} == {"event": "refused", "id": "refused 4", "run": 4}
    assert arrived["text"].replace("&lt;", "<") == EVENT["text"]


def test_a_temporary_failure_is_reported_as_retryable(receiver: Receiver) -> None:
    receiver.fail()
    with pytest.raises(Undelivered) as failure:
        receiver.channel.send(EVENT)
    assert failure.value.retryable
    assert receiver.arrived() == []
    assert str(failure.value).startswith("it ")
    assert "\n" not in str(failure.value)
    receiver.channel.send(EVENT)
    assert len(receiver.arrived()) == 1


def test_names_and_failures_contain_no_secret(receiver: Receiver) -> None:
    receiver.fail()
    with pytest.raises(Undelivered) as failure:
        receiver.channel.send(EVENT)
    assert SECRET not in f"{receiver.channel.name} {failure.value} {receiver.channel!r}"
    assert receiver.channel.name.strip() == receiver.channel.name != ""


def test_a_channel_is_a_frozen_documented_model(receiver: Receiver) -> None:
    channel = receiver.channel
    assert isinstance(channel, BaseModel)
    assert type(channel).model_validate_json(channel.model_dump_json(by_alias=True)) == channel
    with pytest.raises(ValidationError):
        setattr(channel, next(iter(type(channel).model_fields)), None)
    (key,) = (key for key, kind in kinds().items() if isinstance(channel, kind))
    rows = {setting.key: setting.meaning for setting in describe()}
    assert rows[f"notify[].{key}"] == channel.title
    inner = [text for name, text in rows.items() if name.startswith(f"notify[].{key}.")]
    assert all(inner)


def test_only_one_channel_per_target_is_allowed(receiver: Receiver) -> None:
    (key,) = (key for key, kind in kinds().items() if isinstance(receiver.channel, kind))
    target = Notify(**{key: receiver.channel})
    assert (target.on, target.channel) == (list(EVENTS), receiver.channel)
    other = "email" if key == "command" else "command"
    other_settings = ["true"] if other == "command" else {"host": "h", "from": "a@b", "to": ["c@d"]}
    with pytest.raises(ValidationError, match="set exactly one of "):
        Notify.model_validate({key: receiver.channel, other: other_settings})


def installed(folder: Path, code: str, name: str = "theirs") -> str:
    """The PYTHONPATH of a process with an installed package that registers this channel."""
    (folder / "their_channel.py").write_text(code, encoding="utf-8")
    (folder / "their_channel-1.0.dist-info").mkdir()
    files = {"METADATA": "Metadata-Version: 2.1\nName: their-channel\nVersion: 1.0\n"}
    files["entry_points.txt"] = f"[gateline.channels]\n{name} = their_channel\n"
    for file, text in files.items():
        (folder / "their_channel-1.0.dist-info" / file).write_text(text, encoding="utf-8")
    return f"{folder}{os.pathsep}{ROOT}"


def test_an_installed_package_adds_a_channel_but_replaces_no_built_in_one(tmp_path: Path) -> None:
    code = (ROOT / "pipeline/notify/channels/command.py").read_text(encoding="utf-8").replace("run a program", "theirs")
    for name, title in (("theirs", "theirs"), ("command", "run a program")):
        folder = tmp_path / name
        folder.mkdir()
        done = gateline("settings", "--json", PYTHONPATH=installed(folder, code, name))
        assert done.returncode == 0, done.stderr
        rows = {row["key"]: row["meaning"] for row in json.loads(done.stdout)}
        assert rows[f"notify[].{name}"].startswith(title)


def test_a_package_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    done = gateline("settings", PYTHONPATH=installed(tmp_path, "import no_such_module"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "configuration: channel theirs of their_channel cannot be loaded: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
        "  Fix or uninstall the package that registers it.\n"
    )
