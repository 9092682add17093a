"""A part of the line: up to a stage, or one stage alone; and what was looked up, kept for the next part."""

import json
from pathlib import Path

import pytest

from pipeline.engine.component import Node
from pipeline.engine.pinned import PinnedInputs
from pipeline.engine.plan import Rerun
from schemas.errors import ConfigurationError, DataError, StoreError
from tests.pipeline.command_line import gateline
from tests.pipeline.conftest import Line
from tests.pipeline.tiny_line import EVENTS, compare, double, line, pick, shelved


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "to"


def one(tiny: Line, node: Node, stage: str, again: Rerun = Rerun(), pinned: PinnedInputs | None = None) -> object:
    return tiny.run(node.up_to(stage), again, only=stage, pinned=pinned)


def looking(shelf: Path) -> Node:
    number = pick(value=3)
    return double(number=compare(number=number, other=shelved(number=number, shelf=shelf)))


def put(shelf: Path, number: int) -> None:
    shelf.mkdir(exist_ok=True)
    (shelf / "number.txt").write_text(str(number), encoding="utf-8")


def test_the_line_ends_with_the_stage_that_is_named(tiny: Line, to: Path) -> None:
    assert tiny.run(line(to).up_to("double")).value == 2
    assert EVENTS == ["pick", "double"]


def test_a_stage_that_the_line_does_not_have_is_refused(to: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        line(to).up_to("dubble")
    assert (
        str(error.value)
        == "configuration: dubble is not a stage of this line\n  Its stages are pick, double, judge, deliver."
    )


def test_a_resolver_is_no_stage(tmp_path: Path) -> None:
    assert looking(tmp_path).stages == ["pick", "compare", "double"]
    with pytest.raises(ConfigurationError, match=r"^configuration: shelved is not a stage of this line\n"):
        looking(tmp_path).up_to("shelved")


def test_stages_say_after_which_others_they_run_and_look_through_resolvers(tmp_path: Path) -> None:
    assert {node.name: node.needs for node in looking(tmp_path).walk()} == {
        "pick": [],
        "shelved": ["pick"],
        "compare": ["pick"],
        "double": ["compare"],
    }


def test_stage_by_stage_comes_to_what_the_line_comes_to(tiny: Line, to: Path) -> None:
    for stage in ("pick", "double", "judge", "deliver"):
        one(tiny, line(to, value=3), stage)
        assert [stage] == EVENTS
    assert (to / "number.txt").read_text(encoding="utf-8") == "6"
    assert [(e["stage"], e["state"]) for e in tiny.lineage.executions(3)] == [
        ("pick", "reused"),
        ("double", "reused"),
        ("judge", "ran"),
    ]


def test_a_stage_alone_that_stands_already_is_reused(tiny: Line, to: Path) -> None:
    tiny.run(line(to))
    assert one(tiny, line(to), "double").value == 2
    assert EVENTS == []


@pytest.mark.parametrize("again", [Rerun(frozenset({"double"})), Rerun(from_stage="double"), Rerun(no_cache=True)])
def test_a_stage_alone_can_be_asked_for_anew_and_nothing_else_runs(tiny: Line, to: Path, again: Rerun) -> None:
    tiny.run(line(to))
    one(tiny, line(to), "double", again)
    assert EVENTS == ["double"]


@pytest.mark.parametrize("again", [Rerun(frozenset({"pick"})), Rerun(from_stage="pick")])
def test_what_may_not_run_cannot_be_asked_for_anew(tiny: Line, to: Path, again: Rerun) -> None:
    with pytest.raises(ConfigurationError) as error:
        one(tiny, line(to), "double", again)
    assert str(error.value) == "configuration: pick is not a stage of this run\n  Its stages are double."


def test_the_first_stage_that_is_missing_is_named_with_the_command_that_makes_it(tiny: Line, to: Path) -> None:
    tiny.run(line(to))
    with pytest.raises(ConfigurationError) as error:
        one(tiny, line(to, factor=3), "deliver")
    assert str(error.value) == (
        "configuration: deliver needs double, which the store does not have (factor changed from 2 to 3)\n"
        "  Run python -m pipeline run --only double with the same other options first."
    )
    assert error.value.exit_code == 2
    assert EVENTS == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_gate_that_ends_the_run_refuses_there(tiny: Line, to: Path, alone: bool) -> None:
    tiny.run(line(to, most=1).up_to("double"))
    for ran in (["judge"], []):  # made, then reused
        with pytest.raises(DataError) as error:
            tiny.run(line(to, most=1).up_to("judge"), only="judge" if alone else None)
        assert str(error.value) == "data: 2 is over 1\n         which is a lot\n  Pick less."
        assert ran == EVENTS


def test_a_stage_alone_behind_a_gate_that_refused_is_refused(tiny: Line, to: Path) -> None:
    with pytest.raises(DataError):
        tiny.run(line(to, most=1))
    with pytest.raises(DataError, match=r"^data: 2 is over 1"):
        one(tiny, line(to, most=1), "deliver")
    assert not to.exists()


def test_without_a_hold_what_is_looked_up_is_looked_up_by_each_run(tiny: Line, tmp_path: Path) -> None:
    put(tmp_path / "shelf", 1)
    tiny.run(looking(tmp_path / "shelf").up_to("compare"))
    put(tmp_path / "shelf", 2)
    with pytest.raises(ConfigurationError, match=r"^configuration: double needs compare, .* \(other changed\)\n"):
        one(tiny, looking(tmp_path / "shelf"), "double")


@pytest.mark.parametrize("before", [1, None])
def test_under_a_hold_what_was_looked_up_stays(tiny: Line, tmp_path: Path, before: int | None) -> None:
    shelf, pinned = tmp_path / "shelf", PinnedInputs(tiny.store.root, "night 1")
    if before:
        put(shelf, before)
    for stage in ("pick", "compare"):
        one(tiny, looking(shelf), stage, pinned=pinned)
    put(shelf, 2)
    assert one(tiny, looking(shelf), "double", pinned=pinned).value == 2 * (3 - (before or 0))
    assert EVENTS == ["double"]
    another = PinnedInputs(tiny.store.root, "night 2")
    assert tiny.run(looking(shelf), pinned=another).value == 2 * (3 - 2)


def test_what_a_run_came_to_is_what_its_last_stage_gets_whatever_was_edited_since(tiny: Line, to: Path) -> None:
    pinned, node = PinnedInputs(tiny.store.root, "run 1"), line(to, value=3)
    tiny.run(node.up_to("judge"))
    made = {step.name: step.artifact for step in tiny.plan(node.up_to("judge"))}
    edited = line(to, value=3, factor=5, most=1)
    with pytest.raises(ConfigurationError, match=r"^configuration: deliver needs double"):
        one(tiny, edited, "deliver", pinned=pinned)
    pinned.pin_all(node, made)
    EVENTS.clear()
    one(tiny, edited, "deliver", pinned=pinned)
    assert ((to / "number.txt").read_text(encoding="utf-8"), EVENTS) == ("6", ["deliver"])
    executions = {row["stage"]: row for row in tiny.lineage.executions(tiny.lineage.run(None)["run"])}
    assert (executions["double"]["why"], executions["double"]["key"]) == ("pinned", made["double"].path.name)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"name": '])
def test_what_was_kept_and_is_damaged_is_named(tiny: Line, tmp_path: Path, content: str) -> None:
    pinned, node = PinnedInputs(tiny.store.root, "night 1"), looking(tmp_path / "shelf")
    tiny.run(node)
    pinned.path.parent.mkdir()
    pinned.path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError) as error:
        tiny.plan(node, pinned=pinned)
    assert (
        str(error.value) == f"store: {pinned.path} is damaged: it holds the pinned inputs of night 1\n"
        "  Remove it; the inputs are then looked up again."
    )


def test_a_plan_under_a_hold_keeps_nothing(tiny: Line, tmp_path: Path) -> None:
    pinned = PinnedInputs(tiny.store.root, "night 1")
    tiny.run(looking(tmp_path / "shelf"))
    tiny.plan(looking(tmp_path / "shelf"), pinned=pinned)
    assert not pinned.path.parent.exists()


def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    done = gateline("run", "--only", "describe", "--root", tmp_path / "root")
    assert done.stderr == (
        "configuration: describe needs ingest, which the store does not have (first time)\n"
        "  Run python -m pipeline run --only ingest with the same other options first.\n"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert [
        (run["state"], run["exit_code"])
        for run in json.loads(gateline("runs", "--json", "--root", tmp_path / "root").stdout)
    ] == [("failed", 2)]


def test_a_run_ends_with_one_stage_or_runs_one_alone(tmp_path: Path) -> None:
    done = gateline("run", "--only", "train", "--until", "push", "--root", tmp_path / "root")
    assert (done.returncode, done.stderr) == (
        2,
        "configuration: --until push and --only train contradict each other\n  Leave one of them out.\n",
    )


def test_a_dry_run_plans_the_part_that_was_asked_for(tmp_path: Path) -> None:
    done = gateline("run", "--until", "validate", "--dry-run", "--json", "--root", tmp_path / "root")
    assert [step["stage"] for step in json.loads(done.stdout)][-1] == "validate"


def test_orchestrators_can_ask_for_the_stages_and_no_store_is_made(tmp_path: Path) -> None:
    done = gateline("stages", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    listed = {each["stage"]: each["after"] for each in json.loads(done.stdout)}
    assert next(iter(listed)) == "ingest"
    assert list(listed)[-1] == "push"
    assert listed["describe"] == ["ingest"]
    assert all(set(after) <= set(listed) for after in listed.values())
    assert list(tmp_path.iterdir()) == []
