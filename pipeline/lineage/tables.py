"""The tables of the lineage, and migrations of databases of older versions of gateline.

prepare(engine)     # creates the tables in an empty database; migrates an older one step by step, in one transaction

To change a table, change its definition here and append a migration to `_MIGRATIONS`. Never edit a migration.
"""

from collections.abc import Callable

import sqlalchemy as sql

from schemas.errors import StoreError
from schemas.redact import without_passwords

metadata = sql.MetaData()

runs = sql.Table(
    "runs",
    metadata,
    sql.Column("run", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("profile", sql.Text, nullable=False),
    sql.Column("command", sql.Text, nullable=False),
    sql.Column("config", sql.JSON, nullable=False),
    sql.Column("started", sql.Text, nullable=False),
    sql.Column("finished", sql.Text),
    sql.Column("state", sql.Text, nullable=False),  # a RunState
    sql.Column("exit_code", sql.Integer),
    sql.Column("message", sql.Text, nullable=False, default=""),
    sql.Column(
        "store", sql.Text, nullable=False, server_default=""
    ),  # the store of the run: stores may share a database
    sql.Index("ix_runs_store_state", "store", "state"),
)

executions = sql.Table(
    "executions",
    metadata,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("run", sql.ForeignKey("runs.run"), nullable=False, index=True),
    sql.Column("stage", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),  # a StageState
    sql.Column("why", sql.Text, nullable=False),
    sql.Column("seconds", sql.Float, nullable=False),
    sql.Column("key", sql.Text),
    sql.Column("digest", sql.Text),
    sql.Column("path", sql.Text),
    sql.Column("facts", sql.JSON),
)

approvals = sql.Table(
    "approvals",
    metadata,
    sql.Column("run", sql.ForeignKey("runs.run"), primary_key=True),  # the run that waits
    sql.Column("shelf", sql.Text, key="directory", nullable=False),  # the model directory to push to
    sql.Column("model", sql.Text, nullable=False),  # its identity
    sql.Column("evaluation", sql.Text, nullable=False),  # digest of the evaluation
    sql.Column("evaluated", sql.Text, nullable=False),
    sql.Column("baseline", sql.Text),  # digest of the served model that it was compared with
    sql.Column("decision", sql.Text),  # approved, rejected; null: no decision yet
    sql.Column("person", sql.Text),
    sql.Column("reason", sql.Text),
    sql.Column("decided", sql.Text),
    sql.Index("ix_approvals_model", "directory", "model"),
)

_schema_version = sql.Table("lineage_schema", metadata, sql.Column("version", sql.Integer, nullable=False))


def _from_1(c: sql.Connection) -> None:
    """Adds the store of each run, and removes passwords from recorded commands."""
    c.execute(sql.text("ALTER TABLE runs ADD COLUMN store TEXT DEFAULT '' NOT NULL"))
    c.execute(sql.text("CREATE INDEX ix_runs_store_state ON runs (store, state)"))
    for run, command in c.execute(sql.text("SELECT run, command FROM runs")).all():
        c.execute(
            sql.text("UPDATE runs SET command = :command WHERE run = :run"),
            {"run": run, "command": without_passwords(command)},
        )


def _from_2(c: sql.Connection) -> None:
    """Adds the table of approvals."""
    required = ("shelf", "model", "evaluation", "evaluated")
    columns = [f"{name} TEXT NOT NULL" for name in required] + [
        f"{name} TEXT" for name in ("baseline", "decision", "person", "reason", "decided")
    ]
    c.execute(
        sql.text(
            f"CREATE TABLE approvals (run INTEGER NOT NULL PRIMARY KEY REFERENCES runs (run), {', '.join(columns)})"
        )
    )
    c.execute(sql.text("CREATE INDEX ix_approvals_model ON approvals (shelf, model)"))


_MIGRATIONS: tuple[Callable[[sql.Connection], None], ...] = (_from_1, _from_2)
VERSION = 1 + len(_MIGRATIONS)  # version 1 had no table for its version


def prepare(engine: sql.Engine, *, read_only: bool = False) -> None:
    """Creates or migrates the tables of a database. Other processes wait in the meantime.

    Raises:
        StoreError: the tables are newer than this version of gateline, or older and the database is read-only.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read or written.
    """
    with engine.connect() as c:
        if _version(c) == VERSION:
            return
    if read_only:
        cause = f"the lineage database {engine.url.render_as_string()} has older tables and is read-only"
        raise StoreError(without_passwords(cause), "Let its owner start a run, which migrates them.")
    with engine.execution_options(writing=True).begin() as c:
        if engine.dialect.name == "postgresql":
            c.execute(sql.text("SELECT pg_advisory_xact_lock(:gateline)"), {"gateline": 0x6761746C})
        version = _version(c)
        if version > VERSION:
            supported = f"this version of gateline supports {VERSION}"
            cause = f"the lineage database {engine.url.render_as_string()} has schema {version}, {supported}"
            raise StoreError(without_passwords(cause), "Upgrade gateline, or name another with --database.")
        if version == 0:
            metadata.create_all(c)
        else:
            _schema_version.create(c, checkfirst=True)
            for migration in _MIGRATIONS[version - 1 :]:
                migration(c)
        c.execute(_schema_version.delete())
        c.execute(_schema_version.insert().values(version=VERSION))


def _version(c: sql.Connection) -> int:
    """The version of the tables. 0 if there are none."""
    inspector = sql.inspect(c)
    if inspector.has_table(_schema_version.name):
        return int(c.execute(sql.select(_schema_version.c.version)).scalar_one())
    return 1 if inspector.has_table("runs") else 0
