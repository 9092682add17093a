"""Notifications of a run's outcome: after it is recorded, at most once per event and target, never a cause of failure.

send(config.notify, root, lineage, number)

An event is claimed by a file in `ROOT/notices` before it is sent. It is sent again only if sending is known to have
failed: a server that accepted it and then timed out would get it twice.
"""

import contextlib
import datetime
import hashlib
import html
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etils import epy

from pipeline.lineage import Lineage
from schemas import files
from schemas.settings.notify import Email, Event, Notify, Webhook

with epy.lazy_imports():
    import email.message
    import http.client
    import smtplib
    import ssl
    import urllib.error
    import urllib.request

PAUSES = (2.0, 8.0)  # seconds between tries
TIMEOUT = 10.0  # seconds
PASSING = (429, 500, 502, 503, 504)  # answers of a server that may think better of it


class Undelivered(Exception):
    """It did not arrive. `again`: it may, if tried again."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


def send(
    targets: list[Notify],
    root: Path,
    lineage: Lineage,
    number: int,
    *,
    pauses: tuple[float, ...] = PAUSES,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Tell all `targets` what became of a run. Whatever goes wrong is a warning on stderr and in the run's log."""
    if not targets:
        return
    try:
        events = list(happened(lineage, number))
        for target in targets:
            for event in events:
                if event["event"] in target.on:
                    _deliver(target, event, root, pauses, sleep)
    except (Exception, KeyboardInterrupt) as error:  # the run is over and its outcome stands
        _warn(root, number, f"notifications were cut short: {type(error).__name__}: {error}")


def happened(lineage: Lineage, number: int) -> Iterator[dict[str, Any]]:
    """The events of a run, as JSON values. The same candidate refused again, or waiting still, is the same event."""
    run = lineage.recorded(number)
    executions = lineage.executions(number)
    made = {e["stage"]: e for e in executions if e["digest"]}
    last = next((e["digest"] for e in reversed(executions)), None)
    who = f"{run['profile']}, run {number}"
    facts = {name: run[name] for name in ("run", "profile", "state", "exit_code", "message", "started", "finished")}
    this_run = f"{number} {run['started']}"

    def event(name: Event, id_: str, text: str, **more: Any) -> dict[str, Any]:
        return {"event": name, "id": f"{name} {id_}", "text": f"{who}: {text}", **facts, **more}

    if run["state"] == "pushed":
        pushed, evaluated = made["push"], made.get("evaluate")
        found = {"version": pushed["facts"]["version"], "path": pushed["path"]}
        found |= {"accuracy": evaluated["facts"].get("accuracy")} if evaluated else {}
        words = f", accuracy {found['accuracy']:.4f}" if found.get("accuracy") else ""
        yield event("pushed", this_run, f"version {found['version']} is served{words}", **found)
    elif run["state"] in ("refused", "waiting"):
        yield event(run["state"], last or this_run, run["message"] or run["state"])
    elif run["state"] in ("failed", "killed"):
        yield event("failed", this_run, f"{run['state']}: {run['message'] or 'it ended without a word'}")
    if "validate" in made and (drift := _drift(Path(made["validate"]["path"]))):
        yield event("drift", made["validate"]["digest"], f"drift: {'; '.join(drift)}", drift=drift)
    judged = made["admit"]["facts"] if "admit" in made else {"drifted": {}, "quarantined": {}}
    for span, words in judged["drifted"].items():
        yield event("drift", span, f"drift: {words}", drift=[words], span=span)
    for span, words in judged["quarantined"].items():
        yield event("quarantined", span, f"{span} is quarantined: {words}", span=span)


def _drift(verdict: Path) -> list[str]:
    """What validate found of train against the served model's train, in words."""
    try:
        anomalies = json.loads((verdict / "anomalies.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [a["words"] for a in anomalies if a["split"] == "train" and a["kind"].startswith("COMPARATOR_")]


def _deliver(
    target: Notify, event: dict[str, Any], root: Path, pauses: tuple[float, ...], sleep: Callable[[float], None]
) -> None:
    identity = hashlib.sha256(f"{event['id']}\n{target.model_dump_json(exclude={'on'})}".encode()).hexdigest()
    ledger = root / "notices" / f"{event['event']}-{identity[:16]}.json"
    entry = {
        "id": event["id"],
        "target": _name(target),
        "run": event["run"],
        "at": datetime.datetime.now(datetime.UTC).isoformat(),
    }
    if not _claim(ledger, {**entry, "state": "sending"}):
        return
    for pause in (*pauses, None):
        try:
            _send(target, event)
            files.write_json(ledger, {**entry, "state": "sent"})
            return
        except Undelivered as error:
            if error.again and pause is not None:
                sleep(pause)
                continue
            files.write_json(ledger, {**entry, "state": "failed", "why": str(error)})
            _warn(root, event["run"], f"{_name(target)} was not told that {event['text'].splitlines()[0]}: {error}")
            return


def _claim(path: Path, entry: dict[str, Any]) -> bool:
    """Whether the event is ours to send; on disk before this returns."""
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(entry, file)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    files.sync_directory(path.parent)
    return True


def _send(target: Notify, event: dict[str, Any]) -> None:
    """Raises Undelivered, whatever went wrong."""
    try:
        if target.webhook:
            _post(target.webhook, event)
        elif target.email:
            _mail(target.email, event)
        else:
            _call(target.command or [], event)
    except Undelivered:
        raise
    except Exception as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from error


def _post(to: Webhook, event: dict[str, Any]) -> None:
    class Unmoved(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None: ...  # it would become a GET, to an address that nobody chose

    address = to.url or _variable(to.url_env or "")
    body = json.dumps({**event, "text": html.escape(event["text"], quote=False)}).encode()  # as Slack asks
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "gateline",
        "Idempotency-Key": hashlib.sha256(event["id"].encode()).hexdigest(),
    }
    try:
        request = urllib.request.Request(address, body, headers)
        if request.type not in ("http", "https"):
            raise ValueError
        urllib.request.build_opener(Unmoved).open(request, timeout=TIMEOUT).close()
    except urllib.error.HTTPError as error:
        error.close()
        raise Undelivered(f"it answered {error.code} {error.reason}", again=error.code in PASSING) from None
    except urllib.error.URLError as error:  # before anything was answered, and so before anything was taken
        raise Undelivered(f"it cannot be reached: {error.reason}", again=True) from None
    except (ValueError, http.client.InvalidURL):  # whose words would show the address
        raise Undelivered("its address is not one of http or https") from None


def _mail(to: Email, event: dict[str, Any]) -> None:
    message = email.message.EmailMessage()
    message["Subject"] = f"gateline: {event['text'].splitlines()[0]}"[:200]
    message["From"], message["To"] = to.sender, ", ".join(to.to)
    message.set_content(f"{event['text']}\n\n{json.dumps(event, indent=2)}\n")
    login = (_variable(to.user_env), _variable(to.password_env)) if to.user_env and to.password_env else None
    try:
        server = smtplib.SMTP(to.host, to.port, timeout=TIMEOUT)
    except (OSError, smtplib.SMTPException) as error:
        raise Undelivered(f"it cannot be reached: {error}", again=True) from None
    try:
        if to.starttls:
            server.starttls(context=ssl.create_default_context())
        if login:
            server.login(*login)
        refused = server.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise Undelivered(
            f"it answered {error.smtp_code} {_text(error.smtp_error)}", again=400 <= error.smtp_code < 500
        ) from None
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.quit()
    if refused:
        raise Undelivered(f"it refused {', '.join(refused)}")


def _call(command: list[str], event: dict[str, Any]) -> None:
    try:
        done = subprocess.run(
            command, input=json.dumps(event) + "\n", capture_output=True, text=True, timeout=3 * TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise Undelivered(f"it did not end within {3 * TIMEOUT:g} seconds") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Undelivered(f"it exited with {done.returncode}: {said}", again=True)


def _variable(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise Undelivered(f"the environment variable {name} is not set")
    return value


def _name(target: Notify) -> str:
    """The target, without what may be secret in it."""
    if target.webhook:
        url = target.webhook
        return f"webhook {'$' + url.url_env if url.url_env else (url.url or '').split('/')[2]}"
    if target.email:
        return f"email {', '.join(target.email.to)}"
    return f"command {(target.command or [''])[0]}"


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _warn(root: Path, number: int, words: str) -> None:
    print(f"warning: {words}", file=sys.stderr)
    with contextlib.suppress(OSError), (root / "logs" / f"run-{number}.log").open("a", encoding="utf-8") as log:
        print(f"warning: {words}", file=log)
