"""Runs and executions in SQL."""

import dataclasses
import datetime
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.lineage import Lineage
from schemas.errors import EnvironmentFailure, GatelineError, StoreError
from tests.pipeline.conftest import OpenLineage


def start(lineage: Lineage) -> int:
    return lineage.start(profile="sample", command="python -m pipeline run", config={"train": {"epochs": 3}})


def test_a_run_is_stored_across_connections(open_lineage: OpenLineage, url: str) -> None:
    number = start(open_lineage(url))
    open_lineage(url).finish(number, state="refused", exit_code=3, message="refused: accuracy is 0.5")
    run = open_lineage(url).run(number)
    times = [datetime.datetime.fromisoformat(run.pop(name)) for name in ("started", "finished")]
    assert times == sorted(times)
    assert all(time.utcoffset() == datetime.timedelta(0) for time in times)
    assert run == {
        "run": 1,
        "profile": "sample",
        "command": "python -m pipeline run",
        "config": {"train": {"epochs": 3}},
        "state": "refused",
        "exit_code": 3,
        "message": "refused: accuracy is 0.5",
        "store": "",
    }


def test_executions_are_stored_in_order_for_each_run(open_lineage: OpenLineage, url: str) -> None:
    lineage = open_lineage(url)
    first, second = start(lineage), start(lineage)
    lineage.executed(second, "ingest", state="reused", why="nothing changed", seconds=0.0)
    facts = {"counts": {"train": 3}, "names": ["a", "b"]}
    lineage.executed(
        first,
        "ingest",
        state="ran",
        why="first time",
        seconds=1.5,
        key="k",
        digest="d",
        path="/store/artifacts/ingest/k",
        facts=facts,
    )
    lineage.executed(first, "describe", state="failed", why="damaged", seconds=0.25)
    ingest, describe = open_lineage(url).executions(first)
    assert ingest == {
        "id": ingest["id"],
        "run": first,
        "stage": "ingest",
        "state": "ran",
        "why": "first time",
        "seconds": 1.5,
        "key": "k",
        "digest": "d",
        "path": "/store/artifacts/ingest/k",
        "facts": facts,
    }
    assert (describe["stage"], describe["key"], describe["facts"]) == ("describe", None, None)
    assert [e["state"] for e in lineage.executions(second)] == ["reused"]


def test_runs_are_listed_newest_first_up_to_a_limit(open_lineage: OpenLineage, url: str) -> None:
    lineage = open_lineage(url)
    assert [start(lineage) for _ in range(3)] == [1, 2, 3]
    assert [row["run"] for row in lineage.runs()] == [3, 2, 1]
    assert [row["run"] for row in lineage.runs(2)] == [3, 2]


def test_a_run_is_found_by_number_and_the_last_without(open_lineage: OpenLineage, url: str) -> None:
    lineage = open_lineage(url)
    assert lineage.run(None) is None
    assert [start(lineage), start(lineage)] == [1, 2]
    assert lineage.run(None)["run"] == 2
    assert lineage.run(1)["run"] == 1
    assert lineage.run(99) is None


def test_the_next_start_marks_an_unfinished_run_as_killed(open_lineage: OpenLineage, url: str) -> None:
    lineage = open_lineage(url)
    killed = start(lineage)
    assert lineage.run(killed)["state"] == "running"
    finished = start(lineage)
    lineage.finish(finished, state="pushed", exit_code=0)
    assert start(lineage) == 3
    assert [(row["state"], bool(row["finished"])) for row in lineage.runs()] == [
        ("running", False),
        ("pushed", True),
        ("killed", True),
    ]


def test_an_execution_without_a_run_is_refused_by_the_database(open_lineage: OpenLineage, url: str) -> None:
    import sqlalchemy

    with pytest.raises(sqlalchemy.exc.IntegrityError, match=r"(?i)foreign key"):
        open_lineage(url).executed(7, "ingest", state="ran", why="", seconds=0.0)


def test_a_read_only_database_is_refused_with_its_remedy(open_lineage: OpenLineage, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(
        StoreError, match=r"readonly database\n  Fix its permissions, or name another with --database\.$"
    ):
        open_lineage(f"sqlite:///file:{tmp_path / 'empty.db'}?mode=ro&uri=true")


def test_an_unreferenced_lineage_is_closed(tmp_path: Path) -> None:
    def files() -> set[str]:
        return {Path(file.path).name for file in psutil.Process().open_files() if Path(file.path).parent == tmp_path}

    lineage = Lineage.open(f"sqlite:///{tmp_path / 'lineage.db'}")
    start(lineage)
    assert "lineage.db" in files()
    del lineage
    assert files() == set()


def test_each_write_failure_has_its_own_remedy(open_lineage: OpenLineage, tmp_path: Path) -> None:
    path = tmp_path / "lineage.db"
    first, second = open_lineage(f"sqlite:///{path}"), open_lineage(f"sqlite:///{path}")
    reader = open_lineage(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(
        StoreError, match=r"readonly database\n  Fix its permissions, or name another with --database\.$"
    ):
        start(reader)
    with second.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")  # instead of the default of 30 seconds
    with (
        first.writing(),
        pytest.raises(
            EnvironmentFailure, match=r"locked\n  Another process is writing to it: run again when it has ended\.$"
        ),
    ):
        start(second)


@pytest.fixture
def writing_connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection with a write transaction on `lineage.db`, which has no write-ahead log yet."""
    connection = sqlite3.connect(tmp_path / "lineage.db", isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_opening_a_new_database_waits_for_a_writer(
    open_lineage: OpenLineage, writing_connection: sqlite3.Connection, tmp_path: Path
) -> None:
    threading.Timer(0.2, writing_connection.execute, ["COMMIT"]).start()
    assert start(open_lineage(f"sqlite:///{tmp_path / 'lineage.db'}")) == 1
    assert writing_connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_waiting_too_long_for_a_writer_is_an_error(
    open_lineage: OpenLineage, writing_connection: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.lineage.database.BUSY_TIMEOUT", 0.2)
    cause = r"cannot open the lineage database .*: database is locked"
    locked = cause + r"\n  Another process is writing to it: run again when it has ended\.$"
    with pytest.raises(EnvironmentFailure, match=locked):
        open_lineage(f"sqlite:///{tmp_path / 'lineage.db'}")


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("lineage.db", "Could not parse SQLAlchemy URL from given URL string"),
        ("nosuchdatabase://here", "Can't load plugin: sqlalchemy.dialects:nosuchdatabase"),
        ("sqlite:////proc/nowhere/lineage.db", "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_opened_is_refused(open_lineage: OpenLineage, url: str, cause: str) -> None:
    with pytest.raises(StoreError) as error:
        open_lineage(url)
    assert error.value.cause == f"cannot open the lineage database {url}: {cause}"
    assert error.value.exit_code == 2
    assert "--database" in error.value.remedy


def test_a_file_that_is_not_a_database_is_refused(open_lineage: OpenLineage, tmp_path: Path) -> None:
    (tmp_path / "lineage.db").write_text("once upon a time " * 100, encoding="utf-8")
    with pytest.raises(StoreError, match=r"lineage\.db: file is not a database"):
        open_lineage(f"sqlite:///{tmp_path / 'lineage.db'}")


def test_an_unescaped_at_sign_in_a_password_is_refused(open_lineage: OpenLineage) -> None:
    with pytest.raises(StoreError) as error:
        open_lineage("postgresql+psycopg://me:hun@ter2@127.0.0.1:9/lineage")
    assert (
        str(error.value)
        == "store: the URL of the lineage database contains more than one @\n  In a password, write %40 for it."
    )


def test_errors_show_no_password(open_lineage: OpenLineage) -> None:
    with pytest.raises(StoreError) as error:
        open_lineage("nosuchdatabase://gateline:secret@host/lineage")
    assert "secret" not in str(error.value)
    assert "host/lineage" in str(error.value)


def test_records_contain_no_password(open_lineage: OpenLineage, url: str) -> None:
    lineage = open_lineage(url)
    number = lineage.start(profile="sample", command="run --database postgresql://me:secret@host/lineage", config={})
    lineage.executed(number, "push", state="failed", why="no route to postgresql://me:secret@host/lineage", seconds=0.0)
    lineage.finish(number, state="failed", exit_code=1, message="no route to postgresql://me:secret@host/lineage")
    assert "secret" not in str([lineage.runs(), lineage.executions(number)])
    assert lineage.run(number)["command"] == "run --database postgresql://me:***@host/lineage"


def test_stores_that_share_a_database_do_not_change_each_others_runs(open_lineage: OpenLineage, url: str) -> None:
    one, other = (dataclasses.replace(open_lineage(url), store=name) for name in ("one", "other"))
    running, killed = start(one), start(other)
    assert start(other) == 3
    assert [one.run(number)["state"] for number in (running, killed)] == ["running", "killed"]


def test_runs_are_ordered_by_number_and_not_by_the_clock(
    open_lineage: OpenLineage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage = open_lineage(url)
    for number, year in enumerate(("2030", "2026"), 1):
        monkeypatch.setattr("pipeline.lineage.lineage.now", lambda year=year: f"{year}-01-01T00:00:00.000+00:00")
        assert start(lineage) == number
    assert [row["started"][:4] for row in lineage.runs()] == ["2026", "2030"]
    assert lineage.run(None)["run"] == 2


def test_invalid_unicode_in_a_message_is_replaced(open_lineage: OpenLineage, url: str) -> None:
    lineage = open_lineage(url)
    lineage.finish(start(lineage), state="failed", exit_code=1, message="file \udcff of \0 is damaged")
    assert lineage.run(1)["message"] == "file ? of ? is damaged"


def test_a_damaged_database_is_refused_with_its_path(open_lineage: OpenLineage, tmp_path: Path) -> None:
    path = tmp_path / "lineage.db"
    lineage = open_lineage(f"sqlite:///{path}")
    for _ in range(50):
        start(lineage)
    lineage.engine.dispose()
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(GatelineError) as error:
        open_lineage(f"sqlite:///{path}").runs()
    assert str(path) in error.value.cause
    assert "malformed" in error.value.cause
    assert "--database" in error.value.remedy


def test_a_path_that_is_too_long_for_sqlite_is_refused(tmp_path: Path) -> None:
    def database(length: int) -> Path:
        folder = tmp_path
        while (left := length - len(str(folder)) - len("/l.db")) > 0:
            folder = folder / ("x" * min(100, left - 1))
        folder.mkdir(parents=True, exist_ok=True)
        assert len(str(folder / "l.db")) == length
        return folder / "l.db"

    Lineage.open(f"sqlite:///{database(504)}").engine.dispose()
    message = r"its path has 505 bytes, and SQLite allows 504\n  Name another with --database\.$"
    with pytest.raises(StoreError, match=message):
        Lineage.open(f"sqlite:///{database(505)}")
