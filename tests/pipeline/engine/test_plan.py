"""The plan states for each stage whether it is reused or runs, and why."""

import shutil
from pathlib import Path

import pytest

from pipeline.engine.component import Node
from pipeline.engine.plan import Planner, Rerun
from pipeline.lineage import Lineage
from pipeline.store import Store
from schemas.errors import ConfigurationError, DataError
from tests.pipeline.conftest import Line
from tests.pipeline.tiny_line import EVENTS, compare, double, line, lookup, parity, pick

ALL = ("pick", "double", "judge")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "to"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a line that has run once."""
    path = tmp_path_factory.mktemp("ran")
    lineage = Lineage.open("sqlite://")
    Line(Store(path / "root"), lineage).run(line(path / "to"))
    lineage.engine.dispose()
    return path / "root" / "artifacts"


@pytest.fixture
def finished(tiny: Line, artifacts: Path) -> Line:
    """A store in which the line has run once."""
    shutil.copytree(artifacts, tiny.store.root / "artifacts", dirs_exist_ok=True)
    EVENTS.clear()
    return tiny


def test_in_an_empty_store_the_first_stage_runs_and_the_others_wait(tiny: Line, target: Path) -> None:
    assert tiny.actions(line(target)) == {
        "pick": "run: first time",
        "double": "wait: after pick",
        "judge": "wait: after double",
        "deliver": "wait: after double, judge",
    }


def test_planning_runs_no_stage(tiny: Line, target: Path) -> None:
    EVENTS.clear()
    tiny.plan(line(target))
    assert EVENTS == []


def test_unchanged_stages_are_reused(finished: Line, target: Path) -> None:
    reused = dict.fromkeys(ALL, "reuse: nothing changed")
    assert finished.actions(line(target)) == {**reused, "deliver": "run: runs every time"}


def test_a_changed_setting_reruns_its_stage_and_is_the_reason(finished: Line, target: Path) -> None:
    assert finished.actions(line(target, value=2))["pick"] == "run: value changed from 1 to 2"
    assert finished.actions(line(target, factor=3)) == {
        "pick": "reuse: nothing changed",
        "double": "run: factor changed from 2 to 3",
        "judge": "wait: after double",
        "deliver": "wait: after double, judge",
    }


def test_a_changed_input_reruns_its_stage_and_is_the_reason(finished: Line, target: Path) -> None:
    finished.run(line(target, factor=3))
    assert ("ran", "judge", "number changed") in finished.watcher.lines


def test_the_reason_compares_with_the_most_similar_artifact(finished: Line, target: Path) -> None:
    finished.run(line(target, value=5, factor=7))
    assert finished.actions(line(target, value=1, factor=3))["double"] == "run: factor changed from 2 to 3"


def test_an_unkeyed_setting_does_not_change_the_plan(finished: Line, target: Path) -> None:
    assert finished.actions(line(target, place="elsewhere")) == finished.actions(line(target))


def test_a_stage_with_an_incomplete_artifact_runs_again(finished: Line, target: Path) -> None:
    (manifest,) = (finished.store.root / "artifacts" / "double").glob("*/manifest.json")
    manifest.write_text(manifest.read_text(encoding="utf-8")[:50], encoding="utf-8")
    assert finished.actions(line(target))["double"] == "run: its artifact was incomplete"


def test_a_damaged_artifact_is_refused_and_force_replaces_it(finished: Line, target: Path) -> None:
    (number,) = (finished.store.root / "artifacts" / "double").glob("*/number.txt")
    number.unlink()
    with pytest.raises(DataError) as error:
        finished.plan(line(target))
    assert (
        str(error.value) == f"data: artifact {number.parent}: number.txt is missing\n  Run again with --force double."
    )
    finished.run(line(target), Rerun(frozenset({"double"})))
    assert number.read_text(encoding="utf-8") == "2"


@pytest.mark.parametrize(
    ("rerun", "actions"),
    [
        (Rerun(frozenset({"double"})), ["reuse: nothing changed", "run: --force", "wait: after double"]),
        (Rerun(from_stage="double"), ["reuse: nothing changed", "run: --from double", "wait: after double"]),
        (Rerun(no_cache=True), ["run: --no-cache", "wait: after pick", "wait: after double"]),
    ],
    ids=["force", "from", "no cache"],
)
def test_rerun_options_plan_the_requested_stages(
    finished: Line, target: Path, rerun: Rerun, actions: list[str]
) -> None:
    planned = finished.actions(line(target), rerun)
    assert [planned[stage] for stage in ALL] == actions


@pytest.mark.parametrize(
    ("rerun", "ran"),
    [
        (Rerun(frozenset({"pick"})), ["pick"]),
        (Rerun(frozenset({"pick", "judge"})), ["pick", "judge"]),
        (Rerun(from_stage="double"), ["double", "judge"]),
        (Rerun(no_cache=True), ["pick", "double", "judge"]),
    ],
    ids=["force", "force two", "from", "no cache"],
)
def test_rerun_options_run_only_the_requested_stages(
    finished: Line, target: Path, rerun: Rerun, ran: list[str]
) -> None:
    finished.run(line(target), rerun)
    assert [*ran, "deliver"] == EVENTS


def test_from_a_stage_reruns_only_the_stages_that_depend_on_it(tiny: Line) -> None:
    def node() -> Node:
        first = pick(value=1)
        return compare(number=double(number=first), other=parity(number=first))

    tiny.run(node())
    assert list(tiny.actions(node())) == ["pick", "double", "parity", "compare"]
    assert tiny.actions(node(), Rerun(from_stage="double"))["parity"] == "reuse: nothing changed"


@pytest.mark.parametrize("rerun", [Rerun(frozenset({"dubble"})), Rerun(from_stage="dubble")], ids=["force", "from"])
def test_an_unknown_stage_is_refused(tiny: Line, target: Path, rerun: Rerun) -> None:
    with pytest.raises(ConfigurationError) as error:
        Planner.of(tiny.store, rerun, line(target))
    assert (
        str(error.value)
        == "configuration: dubble is not a stage of this run\n  Its stages are pick, double, judge, deliver."
    )
    assert error.value.exit_code == 2


def test_a_refusing_gate_stops_the_later_stages_with_its_error_type(tiny: Line, target: Path) -> None:
    with pytest.raises(DataError) as error:
        tiny.run(line(target, limit=1))
    assert str(error.value) == "data: 2 is over 1\n         which is a lot\n  Pick less."
    assert error.value.exit_code == 4
    assert not target.exists()


def test_a_reused_refusal_is_still_a_refusal(tiny: Line, target: Path) -> None:
    with pytest.raises(DataError):
        tiny.run(line(target, limit=1))
    assert tiny.actions(line(target, limit=1)) == {
        "pick": "reuse: nothing changed",
        "double": "reuse: nothing changed",
        "judge": "reuse: nothing changed",
        "deliver": "refused: 2 is over 1\n         which is a lot",
    }
    with pytest.raises(DataError, match=r"^data: 2 is over 1"):
        tiny.run(line(target, limit=1))
    assert EVENTS == []
    assert not target.exists()


def test_no_option_bypasses_a_gate(tiny: Line, target: Path) -> None:
    for rerun in (Rerun(), Rerun(frozenset({"judge"})), Rerun(from_stage="judge"), Rerun(no_cache=True)):
        with pytest.raises(DataError, match=r"^data: 2 is over 1"):
            tiny.run(line(target, limit=1), rerun)
        assert not target.exists()


@pytest.mark.parametrize("rerun", [Rerun(frozenset({"deliver"})), Rerun(from_stage="deliver")])
def test_a_rerun_of_a_stage_that_always_runs_is_refused(tiny: Line, target: Path, rerun: Rerun) -> None:
    with pytest.raises(ConfigurationError) as error:
        tiny.run(line(target), rerun)
    assert (
        str(error.value)
        == "configuration: deliver runs every time\n  Leave it out, or name a stage whose artifact is stored."
    )
    assert not target.exists()


def test_a_rerun_of_a_resolver_is_refused(tiny: Line, tmp_path: Path) -> None:
    number = pick(value=3)
    with pytest.raises(
        ConfigurationError,
        match=r"^configuration: lookup is not a stage of this run\n  Its stages are pick, compare\.$",
    ):
        tiny.run(compare(number=number, other=lookup(number=number, directory=tmp_path)), Rerun(frozenset({"lookup"})))


def test_a_resolver_runs_while_planning_and_its_content_is_keyed(tiny: Line, tmp_path: Path) -> None:
    directory = tmp_path / "numbers"

    def node() -> Node:
        number = pick(value=3)
        return compare(number=number, other=lookup(number=number, directory=directory))

    assert tiny.run(node()).value == 3
    assert tiny.actions(node()) == {
        "pick": "reuse: nothing changed",
        "lookup": "resolve: looked up",
        "compare": "reuse: nothing changed",
    }
    directory.mkdir()
    (directory / "number.txt").write_text("2", encoding="utf-8")
    assert tiny.actions(node())["compare"] == "run: other is new"
    assert tiny.run(node()).value == 1
    (directory / "number.txt").write_text("1", encoding="utf-8")
    assert tiny.actions(node())["compare"] == "run: other changed"
