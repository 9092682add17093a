"""An older database is migrated in one transaction; a newer one is refused."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sql

from pipeline.lineage import tables
from pipeline.lineage.tables import VERSION
from schemas.errors import EnvironmentFailure, StoreError
from tests.pipeline.conftest import OpenLineage

FIRST_VERSION = """
CREATE TABLE runs (run {number}, profile TEXT NOT NULL, command TEXT NOT NULL, config JSON NOT NULL,
  started TEXT NOT NULL, finished TEXT, state TEXT NOT NULL, exit_code INTEGER, message TEXT NOT NULL);
CREATE TABLE executions (id {number}, run INTEGER NOT NULL REFERENCES runs (run), stage TEXT NOT NULL,
  state TEXT NOT NULL, why TEXT NOT NULL, seconds FLOAT NOT NULL, key TEXT, digest TEXT, path TEXT, facts JSON);
CREATE INDEX ix_executions_run ON executions (run);
INSERT INTO runs (profile, command, config, started, state, message)
  VALUES ('mnist', 'python -m pipeline run --database postgresql://me:secret@host/lineage', '{{"train": 1}}',
    '2026', 'running', '');
INSERT INTO executions (run, stage, state, why, seconds, facts)
  VALUES (1, 'ingest', 'ran', 'first time', 1.5, '{{"a": 1}}');
"""


def write(url: str, script: str) -> None:
    engine = sql.create_engine(url)
    with engine.begin() as c:
        for statement in script.split(";\n"):
            if statement.strip():
                c.execute(sql.text(statement.replace(":", "\\:")))
    engine.dispose()


@pytest.fixture
def old(url: str) -> str:
    """A database of the first version of gateline."""
    number = "SERIAL PRIMARY KEY" if url.startswith("postgresql") else "INTEGER NOT NULL PRIMARY KEY"
    write(url, FIRST_VERSION.format(number=number))
    return url


def shape(engine: sql.Engine) -> dict[str, object]:
    inspector = sql.inspect(engine)
    return {
        name: (
            {(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)},
            {(i["name"], *i["column_names"]) for i in inspector.get_indexes(name)},
            {(*f["constrained_columns"], f["referred_table"]) for f in inspector.get_foreign_keys(name)},
        )
        for name in inspector.get_table_names()
    }


def test_migration_keeps_rows_and_removes_passwords(open_lineage: OpenLineage, old: str) -> None:
    lineage = open_lineage(old)
    (run,) = lineage.runs()
    assert (run["run"], run["config"], run["store"]) == (1, {"train": 1}, "")
    assert run["command"] == "python -m pipeline run --database postgresql://me:***@host/lineage"
    assert [(e["stage"], e["facts"]) for e in lineage.executions(1)] == [("ingest", {"a": 1})]
    assert lineage.start(profile="mnist", command="", config={}) == 2
    assert lineage.run(1)["state"] == "killed"


def test_a_migrated_database_has_the_tables_of_a_new_one(
    open_lineage: OpenLineage, old: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    new = (
        request.getfixturevalue("new_postgres")()
        if old.startswith("postgresql")
        else f"sqlite:///{tmp_path / 'new.db'}"
    )
    assert shape(open_lineage(old).engine) == shape(open_lineage(new).engine)


def test_opening_a_migrated_database_changes_nothing(open_lineage: OpenLineage, old: str) -> None:
    before = shape(open_lineage(old).engine)
    lineage = open_lineage(old)
    assert shape(lineage.engine) == before
    with lineage.engine.connect() as c:
        assert c.execute(sql.text("SELECT version FROM lineage_schema")).scalars().all() == [VERSION]


def test_a_failed_migration_leaves_the_old_database(
    open_lineage: OpenLineage, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing_migration(c: sql.Connection) -> None:
        c.execute(sql.text("CREATE TABLE half (done INTEGER)"))
        raise sql.exc.OperationalError("", {}, OSError("No space left on device"))

    with monkeypatch.context() as patched:
        patched.setattr(tables, "_MIGRATIONS", (*tables._MIGRATIONS, failing_migration))
        with pytest.raises(
            EnvironmentFailure,
            match=r"cannot open the lineage database .*: No space left on device\n  Is its disk full\?",
        ):
            open_lineage(old)
    engine = sql.create_engine(old)
    assert set(shape(engine)) == {"runs", "executions"}
    engine.dispose()
    assert len(open_lineage(old).runs()) == 1


def test_a_newer_database_is_refused(open_lineage: OpenLineage, url: str) -> None:
    open_lineage(url)
    write(url, f"UPDATE lineage_schema SET version = {VERSION + 1}")
    with pytest.raises(StoreError) as error:
        open_lineage(url)
    assert error.value.cause.endswith(f"has schema {VERSION + 1}, this version of gateline supports {VERSION}")
    assert error.value.remedy == "Upgrade gateline, or name another with --database."
    assert "not-to-be-seen" not in str(error.value)


def test_concurrent_opens_of_an_old_database_all_succeed(open_lineage: OpenLineage, old: str) -> None:
    raised, barrier = [], threading.Barrier(8)

    def open_database() -> None:
        barrier.wait()
        try:
            open_lineage(old)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=open_database) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert len(open_lineage(old).runs()) == 1
