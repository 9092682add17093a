"""The tables of the lineage, and the migration of databases of older versions of gateline.

prepare(engine)     # creates the tables in an empty database; migrates an older one step by step, in one transaction

A change of the tables is a new step at the end of `_STEPS`, and the same change in the tables above. Steps are final.
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
    sql.Column("state", sql.Text, nullable=False),  # running, pushed, unchanged, refused, failed, interrupted, killed
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
    sql.Column("state", sql.Text, nullable=False),  # ran, reused, refused, failed
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
    sql.Column("run", sql.ForeignKey("runs.run"), primary_key=True),  # the run that waited for it
    sql.Column("shelf", sql.Text, nullable=False),  # the model directory that the model is for
    sql.Column("model", sql.Text, nullable=False),  # its identity
    sql.Column("evaluation", sql.Text, nullable=False),  # digest of the evaluation that was shown
    sql.Column("evaluated", sql.Text, nullable=False),
    sql.Column("baseline", sql.Text),  # digest of the served model that it was compared with
    sql.Column("decision", sql.Text),  # approved, rejected; null: no decision yet
    sql.Column("person", sql.Text),
    sql.Column("reason", sql.Text),
    sql.Column("decided", sql.Text),
    sql.Index("ix_approvals_model", "shelf", "model"),
)

_stamp = sql.Table("lineage_schema", metadata, sql.Column("version", sql.Integer, nullable=False))


def _from_1(c: sql.Connection) -> None:
    """Runs record their store, and passwords are removed from recorded commands."""
    c.execute(sql.text("ALTER TABLE runs ADD COLUMN store TEXT DEFAULT '' NOT NULL"))
    c.execute(sql.text("CREATE INDEX ix_runs_store_state ON runs (store, state)"))
    for run, command in c.execute(sql.text("SELECT run, command FROM runs")).all():
        c.execute(
            sql.text("UPDATE runs SET command = :command WHERE run = :run"),
            {"run": run, "command": without_passwords(command)},
        )


def _from_2(c: sql.Connection) -> None:
    """Models may wait for approval."""
    texts = ("shelf", "model", "evaluation", "evaluated")
    columns = [f"{name} TEXT NOT NULL" for name in texts] + [
        f"{name} TEXT" for name in ("baseline", "decision", "person", "reason", "decided")
    ]
    c.execute(
        sql.text(
            f"CREATE TABLE approvals (run INTEGER NOT NULL PRIMARY KEY REFERENCES runs (run), {', '.join(columns)})"
        )
    )
    c.execute(sql.text("CREATE INDEX ix_approvals_model ON approvals (shelf, model)"))


_STEPS: tuple[Callable[[sql.Connection], None], ...] = (_from_1, _from_2)
VERSION = 1 + len(_STEPS)  # 1 had no table with the version


def prepare(engine: sql.Engine, *, read_only: bool = False) -> None:
    """Brings the tables of a database up to date. Other processes wait in the meantime.

    Raises:
        StoreError: it has newer tables, or older ones and is read-only.
        sqlalchemy.exc.SQLAlchemyError: it cannot be read or written.
    """
    with engine.connect() as c:
        if _found(c) == VERSION:
            return
    if read_only:
        cause = f"the lineage database {engine.url.render_as_string()} has older tables and is read-only"
        raise StoreError(without_passwords(cause), "A run by its owner brings them up to date.")
    with engine.execution_options(writing=True).begin() as c:
        if engine.dialect.name == "postgresql":
            c.execute(sql.text("SELECT pg_advisory_xact_lock(:of_gateline)"), {"of_gateline": 0x6761746C})
        version = _found(c)
        if version > VERSION:
            supported = f"this version of gateline supports {VERSION}"
            cause = f"the lineage database {engine.url.render_as_string()} has schema {version}, {supported}"
            raise StoreError(without_passwords(cause), "Upgrade gateline, or name another with --database.")
        if version == 0:
            metadata.create_all(c)
        else:
            _stamp.create(c, checkfirst=True)
            for step in _STEPS[version - 1 :]:
                step(c)
        c.execute(_stamp.delete())
        c.execute(_stamp.insert().values(version=VERSION))


def _found(c: sql.Connection) -> int:
    """The version of the tables; 0 where there are none."""
    there = sql.inspect(c)
    if there.has_table(_stamp.name):
        return int(c.execute(sql.select(_stamp.c.version)).scalar_one())
    return 1 if there.has_table("runs") else 0
