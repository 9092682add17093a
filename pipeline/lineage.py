"""Runs, and the executions of their stages, push among them, in SQL: SQLite in ROOT unless another SQLAlchemy URL is given.

lineage = Lineage.open("sqlite:///.../lineage.db")
run = lineage.start(profile="sample", command="...", config={...})
lineage.executed(run, "ingest", state="ran", why="first time", seconds=1.2, key=..., digest=...)
lineage.finish(run, state="pushed", exit_code=0, message="")
"""

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from schemas.errors import GatelineError, StoreError

_metadata = sql.MetaData()

_runs = sql.Table(
    "runs",
    _metadata,
    sql.Column("run", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("profile", sql.Text, nullable=False),
    sql.Column("command", sql.Text, nullable=False),
    sql.Column("config", sql.JSON, nullable=False),
    sql.Column("started", sql.Text, nullable=False),
    sql.Column("finished", sql.Text),
    sql.Column("state", sql.Text, nullable=False),  # running, pushed, unchanged, refused, failed, interrupted, killed
    sql.Column("exit_code", sql.Integer),
    sql.Column("message", sql.Text, nullable=False, default=""),
)

_executions = sql.Table(
    "executions",
    _metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("run", sql.ForeignKey("runs.run"), nullable=False, index=True),
    sql.Column("stage", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),  # ran, reused, refused, failed
    sql.Column("why", sql.Text, nullable=False),
    sql.Column("seconds", sql.Float, nullable=False),
    sql.Column("key", sql.Text),
    sql.Column("digest", sql.Text),
    sql.Column("path", sql.Text),
    sql.Column("facts", sql.JSON),
)


@dataclass(frozen=True)
class Lineage:
    """What ran, on what, and what came of it. Rows are plain dicts of JSON values; times are UTC, ISO 8601."""

    engine: sql.Engine

    @classmethod
    def open(cls, url: str) -> "Lineage":
        """Connect, and make the tables where they are absent.

        Raises:
            StoreError: the database cannot be opened.
        """
        try:
            engine = sql.create_engine(url)
            if engine.dialect.name == "sqlite":
                sql.event.listen(engine, "connect", _pragmas)
            _metadata.create_all(engine)
        except (sql.exc.SQLAlchemyError, ImportError) as error:
            cause = str(getattr(error, "orig", None) or error).split("\n")[0]
            raise StoreError(f"cannot open the lineage database {_shown(url)}: {cause}", "Name another with --database.") from None
        return cls(engine)

    @classmethod
    def at(cls, root: Path, url: str | None) -> "Lineage":
        return cls.open(url or f"sqlite:///{root / 'lineage.db'}")

    def start(self, *, profile: str, command: str, config: dict[str, Any]) -> int:
        """The number of a new run. Runs that were still marked as running were killed: the lock is ours now."""
        with self._writing() as c:
            c.execute(_runs.update().where(_runs.c.state == "running").values(state="killed", finished=now()))
            row = _runs.insert().values(profile=profile, command=command, config=config, started=now(), state="running")
            return int(c.execute(row.returning(_runs.c.run)).scalar_one())

    def executed(self, run: int, stage: str, **columns: Any) -> None:
        with self._writing() as c:
            c.execute(_executions.insert().values(run=run, stage=stage, **columns))

    def finish(self, run: int, *, state: str, exit_code: int, message: str = "") -> None:
        with self._writing() as c:
            done = {"state": state, "exit_code": exit_code, "message": message, "finished": now()}
            c.execute(_runs.update().where(_runs.c.run == run).values(**done))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except sql.exc.OperationalError as error:
            if not any(words in str(error.orig) for words in ("full", "I/O", "readonly", "locked")):
                raise
            place = self.engine.url.render_as_string(hide_password=True)
            raise GatelineError(f"cannot write the lineage database {place}: {error.orig}", "Is its disk full? Free some space.") from error

    def runs(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The newest first."""
        with self.engine.connect() as c:
            return [dict(row) for row in c.execute(_runs.select().order_by(_runs.c.run.desc()).limit(limit)).mappings()]

    def run(self, number: int | None) -> dict[str, Any] | None:
        """One run, the last if no number is given."""
        query = _runs.select().order_by(_runs.c.run.desc()).limit(1)
        with self.engine.connect() as c:
            row = c.execute(query if number is None else query.where(_runs.c.run == number)).mappings().first()
        return dict(row) if row else None

    def executions(self, run: int) -> list[dict[str, Any]]:
        """The stages of a run, in order."""
        query = _executions.select().where(_executions.c.run == run).order_by(_executions.c.id)
        with self.engine.connect() as c:
            return [dict(row) for row in c.execute(query).mappings()]


def _shown(url: str) -> str:
    """The URL without its password."""
    try:
        return sql.make_url(url).render_as_string(hide_password=True)
    except sql.exc.ArgumentError:
        return url if "@" not in url else "(not a URL)"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _pragmas(connection: Any, _record: Any) -> None:
    for pragma in ("journal_mode=WAL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
