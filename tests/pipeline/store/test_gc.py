"""What nobody needs goes; what a kept run, a served version, a waiting model or a later run needs stays."""

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.lineage import Lineage, now
from pipeline.store import Store
from pipeline.store.gc import Plan
from schemas.artifacts import Statistics
from schemas.errors import StoreError
from tests.pipeline.conftest import Open


class Kept:
    """A store with runs of two stages, `a` and `b`, as their keys say."""

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
        for paper in (f"logs/run-{number}.log", f"reports/run-{number}.html"):
            (self.store.root / paper).write_text("12345", encoding="utf-8")
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
        return Plan.of(self.store, self.lineage, serving, keep_runs=keep)

    def stands(self) -> set[str]:
        return {f"{p.parent.name}/{p.name}" for p in self.store.root.glob("artifacts/*/*")}


@pytest.fixture
def kept(store: Store, opened: Open) -> Kept:
    return Kept(store, opened(f"sqlite:///{store.root / 'lineage.db'}"))


def test_what_only_removed_runs_used_goes_with_their_papers(kept: Kept) -> None:
    for names in (("a/1", "b/1"), ("a/1", "b/2"), ("a/2", "b/3")):
        kept.run(*names)
    plan = kept.plan(2)
    assert plan.artifacts == ["b/1"]
    assert plan.others == ["logs/run-1.log", "reports/run-1.html"]
    assert plan.bytes > 100 + 2 * 5
    before = kept.stands()
    plan.carry_out()
    assert kept.stands() == before - {"b/1"} == set(plan.kept)
    assert sorted(p.name for p in (kept.store.root / "logs").iterdir()) == ["run-2.log", "run-3.log"]
    assert list((kept.store.root / "staging").iterdir()) == []
    assert kept.plan(2).artifacts == []
    assert [run["run"] for run in kept.lineage.runs()] == [3, 2, 1]


def test_what_a_served_version_was_made_from_stays(kept: Kept, tmp_path: Path) -> None:
    kept.run("a/1", "b/1", pushed_to=kept.store.root / "serving" / "m" / "1")
    kept.run("a/2", "b/2", pushed_to=tmp_path / "elsewhere" / "m" / "1")
    kept.run("a/3", "b/3")
    kept.run("a/4")
    assert kept.plan(1).artifacts == ["a/3", "b/3"]
    assert kept.plan(1, [tmp_path / "elsewhere"]).artifacts == ["a/1", "a/3", "b/1", "b/3"]


def test_a_serving_directory_that_is_not_there_is_asked_for(kept: Kept, tmp_path: Path) -> None:
    kept.run("a/1", pushed_to=tmp_path / "disk" / "m" / "1")
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    with pytest.raises(StoreError) as error:
        kept.plan(0)
    assert (
        error.value.cause == f"a run pushed to {tmp_path / 'disk'}, which does not exist: "
        "the artifacts that its versions need are unknown"
    )
    assert error.value.remedy == "Mount it, or name the serving directories in use with --serving-dir."
    assert kept.plan(0, [kept.store.root / "serving"]).artifacts == ["a/1"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stages": {"a": {}}}'])
def test_a_version_that_cannot_be_read_stops_it(kept: Kept, text: str) -> None:
    version = kept.store.root / "serving" / "m" / "1"
    kept.run("a/1", pushed_to=version)
    (version / "provenance.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        StoreError, match=r"provenance\.json cannot be read: the artifacts that this version needs are unknown"
    ):
        kept.plan(0)


def test_what_waits_for_approval_stays(kept: Kept) -> None:
    kept.run("a/1", state="waiting")
    kept.run("a/2")
    kept.run("a/3")
    assert kept.plan(1).artifacts == ["a/2"]


def test_answers_go_when_every_run_that_could_ask_again_is_gone(kept: Kept) -> None:
    (kept.store.root / "held").mkdir()
    for day, (name, state) in enumerate((("early", "pushed"), ("asked", "waiting"), ("late", "pushed")), start=1):
        began = datetime(2026, 6, day, tzinfo=UTC)
        with time_machine.travel(began):
            kept.run("a/1", state=state)
        answers = kept.store.root / "held" / f"{name}.json"
        answers.write_text("{}", encoding="utf-8")
        os.utime(answers, (began.timestamp() + 60, began.timestamp() + 60))
    assert [name for name in kept.plan(1).others if name.startswith("held")] == ["held/early.json"]
    kept.lineage.finish(2, state="approved", exit_code=0)
    assert [name for name in kept.plan(1).others if name.startswith("held")] == ["held/asked.json", "held/early.json"]
    kept.plan(0).carry_out()
    assert list((kept.store.root / "held").iterdir()) == []


def test_what_a_killed_run_left_unrecorded_stays_while_that_run_is_kept(kept: Kept) -> None:
    kept.run("a/1")
    kept.put("b/unrecorded")
    for name in ("b-unrecorded", "a-1"):
        (kept.store.root / "scratch" / name).mkdir()
    kept.run("a/2", state="killed")
    assert kept.plan(1).artifacts == ["a/1"]
    assert kept.plan(1).scratch == ["a-1"]
    kept.run("a/3")
    assert kept.plan(1).artifacts == ["a/1", "a/2", "b/unrecorded"]
    assert kept.plan(1).scratch == ["a-1", "b-unrecorded"]


def test_the_last_search_of_each_kind_stays(kept: Kept) -> None:
    number = kept.lineage.start(profile="", command="", config={})
    for key, lr, trials in (("1", 1, 5), ("2", 1, 9), ("3", 2, 5)):
        recipe = {
            "inputs": {"features": "f"},
            "settings": {"settings": {"lr": lr}, "tuning": {"tuner": "grid", "trials": trials}},
        }
        kept.put(f"search/{key}", recipe)
        kept.lineage.executed(number, "search", state="ran", why="", seconds=0.0, key=key)
    kept.lineage.finish(number, state="tuned", exit_code=0)
    kept.run("a/1")
    assert kept.plan(1).artifacts == ["search/1"]


def test_runs_of_other_stores_in_the_same_database_do_not_count(kept: Kept, opened: Open) -> None:
    kept.lineage = Lineage(kept.lineage.engine, kept.store.id)
    kept.run("a/1")
    other = Lineage(kept.lineage.engine, "another")
    other.finish(other.start(profile="", command="", config={}), state="pushed", exit_code=0)
    kept.run("a/2")
    assert kept.plan(2).artifacts == []


def test_who_is_killed_while_removing_leaves_what_the_next_run_sweeps_away(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.run("a/1")
    kept.run("a/2")
    with monkeypatch.context() as patched:
        patched.setattr("schemas.files.shutil.rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            kept.plan(1).carry_out()
    assert kept.stands() == {"a/2"}
    assert [p.name for p in (kept.store.root / "staging").iterdir()] == ["removed-a-1"]
    with kept.store.lock(wait=False):
        assert list((kept.store.root / "staging").iterdir()) == []
    assert kept.stands() == {"a/2"}


names = st.sampled_from([f"{stage}/{key}" for stage in "ab" for key in "1234"])


@given(
    runs=st.lists(
        st.tuples(st.sets(names, max_size=3), st.booleans(), st.sampled_from(["pushed", "waiting", "refused"])),
        max_size=5,
    ),
    n=st.integers(0, 5),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_is_needed_ever_goes(tmp_path_factory: pytest.TempPathFactory, runs: list, n: int) -> None:
    store = Store(tmp_path_factory.mktemp("gc"))
    lineage = Lineage.at(store.root, None)
    kept = Kept(store, lineage)
    needed = set()
    for i, (made, pushed, state) in enumerate(runs):
        one_of_each = list({name.split("/")[0]: name for name in sorted(made)}.values())
        kept.run(*one_of_each, state=state, pushed_to=store.root / "serving" / "m" / str(i) if pushed else None)
        needed |= set(one_of_each) if pushed or state == "waiting" or i >= len(runs) - n else set()
    before = kept.stands()
    kept.plan(n).carry_out()
    assert kept.stands() == before & needed == needed
    lineage.engine.dispose()


def test_a_lineage_that_does_not_know_the_stores_runs_removes_nothing(kept: Kept, opened: Open, tmp_path: Path) -> None:
    for names in (("a/1", "b/1"), ("a/2",)):
        kept.run(*names)
    other = opened(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(StoreError, match=r"other\.db has no run that made a/1, or 2 more\n  Name the database of"):
        Plan.of(kept.store, other, None, keep_runs=1)


@pytest.mark.parametrize("later", [False, True])
def test_a_lineage_that_knows_only_some_of_the_runs_removes_nothing(
    kept: Kept, opened: Open, tmp_path: Path, later: bool
) -> None:
    kept.run("a/1")
    Kept(kept.store, dataclasses.replace(opened(f"sqlite:///{tmp_path / 'other.db'}"), store=kept.store.id)).run("a/2")
    if later:
        kept.run("a/3")
    with pytest.raises(StoreError, match=r"lineage\.db has no run that made a/2\n"):
        kept.plan(1)
