"""Garbage collection keeps what a kept run, a served version, a waiting model or a later run needs."""

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.dag import outputs
from pipeline.lineage import Lineage, now
from pipeline.store import Store
from pipeline.store.gc import Plan
from schemas.artifacts import Statistics
from schemas.errors import StoreError
from tests.pipeline.conftest import OpenLineage


class History:
    """A store with runs of two stages, `a` and `b`; an artifact is named STAGE/KEY."""

    def __init__(self, store: Store, lineage: Lineage) -> None:
        self.store, self.lineage = store, lineage

    def run(self, *names: str, state: str = "pushed", pushed_to: Path | None = None) -> int:
        number = self.lineage.start(profile="", command="", config={})
        for name in names:
            self.put(name)
            stage, key = name.split("/")
            self.lineage.executed(number, stage, state="ran", why="", seconds=0.0, key=key)
        if pushed_to:
            self.serve(pushed_to, *names)
            self.lineage.executed(number, "push", state="ran", why="", seconds=0.0, key="p", path=str(pushed_to))
        if state != "killed":
            self.lineage.finish(number, state=state, exit_code=0)
        for file in (f"logs/run-{number}.log", f"reports/run-{number}.html"):
            (self.store.root / file).write_text("12345", encoding="utf-8")
        return number

    def put(self, name: str, recipe: dict | None = None) -> None:
        stage, key = name.split("/")
        with self.store.staging(stage, key) as out:
            (out / "file").write_text("x" * 100, encoding="utf-8")
            self.store.commit(Statistics(out, counts={}), stage, key, recipe or {}, now())

    def serve(self, version: Path, *names: str) -> None:
        version.mkdir(parents=True)
        stages = {name.split("/")[0]: {"key": name.split("/")[1]} for name in names}
        (version / "provenance.json").write_text(
            json.dumps({"stages": {**stages, "baseline": {"key": None}}}), encoding="utf-8"
        )

    def plan(self, keep: int, serving: list[Path] | None = None) -> Plan:
        return Plan.of(self.store, self.lineage, serving, keep_runs=keep, kinds=outputs())

    def stored(self) -> set[str]:
        return {f"{p.parent.name}/{p.name}" for p in self.store.root.glob("artifacts/*/*")}


@pytest.fixture
def history(store: Store, open_lineage: OpenLineage) -> History:
    return History(store, open_lineage(f"sqlite:///{store.root / 'lineage.db'}"))


def test_artifacts_logs_and_reports_of_removed_runs_are_removed(history: History) -> None:
    for names in (("a/1", "b/1"), ("a/1", "b/2"), ("a/2", "b/3")):
        history.run(*names)
    plan = history.plan(2)
    assert plan.artifacts == ["b/1"]
    assert plan.others == ["logs/run-1.log", "reports/run-1.html"]
    assert plan.bytes > 100 + 2 * 5
    before = history.stored()
    plan.carry_out()
    assert history.stored() == before - {"b/1"} == set(plan.kept)
    assert sorted(p.name for p in (history.store.root / "logs").iterdir()) == ["run-2.log", "run-3.log"]
    assert list((history.store.root / "staging").iterdir()) == []
    assert history.plan(2).artifacts == []
    assert [run["run"] for run in history.lineage.runs()] == [3, 2, 1]


def test_artifacts_of_served_versions_are_kept(history: History, tmp_path: Path) -> None:
    history.run("a/1", "b/1", pushed_to=history.store.root / "serving" / "m" / "1")
    history.run("a/2", "b/2", pushed_to=tmp_path / "elsewhere" / "m" / "1")
    history.run("a/3", "b/3")
    history.run("a/4")
    assert history.plan(1).artifacts == ["a/3", "b/3"]
    assert history.plan(1, [tmp_path / "elsewhere"]).artifacts == ["a/1", "a/3", "b/1", "b/3"]


def test_a_missing_serving_directory_is_refused(history: History, tmp_path: Path) -> None:
    history.run("a/1", pushed_to=tmp_path / "disk" / "m" / "1")
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    with pytest.raises(StoreError) as error:
        history.plan(0)
    assert (
        error.value.cause == f"a run pushed to {tmp_path / 'disk'}, which does not exist: "
        "the artifacts that its versions need are unknown"
    )
    assert error.value.remedy == "Mount it, or name the serving directories in use with --serving-dir."
    assert history.plan(0, [history.store.root / "serving"]).artifacts == ["a/1"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stages": {"a": {}}}'])
def test_an_unreadable_version_is_refused(history: History, text: str) -> None:
    version = history.store.root / "serving" / "m" / "1"
    history.run("a/1", pushed_to=version)
    (version / "provenance.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        StoreError, match=r"provenance\.json cannot be read: the artifacts that this version needs are unknown"
    ):
        history.plan(0)


def test_artifacts_waiting_for_approval_are_kept(history: History) -> None:
    history.run("a/1", state="waiting")
    history.run("a/2")
    history.run("a/3")
    assert history.plan(1).artifacts == ["a/2"]


def test_pinned_inputs_are_removed_with_the_last_run_that_can_use_them(history: History) -> None:
    (history.store.root / "held").mkdir()
    for day, (name, state) in enumerate((("early", "pushed"), ("asked", "waiting"), ("late", "pushed")), start=1):
        began = datetime(2026, 6, day, tzinfo=UTC)
        with time_machine.travel(began):
            history.run("a/1", state=state)
        pinned = history.store.root / "held" / f"{name}.json"
        pinned.write_text("{}", encoding="utf-8")
        os.utime(pinned, (began.timestamp() + 60, began.timestamp() + 60))
    assert [name for name in history.plan(1).others if name.startswith("held")] == ["held/early.json"]
    history.lineage.finish(2, state="approved", exit_code=0)
    assert [name for name in history.plan(1).others if name.startswith("held")] == [
        "held/asked.json",
        "held/early.json",
    ]
    history.plan(0).carry_out()
    assert list((history.store.root / "held").iterdir()) == []


def test_unrecorded_artifacts_of_a_killed_run_are_kept_with_the_run(history: History) -> None:
    history.run("a/1")
    history.put("b/unrecorded")
    for name in ("b-unrecorded", "a-1"):
        (history.store.root / "scratch" / name).mkdir()
    history.run("a/2", state="killed")
    assert history.plan(1).artifacts == ["a/1"]
    assert history.plan(1).scratch == ["a-1"]
    history.run("a/3")
    assert history.plan(1).artifacts == ["a/1", "a/2", "b/unrecorded"]
    assert history.plan(1).scratch == ["a-1", "b-unrecorded"]


def test_the_latest_search_of_each_configuration_is_kept(history: History) -> None:
    number = history.lineage.start(profile="", command="", config={})
    for key, lr, trials in (("1", 1, 5), ("2", 1, 9), ("3", 2, 5)):
        recipe = {
            "inputs": {"features": "f"},
            "settings": {"settings": {"lr": lr}, "tuning": {"tuner": "grid", "trials": trials}},
        }
        history.put(f"search/{key}", recipe)
        history.lineage.executed(number, "search", state="ran", why="", seconds=0.0, key=key)
    history.lineage.finish(number, state="tuned", exit_code=0)
    history.run("a/1")
    assert history.plan(1).artifacts == ["search/1"]


def test_runs_of_other_stores_in_the_database_are_ignored(history: History, open_lineage: OpenLineage) -> None:
    history.lineage = Lineage(history.lineage.engine, history.store.id)
    history.run("a/1")
    other = Lineage(history.lineage.engine, "another")
    other.finish(other.start(profile="", command="", config={}), state="pushed", exit_code=0)
    history.run("a/2")
    assert history.plan(2).artifacts == []


def test_the_next_run_completes_an_interrupted_removal(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.run("a/1")
    history.run("a/2")
    with monkeypatch.context() as patched:
        patched.setattr("schemas.disk.shutil.rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            history.plan(1).carry_out()
    assert history.stored() == {"a/2"}
    assert [p.name for p in (history.store.root / "staging").iterdir()] == ["removed-a-1"]
    with history.store.lock(wait=False):
        assert list((history.store.root / "staging").iterdir()) == []
    assert history.stored() == {"a/2"}


names = st.sampled_from([f"{stage}/{key}" for stage in "ab" for key in "1234"])


@given(
    runs=st.lists(
        st.tuples(st.sets(names, max_size=3), st.booleans(), st.sampled_from(["pushed", "waiting", "refused"])),
        max_size=5,
    ),
    keep=st.integers(0, 5),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_needed_artifact_is_removed(tmp_path_factory: pytest.TempPathFactory, runs: list, keep: int) -> None:
    store = Store(tmp_path_factory.mktemp("gc"))
    lineage = Lineage.at(store.root, None)
    history = History(store, lineage)
    needed = set()
    for i, (names_of_run, pushed, state) in enumerate(runs):
        one_of_each = list({name.split("/")[0]: name for name in sorted(names_of_run)}.values())
        history.run(*one_of_each, state=state, pushed_to=store.root / "serving" / "m" / str(i) if pushed else None)
        needed |= set(one_of_each) if pushed or state == "waiting" or i >= len(runs) - keep else set()
    before = history.stored()
    history.plan(keep).carry_out()
    assert history.stored() == before & needed == needed
    lineage.engine.dispose()


def test_a_lineage_without_the_runs_of_the_store_is_refused(
    history: History, open_lineage: OpenLineage, tmp_path: Path
) -> None:
    for names in (("a/1", "b/1"), ("a/2",)):
        history.run(*names)
    other = open_lineage(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(StoreError, match=r"other\.db has no run that made a/1, or 2 more\n  Name the database of"):
        Plan.of(history.store, other, None, keep_runs=1, kinds=outputs())


@pytest.mark.parametrize("later", [False, True])
def test_a_lineage_with_only_some_runs_of_the_store_is_refused(
    history: History, open_lineage: OpenLineage, tmp_path: Path, later: bool
) -> None:
    history.run("a/1")
    History(
        history.store, dataclasses.replace(open_lineage(f"sqlite:///{tmp_path / 'other.db'}"), store=history.store.id)
    ).run("a/2")
    if later:
        history.run("a/3")
    with pytest.raises(StoreError, match=r"lineage\.db has no run that made a/2\n"):
        history.plan(1)
