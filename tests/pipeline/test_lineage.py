"""What ran, on what, and what came of it, in SQL."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.lineage import Lineage
from schemas.errors import StoreError

Open = Callable[[str], Lineage]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'lineage.db'}"


def start(lineage: Lineage) -> int:
    return lineage.start(profile="sample", command="python -m pipeline run", config={"train": {"epochs": 3}})


def test_a_run_is_remembered_across_connections(opened: Open, url: str) -> None:
    number = start(opened(url))
    opened(url).finish(number, state="refused", exit_code=3, message="refused: accuracy is 0.5")
    found = opened(url).run(number)
    times = [datetime.datetime.fromisoformat(found.pop(name)) for name in ("started", "finished")]
    assert times == sorted(times)
    assert all(time.utcoffset() == datetime.timedelta(0) for time in times)
    assert found == {
        "run": 1,
        "profile": "sample",
        "command": "python -m pipeline run",
        "config": {"train": {"epochs": 3}},
        "state": "refused",
        "exit_code": 3,
        "message": "refused: accuracy is 0.5",
    }


def test_executions_are_remembered_in_order_and_by_run(opened: Open, url: str) -> None:
    lineage = opened(url)
    first, second = start(lineage), start(lineage)
    lineage.executed(second, "ingest", state="reused", why="nothing changed", seconds=0.0)
    facts = {"counts": {"train": 3}, "names": ["a", "b"]}
    lineage.executed(
        first, "ingest", state="ran", why="first time", seconds=1.5, key="k", digest="d", path="/store/artifacts/ingest/k", facts=facts
    )
    lineage.executed(first, "describe", state="failed", why="damaged", seconds=0.25)
    ingest, describe = opened(url).executions(first)
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


def test_runs_are_listed_the_newest_first_and_limited(opened: Open, url: str) -> None:
    lineage = opened(url)
    assert [start(lineage) for _ in range(3)] == [1, 2, 3]
    assert [row["run"] for row in lineage.runs()] == [3, 2, 1]
    assert [row["run"] for row in lineage.runs(2)] == [3, 2]


def test_the_last_run_is_found_without_its_number(opened: Open, url: str) -> None:
    lineage = opened(url)
    assert lineage.run(None) is None
    assert [start(lineage), start(lineage)] == [1, 2]
    assert lineage.run(None)["run"] == 2
    assert lineage.run(1)["run"] == 1
    assert lineage.run(99) is None


def test_a_run_left_running_was_killed_as_the_next_start_says(opened: Open, url: str) -> None:
    lineage = opened(url)
    killed = start(lineage)
    assert lineage.run(killed)["state"] == "running"
    finished = start(lineage)
    lineage.finish(finished, state="pushed", exit_code=0)
    assert start(lineage) == 3
    assert [(row["state"], bool(row["finished"])) for row in lineage.runs()] == [("running", False), ("pushed", True), ("killed", True)]


def test_an_execution_of_no_run_is_refused_by_the_database(opened: Open, url: str) -> None:
    import sqlalchemy

    with pytest.raises(sqlalchemy.exc.IntegrityError, match="FOREIGN KEY"):
        opened(url).executed(7, "ingest", state="ran", why="", seconds=0.0)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("lineage.db", "Could not parse SQLAlchemy URL from given URL string"),
        ("nosuchdatabase://here", "Can't load plugin: sqlalchemy.dialects:nosuchdatabase"),
        ("sqlite:////proc/nowhere/lineage.db", "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_opened_is_refused(opened: Open, url: str, cause: str) -> None:
    with pytest.raises(StoreError) as error:
        opened(url)
    assert error.value.cause == f"cannot open the lineage database {url}: {cause}"
    assert error.value.exit_code == 2
    assert "--database" in error.value.remedy


def test_a_file_that_is_no_database_is_refused(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "lineage.db").write_text("once upon a time " * 100)
    with pytest.raises(StoreError, match=r"lineage\.db: file is not a database"):
        opened(f"sqlite:///{tmp_path / 'lineage.db'}")


def test_a_password_is_not_shown(opened: Open) -> None:
    with pytest.raises(StoreError) as error:
        opened("nosuchdatabase://gateline:secret@host/lineage")
    assert "secret" not in str(error.value)
    assert "host/lineage" in str(error.value)
