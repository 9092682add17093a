"""Partial runs: up to a stage, or one stage alone; and inputs pinned for the next part."""

import json
from pathlib import Path

import pytest

from pipeline.engine.component import Node
from pipeline.engine.pinned import PinnedInputs
from pipeline.engine.plan import Rerun
from schemas.errors import ConfigurationError, DataError, StoreError
from tests.pipeline.command_line import gateline
from tests.pipeline.conftest import Line
from tests.pipeline.tiny_line import EVENTS, compare, double, line, lookup, pick


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "to"


def run_only(tiny: Line, node: Node, stage: str, rerun: Rerun = Rerun(), pinned: PinnedInputs | None = None) -> object:
    return tiny.run(node.up_to(stage), rerun, only=stage, pinned=pinned)


def line_with_lookup(directory: Path) -> Node:
    number = pick(value=3)
    return double(number=compare(number=number, other=lookup(number=number, directory=directory)))


def write_number(directory: Path, number: int) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "number.txt").write_text(str(number), encoding="utf-8")


def test_up_to_a_stage_runs_it_and_the_stages_before_it(tiny: Line, target: Path) -> None:
    assert tiny.run(line(target).up_to("double")).value == 2
    assert EVENTS == ["pick", "double"]


def test_up_to_an_unknown_stage_is_refused(target: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        line(target).up_to("dubble")
    assert (
        str(error.value)
        == "configuration: dubble is not a stage of this line\n  Its stages are pick, double, judge, deliver."
    )


def test_a_resolver_is_not_a_stage(tmp_path: Path) -> None:
    assert line_with_lookup(tmp_path).stages == ["pick", "compare", "double"]
    with pytest.raises(ConfigurationError, match=r"^configuration: lookup is not a stage of this line\n"):
        line_with_lookup(tmp_path).up_to("lookup")


def test_needs_lists_the_stages_before_a_stage_and_skips_resolvers(tmp_path: Path) -> None:
    assert {node.name: node.needs for node in line_with_lookup(tmp_path).walk()} == {
        "pick": [],
        "lookup": ["pick"],
        "compare": ["pick"],
        "double": ["compare"],
    }


def test_running_stage_by_stage_gives_the_result_of_the_line(tiny: Line, target: Path) -> None:
    for stage in ("pick", "double", "judge", "deliver"):
        run_only(tiny, line(target, value=3), stage)
        assert [stage] == EVENTS
    assert (target / "number.txt").read_text(encoding="utf-8") == "6"
    assert [(e["stage"], e["state"]) for e in tiny.lineage.executions(3)] == [
        ("pick", "reused"),
        ("double", "reused"),
        ("judge", "ran"),
    ]


def test_a_stage_alone_reuses_its_existing_artifact(tiny: Line, target: Path) -> None:
    tiny.run(line(target))
    assert run_only(tiny, line(target), "double").value == 2
    assert EVENTS == []


@pytest.mark.parametrize("rerun", [Rerun(frozenset({"double"})), Rerun(from_stage="double"), Rerun(no_cache=True)])
def test_a_rerun_of_a_stage_alone_runs_no_other_stage(tiny: Line, target: Path, rerun: Rerun) -> None:
    tiny.run(line(target))
    run_only(tiny, line(target), "double", rerun)
    assert EVENTS == ["double"]


@pytest.mark.parametrize("rerun", [Rerun(frozenset({"pick"})), Rerun(from_stage="pick")])
def test_a_rerun_of_a_stage_outside_the_part_is_refused(tiny: Line, target: Path, rerun: Rerun) -> None:
    with pytest.raises(ConfigurationError) as error:
        run_only(tiny, line(target), "double", rerun)
    assert str(error.value) == "configuration: pick is not a stage of this run\n  Its stages are double."


def test_a_missing_input_is_refused_with_the_command_that_makes_it(tiny: Line, target: Path) -> None:
    tiny.run(line(target))
    with pytest.raises(ConfigurationError) as error:
        run_only(tiny, line(target, factor=3), "deliver")
    assert str(error.value) == (
        "configuration: deliver needs double, which the store does not have (factor changed from 2 to 3)\n"
        "  Run python -m pipeline run --only double with the same other options first."
    )
    assert error.value.exit_code == 2
    assert EVENTS == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_gate_as_the_last_stage_refuses_the_run(tiny: Line, target: Path, alone: bool) -> None:
    tiny.run(line(target, limit=1).up_to("double"))
    for ran in (["judge"], []):  # run, then reused
        with pytest.raises(DataError) as error:
            tiny.run(line(target, limit=1).up_to("judge"), only="judge" if alone else None)
        assert str(error.value) == "data: 2 is over 1\n         which is a lot\n  Pick less."
        assert ran == EVENTS


def test_a_stage_alone_after_a_refusing_gate_is_refused(tiny: Line, target: Path) -> None:
    with pytest.raises(DataError):
        tiny.run(line(target, limit=1))
    with pytest.raises(DataError, match=r"^data: 2 is over 1"):
        run_only(tiny, line(target, limit=1), "deliver")
    assert not target.exists()


def test_without_pinned_inputs_each_run_resolves_again(tiny: Line, tmp_path: Path) -> None:
    write_number(tmp_path / "numbers", 1)
    tiny.run(line_with_lookup(tmp_path / "numbers").up_to("compare"))
    write_number(tmp_path / "numbers", 2)
    with pytest.raises(ConfigurationError, match=r"^configuration: double needs compare, .* \(other changed\)\n"):
        run_only(tiny, line_with_lookup(tmp_path / "numbers"), "double")


@pytest.mark.parametrize("before", [1, None])
def test_pinned_inputs_are_not_resolved_again(tiny: Line, tmp_path: Path, before: int | None) -> None:
    directory, pinned = tmp_path / "numbers", PinnedInputs(tiny.store.root, "night 1")
    if before:
        write_number(directory, before)
    for stage in ("pick", "compare"):
        run_only(tiny, line_with_lookup(directory), stage, pinned=pinned)
    write_number(directory, 2)
    assert run_only(tiny, line_with_lookup(directory), "double", pinned=pinned).value == 2 * (3 - (before or 0))
    assert EVENTS == ["double"]
    another = PinnedInputs(tiny.store.root, "night 2")
    assert tiny.run(line_with_lookup(directory), pinned=another).value == 2 * (3 - 2)


def test_pinned_artifacts_are_used_even_if_settings_changed(tiny: Line, target: Path) -> None:
    pinned, node = PinnedInputs(tiny.store.root, "run 1"), line(target, value=3)
    tiny.run(node.up_to("judge"))
    artifacts = {step.name: step.artifact for step in tiny.plan(node.up_to("judge"))}
    edited = line(target, value=3, factor=5, limit=1)
    with pytest.raises(ConfigurationError, match=r"^configuration: deliver needs double"):
        run_only(tiny, edited, "deliver", pinned=pinned)
    pinned.pin_all(node, artifacts)
    EVENTS.clear()
    run_only(tiny, edited, "deliver", pinned=pinned)
    assert ((target / "number.txt").read_text(encoding="utf-8"), EVENTS) == ("6", ["deliver"])
    executions = {row["stage"]: row for row in tiny.lineage.executions(tiny.lineage.run(None)["run"])}
    assert (executions["double"]["why"], executions["double"]["key"]) == ("pinned", artifacts["double"].path.name)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"name": '])
def test_a_damaged_file_of_pinned_inputs_is_refused(tiny: Line, tmp_path: Path, content: str) -> None:
    pinned, node = PinnedInputs(tiny.store.root, "night 1"), line_with_lookup(tmp_path / "numbers")
    tiny.run(node)
    pinned.path.parent.mkdir()
    pinned.path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError) as error:
        tiny.plan(node, pinned=pinned)
    assert (
        str(error.value) == f"store: {pinned.path} is damaged: it holds the pinned inputs of night 1\n"
        "  Remove it; the inputs are then looked up again."
    )


def test_planning_with_pinned_inputs_writes_nothing(tiny: Line, tmp_path: Path) -> None:
    pinned = PinnedInputs(tiny.store.root, "night 1")
    tiny.run(line_with_lookup(tmp_path / "numbers"))
    tiny.plan(line_with_lookup(tmp_path / "numbers"), pinned=pinned)
    assert not pinned.path.parent.exists()


def test_the_command_names_the_missing_input(tmp_path: Path) -> None:
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


def test_until_and_only_together_are_refused(tmp_path: Path) -> None:
    done = gateline("run", "--only", "train", "--until", "push", "--root", tmp_path / "root")
    assert (done.returncode, done.stderr) == (
        2,
        "configuration: --until push and --only train contradict each other\n  Leave one of them out.\n",
    )


def test_a_dry_run_plans_only_the_requested_part(tmp_path: Path) -> None:
    done = gateline("run", "--until", "validate", "--dry-run", "--json", "--root", tmp_path / "root")
    assert [step["stage"] for step in json.loads(done.stdout)][-1] == "validate"


def test_the_stages_command_lists_stages_and_creates_no_store(tmp_path: Path) -> None:
    done = gateline("stages", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    listed = {each["stage"]: each["after"] for each in json.loads(done.stdout)}
    assert next(iter(listed)) == "ingest"
    assert list(listed)[-1] == "push"
    assert listed["describe"] == ["ingest"]
    assert all(set(after) <= set(listed) for after in listed.values())
    assert list(tmp_path.iterdir()) == []
