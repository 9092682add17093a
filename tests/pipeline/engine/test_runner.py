"""Lines that run for real, with and without Beam."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.engine.component import Node
from pipeline.engine.plan import Rerun
from pipeline.engine.runner import Beam, validated_beam
from pipeline.store import Store
from schemas.errors import ConfigurationError, DataError
from tests.pipeline.conftest import Line
from tests.pipeline.tiny_line import EVENTS, Number, double, fetch, line, parity, pick, shelved, stumble, walk_through

BY_ITSELF = """
import sys
from pathlib import Path
from pipeline.lineage import Lineage
from pipeline.engine.plan import Rerun, Planner
from pipeline.engine.runner import Beam, Execution
from pipeline.store import Store
from tests.pipeline.conftest import Watcher
from tests.pipeline.tiny_line import line

root, to = map(Path, sys.argv[1:])
store, node = Store(root), line(to)
planner = Planner.of(store, Rerun(), node)
lineage = Lineage.at(root, None)
Execution(1, node, planner, store, lineage, Beam(), Watcher()).run(planner.plan(node))
lineage.engine.dispose()
print([name for name in ("apache_beam", "tensorflow", "keras", "numpy", "pydantic") if name in sys.modules])
"""


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "to"


def test_a_line_runs_in_order_and_delivers(tiny: Line, to: Path) -> None:
    delivered = tiny.run(line(to, value=3))
    assert EVENTS == ["pick", "double", "judge", "deliver"]
    assert delivered.path == to
    assert (to / "number.txt").read_text(encoding="utf-8") == "6"
    stages = [(e["stage"], e["state"], e["why"]) for e in tiny.lineage.executions(1)]
    assert stages == [
        ("pick", "ran", "first time"),
        ("double", "ran", "first time"),
        ("judge", "ran", "first time"),
        ("deliver", "ran", "runs every time"),
    ]


def test_a_stage_that_completes_its_input_is_recorded_under_the_key_it_is_stored_at(tiny: Line, tmp_path: Path) -> None:
    def fetched() -> Node:
        number = pick(value=1)
        return fetch(found=shelved(number=number, shelf=tmp_path / "shelf"), shelf=tmp_path / "shelf")

    made = tiny.run(fetched())
    (row,) = [row for row in tiny.lineage.executions(1) if row["stage"] == "fetch"]
    assert row["key"] == made.path.name
    assert tiny.store.find("fetch", row["key"], Number) == made
    EVENTS.clear()
    assert tiny.run(fetched()) == made
    assert "fetch" not in EVENTS


def test_a_second_run_reuses_all_and_still_delivers(tiny: Line, to: Path) -> None:
    first = tiny.run(line(to, value=3))
    assert tiny.run(line(to, value=3)) == first
    assert EVENTS == ["deliver"]
    assert [(e["stage"], e["state"]) for e in tiny.lineage.executions(2)] == [
        ("pick", "reused"),
        ("double", "reused"),
        ("judge", "reused"),
        ("deliver", "ran"),
    ]


def test_where_all_is_reused_neither_beam_nor_tensorflow_is_imported(tiny: Line, to: Path) -> None:
    tiny.run(line(to))
    (to / "number.txt").unlink()
    command = [sys.executable, "-W", "error", "-c", BY_ITSELF, tiny.store.root, to]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("['pydantic']\n", "")
    assert (to / "number.txt").read_text(encoding="utf-8") == "2"


def test_an_artifact_carries_the_facts_that_its_stage_gave_it(tiny: Line) -> None:
    number = tiny.run(double(number=pick(value=21)))
    assert isinstance(number, Number)
    assert number.value == 42
    assert number.path.parent == tiny.store.root / "artifacts" / "double"
    assert tiny.store.find("double", number.path.name, Number) == number


def test_a_stage_that_makes_the_same_again_does_not_make_those_behind_it_run(tiny: Line) -> None:
    tiny.run(double(number=parity(number=pick(value=1))))
    assert tiny.run(double(number=parity(number=pick(value=3)))).value == 2
    assert EVENTS == ["pick", "parity"]
    assert ("reused", "double", "nothing changed") in tiny.watcher.lines


def test_a_bug_in_a_stage_comes_out_as_itself(tiny: Line) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        tiny.run(stumble(number=pick(value=1), over="a bug"))
    assert str(error.value) == "one stone over no stones"
    assert any(entry.name == "stumble" for entry in error.traceback)


def test_an_error_of_the_network_in_a_stage_is_not_called_an_error_of_the_store(tiny: Line) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"^nobody answers$"):
        tiny.run(stumble(number=pick(value=1), over="the network"))


def test_an_error_that_a_stage_explains_comes_out_as_itself(tiny: Line) -> None:
    with pytest.raises(DataError) as error:
        tiny.run(stumble(number=pick(value=1), over="data"))
    assert str(error.value) == "data: number 3 is damaged\n  Pick another."


def test_a_failed_stage_leaves_no_artifact_and_those_before_it_are_kept(tiny: Line) -> None:
    with pytest.raises(ZeroDivisionError):
        tiny.run(double(number=stumble(number=pick(value=1), over="a bug")))
    assert EVENTS == ["pick", "stumble"]
    assert list(tiny.store.manifests("stumble")) == []
    assert list((tiny.store.root / "staging").iterdir()) == []
    assert [(e["stage"], e["state"], e["why"]) for e in tiny.lineage.executions(1)] == [
        ("pick", "ran", "first time"),
        ("stumble", "failed", "one stone over no stones"),
    ]
    with pytest.raises(ZeroDivisionError):
        tiny.run(double(number=stumble(number=pick(value=1), over="a bug")))
    assert EVENTS == ["stumble"]


def test_scratch_survives_a_failure_and_is_gone_after_success(tiny: Line) -> None:
    node = stumble(number=pick(value=1), over="data")
    for _ in range(2):
        with pytest.raises(DataError):
            tiny.run(node)
    (scratch,) = (tiny.store.root / "scratch").glob("stumble-*")
    assert (scratch / "steps.txt").read_text(encoding="utf-8") == "a step\n" * 2
    made = tiny.run(stumble(number=pick(value=1)))
    assert made.value == 1  # another recipe begins from nothing
    assert list((tiny.store.root / "scratch").iterdir()) == [scratch]


def test_a_stage_goes_on_from_its_scratch(tiny: Line) -> None:
    node = stumble(number=pick(value=1))
    key = tiny.run(node).path.name
    left = tiny.store.scratch("stumble", key)
    (left / "steps.txt").write_text("a step\na step\n", encoding="utf-8")
    assert tiny.run(node, Rerun(frozenset({"stumble"}))).value == 3
    assert not left.exists()


def test_what_a_stage_asks_for_ahead_starts_before_its_input_is_made_and_is_closed_at_the_end(tiny: Line) -> None:
    tiny.run(walk_through(number=double(number=pick(value=1))))
    assert EVENTS == ["pick", "door opens", "double", "walk through an open door", "door closes"]


def test_what_was_started_ahead_is_closed_after_a_failure(tiny: Line) -> None:
    with pytest.raises(ZeroDivisionError):
        tiny.run(walk_through(number=stumble(number=pick(value=1), over="a bug")))
    assert EVENTS == ["pick", "door opens", "stumble", "door closes"]


def test_nothing_is_started_ahead_where_the_input_is_reused(tiny: Line) -> None:
    tiny.run(double(number=pick(value=1)))
    tiny.run(walk_through(number=double(number=pick(value=1))))
    assert EVENTS == ["walk through None"]


def test_a_stage_is_lent_what_its_inputs_were_made_from(tiny: Line, to: Path) -> None:
    tiny.run(line(to, value=3))
    stages = {e["stage"]: e for e in tiny.lineage.executions(1)}
    assert stages["double"]["facts"] == {"value": 6}
    assert Path(stages["double"]["path"]).name == stages["double"]["key"]
    manifest = json.loads((Path(stages["double"]["path"]) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["recipe"]["inputs"] == {"number": stages["pick"]["digest"]}


@pytest.mark.parametrize("runner", ["DirectRunner", "FlinkRunner"])
def test_a_runner_is_chosen_by_name(runner: str) -> None:
    assert validated_beam(runner, ["--parallelism=2"]) == Beam(runner, ("--parallelism=2",))


def test_an_argument_for_beam_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError) as error:
        validated_beam("DirectRunner", ["parallelism=2"])
    assert str(error.value) == (
        "configuration: --beam-arg parallelism=2 is not of the form --name=value\n"
        "  For example: --beam-arg=--direct_num_workers=4"
    )


def test_beam_is_told_the_parameters_of_each_method_whatever_it_is_bound_to() -> None:
    from apache_beam.transforms import core

    class Plain(core.DoFn):
        def process(self, element: str) -> None: ...

    class Timed(core.DoFn):
        def process(self, element: str, when: object = core.DoFn.TimestampParam) -> None: ...

    Beam().pipeline()
    for _ in range(2):  # inspected, and remembered
        assert core.get_function_args_defaults(Plain().process) == (["element"], [])
        assert core.get_function_args_defaults(Timed().process) == (["element", "when"], [core.DoFn.TimestampParam])
        assert core.get_function_args_defaults(Timed.process)[0] == ["self", "element", "when"]


def test_two_runs_in_one_process_on_two_roots_are_independent(tmp_path: Path, opened) -> None:
    def run(number: int) -> tuple[str, int]:
        store = Store(tmp_path / str(number))
        tiny = Line(store, opened(f"sqlite:///{store.root / 'lineage.db'}"))
        delivered = tiny.run(line(tmp_path / f"to-{number}", value=number))
        return (delivered.path / "number.txt").read_text(encoding="utf-8"), len(tiny.lineage.executions(1))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(run, range(1, 9))) == [(str(2 * number), 4) for number in range(1, 9)]
