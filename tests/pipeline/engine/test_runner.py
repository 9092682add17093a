"""Lines that run, with and without Beam."""

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
from tests.pipeline.tiny_line import EVENTS, Number, double, failing, fetch, line, lookup, parity, pick, use_prefetched

SEPARATE_PROCESS = """
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
def target(tmp_path: Path) -> Path:
    return tmp_path / "to"


def test_a_line_runs_its_stages_in_order(tiny: Line, target: Path) -> None:
    delivered = tiny.run(line(target, value=3))
    assert EVENTS == ["pick", "double", "judge", "deliver"]
    assert delivered.path == target
    assert (target / "number.txt").read_text(encoding="utf-8") == "6"
    stages = [(e["stage"], e["state"], e["why"]) for e in tiny.lineage.executions(1)]
    assert stages == [
        ("pick", "ran", "first time"),
        ("double", "ran", "first time"),
        ("judge", "ran", "first time"),
        ("deliver", "ran", "runs every time"),
    ]


def test_a_stage_that_completes_its_input_is_recorded_under_its_storage_key(tiny: Line, tmp_path: Path) -> None:
    def fetched() -> Node:
        number = pick(value=1)
        return fetch(existing=lookup(number=number, directory=tmp_path / "numbers"), directory=tmp_path / "numbers")

    artifact = tiny.run(fetched())
    (row,) = [row for row in tiny.lineage.executions(1) if row["stage"] == "fetch"]
    assert row["key"] == artifact.path.name
    assert tiny.store.find("fetch", row["key"], Number) == artifact
    EVENTS.clear()
    assert tiny.run(fetched()) == artifact
    assert "fetch" not in EVENTS


def test_a_second_run_reuses_cached_stages_and_runs_the_always_stage(tiny: Line, target: Path) -> None:
    first = tiny.run(line(target, value=3))
    assert tiny.run(line(target, value=3)) == first
    assert EVENTS == ["deliver"]
    assert [(e["stage"], e["state"]) for e in tiny.lineage.executions(2)] == [
        ("pick", "reused"),
        ("double", "reused"),
        ("judge", "reused"),
        ("deliver", "ran"),
    ]


def test_a_run_that_reuses_everything_imports_neither_beam_nor_tensorflow(tiny: Line, target: Path) -> None:
    tiny.run(line(target))
    (target / "number.txt").unlink()
    command = [sys.executable, "-W", "error", "-c", SEPARATE_PROCESS, tiny.store.root, target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("['pydantic']\n", "")
    assert (target / "number.txt").read_text(encoding="utf-8") == "2"


def test_an_artifact_has_the_facts_of_its_stage(tiny: Line) -> None:
    number = tiny.run(double(number=pick(value=21)))
    assert isinstance(number, Number)
    assert number.value == 42
    assert number.path.parent == tiny.store.root / "artifacts" / "double"
    assert tiny.store.find("double", number.path.name, Number) == number


def test_a_stage_with_an_unchanged_result_does_not_rerun_later_stages(tiny: Line) -> None:
    tiny.run(double(number=parity(number=pick(value=1))))
    assert tiny.run(double(number=parity(number=pick(value=3)))).value == 2
    assert EVENTS == ["pick", "parity"]
    assert ("reused", "double", "nothing changed") in tiny.watcher.lines


def test_an_unexpected_error_in_a_stage_propagates_unchanged(tiny: Line) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        tiny.run(failing(number=pick(value=1), cause="a bug"))
    assert str(error.value) == "a bug in a stage"
    assert any(entry.name == "failing" for entry in error.traceback)


def test_a_network_error_in_a_stage_is_not_a_store_error(tiny: Line) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"^connection refused$"):
        tiny.run(failing(number=pick(value=1), cause="the network"))


def test_a_gateline_error_in_a_stage_propagates_unchanged(tiny: Line) -> None:
    with pytest.raises(DataError) as error:
        tiny.run(failing(number=pick(value=1), cause="data"))
    assert str(error.value) == "data: number 3 is damaged\n  Pick another."


def test_a_failed_stage_leaves_no_artifact_and_earlier_ones_are_kept(tiny: Line) -> None:
    with pytest.raises(ZeroDivisionError):
        tiny.run(double(number=failing(number=pick(value=1), cause="a bug")))
    assert EVENTS == ["pick", "failing"]
    assert list(tiny.store.manifests("failing")) == []
    assert list((tiny.store.root / "staging").iterdir()) == []
    assert [(e["stage"], e["state"], e["why"]) for e in tiny.lineage.executions(1)] == [
        ("pick", "ran", "first time"),
        ("failing", "failed", "a bug in a stage"),
    ]
    with pytest.raises(ZeroDivisionError):
        tiny.run(double(number=failing(number=pick(value=1), cause="a bug")))
    assert EVENTS == ["failing"]


def test_scratch_survives_a_failure_and_is_removed_after_success(tiny: Line) -> None:
    node = failing(number=pick(value=1), cause="data")
    for _ in range(2):
        with pytest.raises(DataError):
            tiny.run(node)
    (scratch,) = (tiny.store.root / "scratch").glob("failing-*")
    assert (scratch / "steps.txt").read_text(encoding="utf-8") == "a step\n" * 2
    artifact = tiny.run(failing(number=pick(value=1)))
    assert artifact.value == 1  # another recipe has its own scratch directory
    assert list((tiny.store.root / "scratch").iterdir()) == [scratch]


def test_a_stage_resumes_from_its_scratch(tiny: Line) -> None:
    node = failing(number=pick(value=1))
    key = tiny.run(node).path.name
    scratch = tiny.store.scratch("failing", key)
    (scratch / "steps.txt").write_text("a step\na step\n", encoding="utf-8")
    assert tiny.run(node, Rerun(frozenset({"failing"}))).value == 3
    assert not scratch.exists()


def test_a_prefetch_starts_before_the_input_is_made_and_is_closed_at_the_end(tiny: Line) -> None:
    tiny.run(use_prefetched(number=double(number=pick(value=1))))
    assert EVENTS == ["pick", "connection opens", "double", "prefetched: an open connection", "connection closes"]


def test_a_prefetch_is_closed_after_a_failure(tiny: Line) -> None:
    with pytest.raises(ZeroDivisionError):
        tiny.run(use_prefetched(number=failing(number=pick(value=1), cause="a bug")))
    assert EVENTS == ["pick", "connection opens", "failing", "connection closes"]


def test_a_prefetch_is_not_started_when_the_input_is_reused(tiny: Line) -> None:
    tiny.run(double(number=pick(value=1)))
    tiny.run(use_prefetched(number=double(number=pick(value=1))))
    assert EVENTS == ["prefetched: None"]


def test_executions_record_facts_and_inputs(tiny: Line, target: Path) -> None:
    tiny.run(line(target, value=3))
    stages = {e["stage"]: e for e in tiny.lineage.executions(1)}
    assert stages["double"]["facts"] == {"value": 6}
    assert Path(stages["double"]["path"]).name == stages["double"]["key"]
    manifest = json.loads((Path(stages["double"]["path"]) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["recipe"]["inputs"] == {"number": stages["pick"]["digest"]}


@pytest.mark.parametrize("runner", ["DirectRunner", "FlinkRunner"])
def test_a_runner_is_selected_by_name(runner: str) -> None:
    assert validated_beam(runner, ["--parallelism=2"]) == Beam(runner, ("--parallelism=2",))


def test_a_malformed_beam_argument_is_refused() -> None:
    with pytest.raises(ConfigurationError) as error:
        validated_beam("DirectRunner", ["parallelism=2"])
    assert str(error.value) == (
        "configuration: --beam-arg parallelism=2 is not of the form --name=value\n"
        "  For example: --beam-arg=--direct_num_workers=4"
    )


def test_beam_inspects_bound_and_unbound_methods_correctly() -> None:
    from apache_beam.transforms import core

    class Plain(core.DoFn):
        def process(self, element: str) -> None: ...

    class Timed(core.DoFn):
        def process(self, element: str, when: object = core.DoFn.TimestampParam) -> None: ...

    Beam().pipeline()
    for _ in range(2):  # inspected, then cached
        assert core.get_function_args_defaults(Plain().process) == (["element"], [])
        assert core.get_function_args_defaults(Timed().process) == (["element", "when"], [core.DoFn.TimestampParam])
        assert core.get_function_args_defaults(Timed.process)[0] == ["self", "element", "when"]


def test_concurrent_runs_on_different_roots_are_independent(tmp_path: Path, open_lineage) -> None:
    def run(number: int) -> tuple[str, int]:
        store = Store(tmp_path / str(number))
        tiny = Line(store, open_lineage(f"sqlite:///{store.root / 'lineage.db'}"))
        delivered = tiny.run(line(tmp_path / f"to-{number}", value=number))
        return (delivered.path / "number.txt").read_text(encoding="utf-8"), len(tiny.lineage.executions(1))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(run, range(1, 9))) == [(str(2 * number), 4) for number in range(1, 9)]
