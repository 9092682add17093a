"""States of runs and stages are named once, and each is shown."""

import ast
from pathlib import Path

import pytest
from rich.style import Style

from pipeline.lineage.states import RunState, StageState
from pipeline.report.states import RUNS, STAGE_CHIPS
from pipeline.runs.progress import MARKS

ROOT = Path(__file__).parents[2]
STATES = {*RunState, *StageState}
# The same words of other vocabularies, by the module that defines or uses them.
OTHERS = {
    "pipeline/commands/serving.py": {"pushed"},  # the head of a column
    "pipeline/engine/plan.py": {"refused"},  # an action of a plan
    "pipeline/notify/delivery.py": {"failed"},  # a state of a notification
    "pipeline/notify/events.py": {"pushed", "failed"},  # events
    "pipeline/notify/settings.py": {"pushed", "refused", "failed", "waiting"},
    "pipeline/report/history.py": {"refused"},  # verdicts of gates
    "pipeline/report/index.py": {"refused"},
    "pipeline/report/row.py": {"refused"},
    "pipeline/report/states.py": {"tuned", "drafted", "failed"},  # what the run did
    "pipeline/report/terminal.py": {"refused"},  # an action of a plan
    "pipeline/runs/approvals.py": {"approved"},  # a decision
    "pipeline/runs/progress.py": {"reused", "failed"},  # how an ended stage is marked
    "pipeline/runs/outcome.py": {"pushed"},  # a key of the command's JSON
    "pipeline/runs/tune.py": {"failed", "running"},  # states of a trial
    "pipeline/serving/listing.py": {"approved"},  # a key of the provenance
    "pipeline/schedule/child.py": {"waiting"},  # outcomes of a scheduled run
    "pipeline/schedule/scheduler.py": {"failed", "interrupted"},
    "pipeline/schedule/state.py": {"pushed", "unchanged", "waiting", "refused", "failed", "interrupted"},
}


def test_every_state_is_shown() -> None:
    assert set(RUNS) == set(RunState)
    assert set(STAGE_CHIPS) == set(MARKS) == set(StageState)
    assert all(Style.parse(each.style) and each.predicate for each in RUNS.values())
    assert {each.chip for each in RUNS.values()} == {"good", "bad", "warn", "dim"}


@pytest.mark.parametrize("suffix", ["py", "j2"])
def test_no_state_is_named_by_a_literal(suffix: str) -> None:
    found = {}
    for path in sorted((ROOT / "pipeline").rglob(f"*.{suffix}")):
        name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        literals = _literals(text) if suffix == "py" else {each for each in STATES if _is_compared(text, each)}
        if name != "pipeline/lineage/states.py" and literals & STATES - OTHERS.get(name, set()):
            found[name] = sorted(literals & STATES - OTHERS.get(name, set()))
    assert found == {}


def _literals(text: str) -> set[str]:
    constants = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def _is_compared(template: str, state: str) -> bool:
    """Whether an expression of the template compares with the state, or uses it as a key."""
    quoted = (f'"{state}"', f"'{state}'")
    return any(text in template for each in quoted for text in (f"== {each}", f"in ({each}", f"[{each}", f"{each}:"))
