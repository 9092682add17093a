"""Runs and the executions of their stages in SQL: SQLite in ROOT, or another SQLAlchemy URL.

lineage = Lineage.open("sqlite:///.../lineage.db")
run = lineage.start(profile="sample", command="...", config={...})
lineage.executed(run, "ingest", state=StageState.RAN, why="first time", seconds=1.2, key=..., digest=...)
lineage.finish(run, state=RunState.PUSHED, exit_code=0, message="")
"""

import contextlib
import datetime
import json
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from pipeline.lineage import database
from pipeline.lineage.states import RunState
from pipeline.lineage.tables import executions as _executions
from pipeline.lineage.tables import prepare
from pipeline.lineage.tables import runs as _runs
from schemas.errors import EnvironmentFailure, StoreError
from schemas.redact import without_passwords

DISK_FULL_REMEDY = "Is its disk full? Free some space."
MAX_PATH_BYTES = 504  # bytes: SQLite allows 512, including the suffix `-journal`


@dataclass(frozen=True)
class Lineage:
    """Runs, their stages and their outcomes. Rows are dicts of JSON values. Times are UTC, ISO 8601.

    Rows are ordered by number, not by time, because clocks can be set back.
    """

    engine: sql.Engine
    store: str = ""  # the store of new runs; several stores may share a database

    @classmethod
    def open(cls, url: str, store: str = "") -> "Lineage":
        """Connects to a database and migrates its tables.

        Raises:
            StoreError: the database cannot be opened, or has tables of a newer version of gateline.
            EnvironmentFailure: its disk is full, or it stays locked by other processes.
        """
        try:
            if "@" in (sql.make_url(url).host or ""):
                raise StoreError(
                    "the URL of the lineage database contains more than one @", "In a password, write %40 for it."
                )
            engine, read_only = database.connect(url)
            try:
                prepare(engine, read_only=read_only)
            except BaseException:
                engine.dispose()
                raise
        except (sql.exc.SQLAlchemyError, ImportError) as error:
            cause = _open_failure(error, url)
            kind = EnvironmentFailure if _is_disk_full(cause) or "locked" in cause else StoreError
            remedy = _remedy(cause, "Name another with --database.")
            raise kind(f"cannot open the lineage database {_without_password(url)}: {cause}", remedy) from None
        lineage = cls(engine, store)
        weakref.finalize(lineage, engine.dispose)  # closes its connections when it is garbage-collected
        return lineage

    @classmethod
    def at(cls, root: Path, url: str | None) -> "Lineage":
        """The lineage of the store at `root`."""
        marker: dict[str, Any] = json.loads((root / "store.json").read_text(encoding="utf-8"))
        return cls.open(url or f"sqlite:///{root / 'lineage.db'}", marker.get("id", ""))

    def start(self, *, profile: str, command: str, config: dict[str, Any]) -> int:
        """Records a new run and returns its number. Runs in progress were killed, since the caller holds the lock."""
        with self.writing() as c:
            c.execute(_runs.update().where(self._running).values(state=RunState.KILLED, finished=now()))
            values = {
                "profile": profile,
                "command": without_passwords(_storable(command)),
                "config": config,
                "store": self.store,
            }
            row = _runs.insert().values(**values, started=now(), state=RunState.RUNNING)
            return int(c.execute(row.returning(_runs.c.run)).scalar_one())

    def running(self) -> list[int]:
        """The runs of this store that are marked as running. If the caller holds the lock, they were killed."""
        with self.reading() as c:
            return list(c.execute(sql.select(_runs.c.run).where(self._running).order_by(_runs.c.run)).scalars())

    @property
    def _running(self) -> sql.ColumnElement[bool]:
        return (_runs.c.state == RunState.RUNNING) & _runs.c.store.in_([self.store, ""])

    def executed(self, run: int, stage: str, *, why: str, **columns: Any) -> None:
        with self.writing() as c:
            c.execute(
                _executions.insert().values(run=run, stage=stage, why=without_passwords(_storable(why)), **columns)
            )

    def finish(self, run: int, *, state: RunState, exit_code: int, message: str = "") -> None:
        with self.writing() as c:
            outcome = {
                "state": state,
                "exit_code": exit_code,
                "message": without_passwords(_storable(message)),
                "finished": now(),
            }
            c.execute(_runs.update().where(_runs.c.run == run).values(**outcome))

    @contextlib.contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        with self._explained("write"), self.engine.execution_options(writing=True).begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        with self._explained("read"), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Raises errors of the database as EnvironmentFailure or StoreError, but not those of our own statements."""
        database = _without_password(self.engine.url.render_as_string(hide_password=False))
        try:
            yield
        except (sql.exc.IntegrityError, sql.exc.ProgrammingError, sql.exc.DataError):
            raise
        except sql.exc.DBAPIError as error:
            cause = _cause(error)
            kind = EnvironmentFailure if _is_disk_full(cause) or "locked" in cause else StoreError
            raise kind(f"cannot {action} the lineage database {database}: {cause}", _remedy(cause)) from error
        except ValueError as error:  # invalid JSON in a column
            cause = f"cannot {action} the lineage database {database}: {error}"
            raise StoreError(cause, _remedy("altered")) from error

    def runs(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The recorded runs, the newest first."""
        with self.reading() as c:
            return [dict(row) for row in c.execute(_runs.select().order_by(_runs.c.run.desc()).limit(limit)).mappings()]

    def run(self, number: int | None) -> dict[str, Any] | None:
        """One run, by default the last. None if it does not exist."""
        query = _runs.select().order_by(_runs.c.run.desc()).limit(1)
        with self.reading() as c:
            row = c.execute(query if number is None else query.where(_runs.c.run == number)).mappings().first()
        return dict(row) if row else None

    def before(self, number: int) -> Iterator[dict[str, Any]]:
        """The ended runs of this store before a run, the newest first."""
        earlier = (_runs.c.run < number) & (_runs.c.state != RunState.RUNNING) & _runs.c.store.in_([self.store, ""])
        with self.reading() as c:
            rows = c.execute(_runs.select().where(earlier).order_by(_runs.c.run.desc())).mappings().all()
        yield from map(dict, rows)

    def recorded(self, number: int) -> dict[str, Any]:
        """One run.

        Raises:
            StoreError: it does not exist.
        """
        if (row := self.run(number)) is None:
            raise StoreError(f"the lineage has no run {number}", "See python -m pipeline runs.")
        return row

    def executions(self, run: int) -> list[dict[str, Any]]:
        """The stages of a run, in order."""
        query = _executions.select().where(_executions.c.run == run).order_by(_executions.c.id)
        with self.reading() as c:
            return [dict(row) for row in c.execute(query).mappings()]

    def damage(self) -> list[str]:
        """The damage that SQLite detects in its file, a line each. Empty for a database server."""
        if self.engine.dialect.name != "sqlite":
            return []
        with self.reading() as c:
            lines = [str(row[0]) for row in c.execute(sql.text("PRAGMA integrity_check"))]
            lines += [
                f"{row[0]} row {row[1]} refers to a missing {row[2]}"
                for row in c.execute(sql.text("PRAGMA foreign_key_check"))
            ]
        return [line for line in lines if line != "ok"]


def _without_password(url: str) -> str:
    """The URL without its password."""
    try:
        return without_passwords(sql.make_url(url).render_as_string(hide_password=True))
    except sql.exc.ArgumentError:
        return url if "@" not in url else "(not a URL)"


def _storable(text: str) -> str:
    """The text in a form that every database can store. File names may be invalid Unicode."""
    return text.encode(errors="replace").decode().replace("\0", "?")


def _cause(error: Exception) -> str:
    # The first line: databases add hints and the position in the statement after it.
    return str(getattr(error, "orig", None) or error).strip().split("\n")[0]


def _is_disk_full(cause: str) -> bool:
    return any(text in cause for text in ("full", "I/O", "No space"))


def _remedy(cause: str, default: str = "Restore it from a copy, or name another with --database.") -> str:
    if _is_disk_full(cause):
        return DISK_FULL_REMEDY
    if "locked" in cause:
        return "Another process is writing to it: run again when it has ended."
    if "readonly" in cause:
        return "Fix its permissions, or name another with --database."
    return default


def now() -> str:
    """The current time: UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _open_failure(error: Exception, url: str) -> str:
    """The reason why a database cannot be opened. SQLite does not report a path that is too long."""
    cause = _cause(error)
    if "unable to open" in cause:
        length = len(os.fsencode(Path(sql.make_url(url).database or "").absolute()))
        if length > MAX_PATH_BYTES:
            return f"{cause}: its path has {length} bytes, and SQLite allows {MAX_PATH_BYTES}"
    return cause
