"""An older database becomes one of today, in one go; a newer one is refused."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sql

from pipeline.lineage import tables
from pipeline.lineage.tables import VERSION
from schemas.errors import GatelineError, StoreError
from tests.pipeline.conftest import Open

OF_OLD = """
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
    """A database as the first version of the program left it."""
    number = "SERIAL PRIMARY KEY" if url.startswith("postgresql") else "INTEGER NOT NULL PRIMARY KEY"
    write(url, OF_OLD.format(number=number))
    return url


def shape(engine: sql.Engine) -> dict[str, object]:
    there = sql.inspect(engine)
    return {
        name: (
            {(c["name"], str(c["type"]), c["nullable"]) for c in there.get_columns(name)},
            {(i["name"], *i["column_names"]) for i in there.get_indexes(name)},
            {(*f["constrained_columns"], f["referred_table"]) for f in there.get_foreign_keys(name)},
        )
        for name in there.get_table_names()
    }


def test_an_old_database_keeps_its_rows_and_loses_its_passwords(opened: Open, old: str) -> None:
    lineage = opened(old)
    (run,) = lineage.runs()
    assert (run["run"], run["config"], run["store"]) == (1, {"train": 1}, "")
    assert run["command"] == "python -m pipeline run --database postgresql://me:***@host/lineage"
    assert [(e["stage"], e["facts"]) for e in lineage.executions(1)] == [("ingest", {"a": 1})]
    assert lineage.start(profile="mnist", command="", config={}) == 2
    assert lineage.run(1)["state"] == "killed"


def test_an_old_database_gets_the_same_tables_as_a_new_one(
    opened: Open, old: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    new = (
        request.getfixturevalue("new_postgres")()
        if old.startswith("postgresql")
        else f"sqlite:///{tmp_path / 'new.db'}"
    )
    assert shape(opened(old).engine) == shape(opened(new).engine)


def test_opening_it_again_changes_nothing(opened: Open, old: str) -> None:
    before = shape(opened(old).engine)
    lineage = opened(old)
    assert shape(lineage.engine) == before
    with lineage.engine.connect() as c:
        assert c.execute(sql.text("SELECT version FROM lineage_schema")).scalars().all() == [VERSION]


def test_a_step_that_fails_leaves_the_old_database(opened: Open, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(c: sql.Connection) -> None:
        c.execute(sql.text("CREATE TABLE half (done INTEGER)"))
        raise sql.exc.OperationalError("", {}, OSError("No space left on device"))

    with monkeypatch.context() as patched:
        patched.setattr(tables, "_MIGRATIONS", (*tables._MIGRATIONS, stumble))
        with pytest.raises(
            GatelineError, match=r"cannot open the lineage database .*: No space left on device\n  Is its disk full\?"
        ):
            opened(old)
    engine = sql.create_engine(old)
    assert set(shape(engine)) == {"runs", "executions"}
    engine.dispose()
    assert len(opened(old).runs()) == 1


def test_a_database_of_a_newer_version_is_refused_and_left_alone(opened: Open, url: str) -> None:
    opened(url)
    write(url, f"UPDATE lineage_schema SET version = {VERSION + 1}")
    with pytest.raises(StoreError) as error:
        opened(url)
    assert error.value.cause.endswith(f"has schema {VERSION + 1}, this version of gateline supports {VERSION}")
    assert error.value.remedy == "Upgrade gateline, or name another with --database."
    assert "not-to-be-seen" not in str(error.value)


def test_eight_that_open_an_old_database_at_once_all_find_it_done(opened: Open, old: str) -> None:
    raised, gate = [], threading.Barrier(8)

    def go() -> None:
        gate.wait()
        try:
            opened(old)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert len(opened(old).runs()) == 1
