"""Delivers events: at most once per event and receiver, after the run is recorded. A failed delivery fails no run.

A file in `ROOT/notices` claims an event before it is sent. After a timeout an event is not sent again, because the
receiver may have accepted it. A new channel gets only later events.
"""

import contextlib
import datetime
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.lineage import Lineage
from pipeline.notify.channels import Undelivered
from pipeline.notify.events import events_of
from pipeline.notify.settings import Notify
from pipeline.store.recorded import Kinds
from schemas import disk
from schemas.errors import GatelineError

PAUSES = (2.0, 8.0)  # seconds between attempts


def send(
    targets: list[Notify],
    root: Path,
    lineage: Lineage,
    number: int,
    kinds: Kinds,
    *,
    pauses: tuple[float, ...] = PAUSES,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sends the events of a run to all `targets`. Any failure is a warning on stderr and in the run's log.

    `kinds`: the type of artifact that each stage makes.
    """
    if not targets:
        return
    try:
        events, known, earlier = list(events_of(lineage, number, kinds)), _known_receivers(lineage, number), None
        for target in targets:
            for event in events:
                if event["event"] not in target.on:
                    continue
                if target.identity not in known and earlier is None:  # computed once, for the first new channel
                    earlier = {
                        each["id"] for run in lineage.before(number) for each in events_of(lineage, run["run"], kinds)
                    }
                old = target.identity not in known and event["id"] in (earlier or ())
                _deliver(target, event, root, pauses, sleep, old=old)
    except (Exception, KeyboardInterrupt) as error:  # the outcome of the run is already recorded
        _warn(root, number, f"notifications were interrupted: {type(error).__name__}: {error}")


def _known_receivers(lineage: Lineage, number: int) -> set[str]:
    """The receivers of the last run with a recorded configuration; `schema infer` records none."""
    config: dict[str, Any] = next((run["config"] for run in lineage.before(number) if run["config"]), {})
    known = set()
    for each in config.get("notify") or []:
        with contextlib.suppress(ValidationError):  # a channel that is no longer installed
            known.add(Notify.model_validate(each, strict=False).identity)
    return known


def _deliver(
    target: Notify,
    event: dict[str, Any],
    root: Path,
    pauses: tuple[float, ...],
    sleep: Callable[[float], None],
    *,
    old: bool,
) -> None:
    """Claims and sends one event. An `old` event, from before the receiver was configured, is only claimed."""
    key = hashlib.sha256(f"{event['id']}\n{target.identity}".encode()).hexdigest()
    record, channel = root / "notices" / f"{event['event']}-{key[:16]}.json", target.channel
    at = datetime.datetime.now(datetime.UTC).isoformat()
    entry = {"id": event["id"], "target": channel.name, "run": event["run"], "at": at}
    if not _claim(record, {**entry, "state": "old" if old else "sending"}) or old:
        return
    for pause in (*pauses, None):
        try:
            _send(target, event)
            disk.write_json(record, {**entry, "state": "sent"})
            return
        except Undelivered as error:
            if error.retryable and pause is not None:
                sleep(pause)
                continue
            disk.write_json(record, {**entry, "state": "failed", "why": str(error)})
            _warn(root, event["run"], f"{channel.name} was not notified that {event['text'].splitlines()[0]}: {error}")
            return


def _send(target: Notify, event: dict[str, Any]) -> None:
    """Sends an event. Raises every error as Undelivered."""
    try:
        target.channel.send(event)
    except Undelivered:
        raise
    except GatelineError as error:
        raise Undelivered(error.cause) from error
    except Exception as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from error


def _claim(path: Path, entry: dict[str, Any]) -> bool:
    """Claims the event for this process, on disk. False if it is already claimed."""
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(entry, file)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    disk.sync_directory(path.parent)
    return True


def _warn(root: Path, number: int, text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
    with contextlib.suppress(OSError), (root / "logs" / f"run-{number}.log").open("a", encoding="utf-8") as log:
        print(f"warning: {text}", file=log)
