"""Wiring errors are raised when the DAG is built, before a stage runs."""

import inspect
import pickle
import re
from pathlib import Path

import pytest

from components.describe import describe
from pipeline.engine.component import Component
from schemas.errors import WiringError
from tests.pipeline.cases import cases, expected
from tests.pipeline.tiny_line import Number, compare, double, judge, line, pick


@pytest.mark.parametrize("case", cases("dags", "*.py"))
def test_a_broken_dag_is_refused_with_the_expected_message(case: Path) -> None:
    text = case.read_text(encoding="utf-8")
    here = [number for number, row in enumerate(text.splitlines(), 1) if row.endswith("# here")]
    with pytest.raises(WiringError) as error:
        exec(compile(text, str(case), "exec"), {})
    assert str(error.value) == expected(case).replace("HERE", f"{case.name}:{here[:1] and here[0]}")
    assert error.value.exit_code == 2


def test_a_call_creates_a_node_and_runs_nothing() -> None:
    node = double(number=pick(value=3))
    assert (node.name, node.settings, list(node.inputs)) == ("double", {"factor": 2}, ["number"])
    assert node.inputs["number"].settings == {"value": 3, "place": ""}


def test_walk_yields_each_node_once_after_its_inputs(tmp_path: Path) -> None:
    assert [node.name for node in line(tmp_path).walk()] == ["pick", "double", "judge", "deliver"]


def test_an_optional_input_accepts_an_artifact() -> None:
    number = pick(value=1)
    assert compare(number=number, other=double(number=number)).inputs["other"].name == "double"


def test_run_is_not_a_wiring_parameter() -> None:
    assert list(pick.parameters) == ["value", "place"]
    with pytest.raises(
        WiringError, match=re.escape("pick() has no parameter run; it takes value, place (test_component.py:")
    ):
        pick(value=1, run=None)


def test_unkeyed_settings_are_not_keyed() -> None:
    assert pick.is_keyed("value")
    assert not pick.is_keyed("place")


def test_output_and_inputs_are_read_from_the_signature() -> None:
    assert pick.output is Number
    assert judge.is_input("number")
    assert not judge.is_input("limit")


def test_the_error_names_the_line_of_the_caller() -> None:
    with pytest.raises(WiringError) as error:
        here = inspect.currentframe().f_lineno + 1
        double()
    assert str(error.value) == f"wiring: double() lacks number: Number (test_component.py:{here})."


@pytest.mark.parametrize("stage", [describe, pick], ids=lambda stage: stage.name)
def test_a_component_pickles_by_its_name(stage: Component) -> None:
    assert pickle.loads(pickle.dumps(stage)) is stage
    assert stage.name.encode() in pickle.dumps(stage)
