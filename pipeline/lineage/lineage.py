"""Runs and the executions of their stages in SQL: SQLite in ROOT unless another SQLAlchemy URL is given.

lineage = Lineage.open("sqlite:///.../lineage.db")
run = lineage.start(profile="sample", command="...", config={...})
lineage.executed(run, "ingest", state="ran", why="first time", seconds=1.2, key=..., digest=...)
lineage.finish(run, state="pushed", exit_code=0, message="")
"""

import contextlib
import datetime
import functools
import json
import os
import sqlite3
import urllib.parse
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from pipeline.lineage.states import RunState
from pipeline.lineage.tables import executions as _executions
from pipeline.lineage.tables import prepare
from pipeline.lineage.tables import runs as _runs
from schemas.errors import GatelineError, StoreError
from schemas.redact import without_passwords

FULL = "Is its disk full? Free some space."
LONGEST_PATH = 504  # bytes: SQLite allows 512, including the suffix `-journal`
PATIENCE = 30.0  # seconds to wait while other processes write to SQLite


@dataclass(frozen=True)
class Lineage:
    """Runs, their inputs and their outcomes. Rows are plain dicts of JSON values; times are UTC, ISO 8601.

    Order is by number, never by time: clocks can be set back.
    """

    engine: sql.Engine
    store: str = ""  # the store of new runs; several stores may share a database

    @classmethod
    def open(cls, url: str, store: str = "") -> "Lineage":
        """Connect, and bring the tables up to date.

        Raises:
            StoreError: the database cannot be opened, or is of a newer version of this program.
            GatelineError: its disk is full, or other processes write to it for too long.
        """
        try:
            if "@" in (sql.make_url(url).host or ""):
                raise StoreError(
                    "the URL of the lineage database holds more than one @", "In a password, write %40 for it."
                )
            engine, read_only = _engine(url)
            if engine.dialect.name == "sqlite" and not read_only:
                sql.event.listen(engine, "connect", _connected)
                sql.event.listen(engine, "begin", _begun)
            try:
                prepare(engine, read_only=read_only)
            except BaseException:
                engine.dispose()
                raise
        except (sql.exc.SQLAlchemyError, ImportError) as error:
            cause = _opening(error, url)
            kind = GatelineError if _full(cause) or "locked" in cause else StoreError
            remedy = _remedy(cause, "Name another with --database.")
            raise kind(f"cannot open the lineage database {_shown(url)}: {cause}", remedy) from None
        lineage = cls(engine, store)
        weakref.finalize(lineage, engine.dispose)  # closes its connections when it is garbage-collected
        return lineage

    @classmethod
    def at(cls, root: Path, url: str | None) -> "Lineage":
        """The lineage of the store at `root`."""
        marker: dict[str, Any] = json.loads((root / "store.json").read_text(encoding="utf-8"))
        return cls.open(url or f"sqlite:///{root / 'lineage.db'}", marker.get("id", ""))

    def start(self, *, profile: str, command: str, config: dict[str, Any]) -> int:
        """The number of a new run. Marks runs that are still running as killed: the caller holds the lock."""
        with self.writing() as c:
            c.execute(_runs.update().where(self._left).values(state=RunState.KILLED, finished=now()))
            given = {
                "profile": profile,
                "command": without_passwords(_text(command)),
                "config": config,
                "store": self.store,
            }
            row = _runs.insert().values(**given, started=now(), state=RunState.RUNNING)
            return int(c.execute(row.returning(_runs.c.run)).scalar_one())

    def running(self) -> list[int]:
        """The runs of this store that are marked as running. For the holder of the lock: those that were killed."""
        with self.reading() as c:
            return list(c.execute(sql.select(_runs.c.run).where(self._left).order_by(_runs.c.run)).scalars())

    @property
    def _left(self) -> sql.ColumnElement[bool]:
        return (_runs.c.state == RunState.RUNNING) & _runs.c.store.in_([self.store, ""])

    def executed(self, run: int, stage: str, *, why: str, **columns: Any) -> None:
        with self.writing() as c:
            c.execute(_executions.insert().values(run=run, stage=stage, why=without_passwords(_text(why)), **columns))

    def finish(self, run: int, *, state: str, exit_code: int, message: str = "") -> None:
        with self.writing() as c:
            done = {
                "state": state,
                "exit_code": exit_code,
                "message": without_passwords(_text(message)),
                "finished": now(),
            }
            c.execute(_runs.update().where(_runs.c.run == run).values(**done))

    @contextlib.contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        with self._explained("write"), self.engine.execution_options(writing=True).begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        with self._explained("read"), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Raises GatelineError if the database is at fault, not one of our statements."""
        place = _shown(self.engine.url.render_as_string(hide_password=False))
        try:
            yield
        except (sql.exc.IntegrityError, sql.exc.ProgrammingError, sql.exc.DataError):
            raise
        except sql.exc.DBAPIError as error:
            cause = _cause(error)
            raise GatelineError(f"cannot {what} the lineage database {place}: {cause}", _remedy(cause)) from error
        except ValueError as error:  # JSON that was altered
            raise GatelineError(f"cannot {what} the lineage database {place}: {error}", _remedy("altered")) from error

    def runs(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The newest first."""
        with self.reading() as c:
            return [dict(row) for row in c.execute(_runs.select().order_by(_runs.c.run.desc()).limit(limit)).mappings()]

    def run(self, number: int | None) -> dict[str, Any] | None:
        """One run, the last if no number is given."""
        query = _runs.select().order_by(_runs.c.run.desc()).limit(1)
        with self.reading() as c:
            row = c.execute(query if number is None else query.where(_runs.c.run == number)).mappings().first()
        return dict(row) if row else None

    def before(self, number: int) -> Iterator[dict[str, Any]]:
        """The runs of this store before a run, the newest first, without those in progress."""
        earlier = (_runs.c.run < number) & (_runs.c.state != RunState.RUNNING) & _runs.c.store.in_([self.store, ""])
        with self.reading() as c:
            rows = c.execute(_runs.select().where(earlier).order_by(_runs.c.run.desc())).mappings().all()
        yield from map(dict, rows)

    def recorded(self, number: int) -> dict[str, Any]:
        """A run that must exist.

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
        """Damage that SQLite finds in its file, a line each. Empty for a database server."""
        if self.engine.dialect.name != "sqlite":
            return []
        with self.reading() as c:
            lines = [str(row[0]) for row in c.execute(sql.text("PRAGMA integrity_check"))]
            lines += [
                f"{row[0]} row {row[1]} refers to a missing {row[2]}"
                for row in c.execute(sql.text("PRAGMA foreign_key_check"))
            ]
        return [line for line in lines if line != "ok"]


def _shown(url: str) -> str:
    """The URL without its password."""
    try:
        return without_passwords(sql.make_url(url).render_as_string(hide_password=True))
    except sql.exc.ArgumentError:
        return url if "@" not in url else "(not a URL)"


def _text(given: str) -> str:
    """Text that every database can store: file names may not be valid Unicode."""
    return given.encode(errors="replace").decode().replace("\0", "?")


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().split("\n")[0]


def _full(cause: str) -> bool:
    return any(words in cause for words in ("full", "I/O", "No space"))


def _remedy(cause: str, otherwise: str = "Restore it from a copy, or name another with --database.") -> str:
    if _full(cause):
        return FULL
    if "locked" in cause:
        return "Another process is writing to it: run again when it has ended."
    if "readonly" in cause:
        return "Fix its permissions, or name another with --database."
    return otherwise


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _engine(url: str) -> tuple[sql.Engine, bool]:
    """The engine, and whether it only reads: a SQLite file that this user must not write.

    SQLite's write-ahead log needs write access to the folder even for readers. Without a log, or with the log of a
    process that is running, reading needs none.
    """
    stated = sql.make_url(url)
    path = Path(stated.database or ":memory:")
    if stated.get_backend_name() != "sqlite" or not path.exists() or _is_writable(path):
        return sql.create_engine(url), False
    log = path.with_name(f"{path.name}-wal")
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    address = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro{immutable}"
    connect = functools.partial(sqlite3.connect, address, uri=True, check_same_thread=False, timeout=PATIENCE)
    return sql.create_engine(url, creator=connect), True


def _opening(error: Exception, url: str) -> str:
    """Why a database cannot be opened. SQLite does not say that a path is too long."""
    cause = _cause(error)
    if "unable to open" in cause:
        length = len(os.fsencode(Path(sql.make_url(url).database or "").absolute()))
        if length > LONGEST_PATH:
            return f"{cause}: its path has {length} bytes, and SQLite allows {LONGEST_PATH}"
    return cause


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)


def _connected(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins and ends transactions; the driver would leave DDL out of them
    for pragma in (f"busy_timeout={PATIENCE * 1000:.0f}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        _write_ahead(connection)


def _write_ahead(connection: Any) -> None:
    """The database keeps a write-ahead log from now on, so that readers do not wait for writers."""
    import tenacity  # needed only once per database

    # SQLite does not wait here, whatever its busy_timeout: this read becomes a write, and two of them would deadlock.
    patient = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        ),
        wait=tenacity.wait_random(0, 0.05),
        stop=tenacity.stop_after_delay(PATIENCE),
        reraise=True,
    )
    patient(connection.execute, "PRAGMA journal_mode=WAL").close()


def _begun(connection: sql.Connection) -> None:
    # A writer takes the lock at once and so waits for it; a reader that becomes a writer would fail.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")
