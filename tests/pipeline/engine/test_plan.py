"""The plan says of each stage whether it is reused or runs, and why."""

import shutil
from pathlib import Path

import pytest

from pipeline.engine.component import Node
from pipeline.engine.plan import Planner, Rerun
from pipeline.lineage import Lineage
from pipeline.store import Store
from schemas.errors import ConfigurationError, DataError
from tests.pipeline.conftest import Line
from tests.pipeline.tiny_line import EVENTS, compare, double, line, parity, pick, shelved

ALL = ("pick", "double", "judge")


@pytest.fixture
def to(tmp_path: Path) -> Path:
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
def made(tiny: Line, artifacts: Path) -> Line:
    """A store of one's own in which the line has run once."""
    shutil.copytree(artifacts, tiny.store.root / "artifacts", dirs_exist_ok=True)
    EVENTS.clear()
    return tiny


def test_at_first_the_first_stage_runs_and_the_others_wait_for_it(tiny: Line, to: Path) -> None:
    assert tiny.actions(line(to)) == {
        "pick": "run: first time",
        "double": "wait: after pick",
        "judge": "wait: after double",
        "deliver": "wait: after double, judge",
    }


def test_planning_runs_no_stage(tiny: Line, to: Path) -> None:
    EVENTS.clear()
    tiny.plan(line(to))
    assert EVENTS == []


def test_what_has_not_changed_is_reused(made: Line, to: Path) -> None:
    reused = dict.fromkeys(ALL, "reuse: nothing changed")
    assert made.actions(line(to)) == {**reused, "deliver": "run: runs every time"}


def test_a_changed_setting_makes_its_stage_run_and_says_so(made: Line, to: Path) -> None:
    assert made.actions(line(to, value=2))["pick"] == "run: value changed from 1 to 2"
    assert made.actions(line(to, factor=3)) == {
        "pick": "reuse: nothing changed",
        "double": "run: factor changed from 2 to 3",
        "judge": "wait: after double",
        "deliver": "wait: after double, judge",
    }


def test_a_changed_input_makes_its_stage_run_and_says_so(made: Line, to: Path) -> None:
    made.run(line(to, factor=3))
    assert ("ran", "judge", "number changed") in made.watcher.lines


def test_the_nearest_of_several_artifacts_says_what_changed(made: Line, to: Path) -> None:
    made.run(line(to, value=5, factor=7))
    assert made.actions(line(to, value=1, factor=3))["double"] == "run: factor changed from 2 to 3"


def test_an_unkeyed_setting_changes_nothing(made: Line, to: Path) -> None:
    assert made.actions(line(to, place="elsewhere")) == made.actions(line(to))


def test_an_artifact_cut_short_runs_again_and_says_that_it_was_incomplete(made: Line, to: Path) -> None:
    (manifest,) = (made.store.root / "artifacts" / "double").glob("*/manifest.json")
    manifest.write_text(manifest.read_text(encoding="utf-8")[:50], encoding="utf-8")
    assert made.actions(line(to))["double"] == "run: its artifact was incomplete"


def test_a_damaged_artifact_is_refused_and_force_makes_it_anew(made: Line, to: Path) -> None:
    (number,) = (made.store.root / "artifacts" / "double").glob("*/number.txt")
    number.unlink()
    with pytest.raises(DataError) as error:
        made.plan(line(to))
    assert (
        str(error.value) == f"data: artifact {number.parent}: number.txt is missing\n  Run again with --force double."
    )
    made.run(line(to), Rerun(frozenset({"double"})))
    assert number.read_text(encoding="utf-8") == "2"


@pytest.mark.parametrize(
    ("again", "actions"),
    [
        (Rerun(frozenset({"double"})), ["reuse: nothing changed", "run: --force", "wait: after double"]),
        (Rerun(from_stage="double"), ["reuse: nothing changed", "run: --from double", "wait: after double"]),
        (Rerun(no_cache=True), ["run: --no-cache", "wait: after pick", "wait: after double"]),
    ],
    ids=["force", "from", "no cache"],
)
def test_a_stage_runs_anew_where_the_user_asks_for_it(made: Line, to: Path, again: Rerun, actions: list[str]) -> None:
    planned = made.actions(line(to), again)
    assert [planned[stage] for stage in ALL] == actions


@pytest.mark.parametrize(
    ("again", "ran"),
    [
        (Rerun(frozenset({"pick"})), ["pick"]),
        (Rerun(frozenset({"pick", "judge"})), ["pick", "judge"]),
        (Rerun(from_stage="double"), ["double", "judge"]),
        (Rerun(no_cache=True), ["pick", "double", "judge"]),
    ],
    ids=["force", "force two", "from", "no cache"],
)
def test_just_what_was_asked_for_runs_anew(made: Line, to: Path, again: Rerun, ran: list[str]) -> None:
    made.run(line(to), again)
    assert [*ran, "deliver"] == EVENTS


def test_from_a_stage_runs_nothing_that_is_not_behind_it(tiny: Line) -> None:
    def node() -> Node:
        first = pick(value=1)
        return compare(number=double(number=first), other=parity(number=first))

    tiny.run(node())
    assert list(tiny.actions(node())) == ["pick", "double", "parity", "compare"]
    assert tiny.actions(node(), Rerun(from_stage="double"))["parity"] == "reuse: nothing changed"


@pytest.mark.parametrize("again", [Rerun(frozenset({"dubble"})), Rerun(from_stage="dubble")], ids=["force", "from"])
def test_an_unknown_stage_is_refused(tiny: Line, to: Path, again: Rerun) -> None:
    with pytest.raises(ConfigurationError) as error:
        Planner.of(tiny.store, again, line(to))
    assert (
        str(error.value)
        == "configuration: dubble is not a stage of this run\n  Its stages are pick, double, judge, deliver."
    )
    assert error.value.exit_code == 2


def test_a_gate_that_refused_stops_what_is_behind_it_with_its_own_kind_of_error(tiny: Line, to: Path) -> None:
    with pytest.raises(DataError) as error:
        tiny.run(line(to, most=1))
    assert str(error.value) == "data: 2 is over 1\n         which is a lot\n  Pick less."
    assert error.value.exit_code == 4
    assert not to.exists()


def test_a_reused_refusal_is_still_a_refusal(tiny: Line, to: Path) -> None:
    with pytest.raises(DataError):
        tiny.run(line(to, most=1))
    assert tiny.actions(line(to, most=1)) == {
        "pick": "reuse: nothing changed",
        "double": "reuse: nothing changed",
        "judge": "reuse: nothing changed",
        "deliver": "refused: 2 is over 1\n         which is a lot",
    }
    with pytest.raises(DataError, match=r"^data: 2 is over 1"):
        tiny.run(line(to, most=1))
    assert EVENTS == []
    assert not to.exists()


def test_no_flag_goes_round_a_gate(tiny: Line, to: Path) -> None:
    for again in (Rerun(), Rerun(frozenset({"judge"})), Rerun(from_stage="judge"), Rerun(no_cache=True)):
        with pytest.raises(DataError, match=r"^data: 2 is over 1"):
            tiny.run(line(to, most=1), again)
        assert not to.exists()


@pytest.mark.parametrize("again", [Rerun(frozenset({"deliver"})), Rerun(from_stage="deliver")])
def test_what_runs_every_time_cannot_be_asked_for_anew(tiny: Line, to: Path, again: Rerun) -> None:
    with pytest.raises(ConfigurationError) as error:
        tiny.run(line(to), again)
    assert (
        str(error.value)
        == "configuration: deliver runs every time\n  Leave it out, or name a stage whose artifact is stored."
    )
    assert not to.exists()


def test_a_resolver_is_no_stage_to_ask_for_anew(tiny: Line, tmp_path: Path) -> None:
    number = pick(value=3)
    with pytest.raises(
        ConfigurationError,
        match=r"^configuration: shelved is not a stage of this run\n  Its stages are pick, compare\.$",
    ):
        tiny.run(compare(number=number, other=shelved(number=number, shelf=tmp_path)), Rerun(frozenset({"shelved"})))


def test_a_resolver_is_looked_up_while_planning_and_its_content_counts(tiny: Line, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"

    def node() -> Node:
        number = pick(value=3)
        return compare(number=number, other=shelved(number=number, shelf=shelf))

    assert tiny.run(node()).value == 3
    assert tiny.actions(node()) == {
        "pick": "reuse: nothing changed",
        "shelved": "resolve: looked up",
        "compare": "reuse: nothing changed",
    }
    shelf.mkdir()
    (shelf / "number.txt").write_text("2", encoding="utf-8")
    assert tiny.actions(node())["compare"] == "run: other is new"
    assert tiny.run(node()).value == 1
    (shelf / "number.txt").write_text("1", encoding="utf-8")
    assert tiny.actions(node())["compare"] == "run: other changed"
