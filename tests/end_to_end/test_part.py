"""A part of the real line, as an orchestrator runs it: until a stage, then one stage alone."""

import json

import pytest

from tests.end_to_end.real_line import REACHABLE, STAGES, Line, reused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def begun(sample, data_dir, environment, tmp_path_factory):
    """A ROOT in which the line ran until train."""
    found = Line(tmp_path_factory.mktemp("part") / "root", data_dir, environment, REACHABLE)
    found.begun = found("run", "--until", "train", "--json")
    return found


def test_run_until_a_stage_prints_the_result_of_that_stage(begun):
    assert begun.begun.returncode == 0, begun.begun.stderr
    made = json.loads(begun.begun.stdout)
    assert (made["run"], made["state"], made["stage"], made["epochs"]) == (1, "partial", "train", 2)
    assert list(made["stages"])[-1] == "train"
    assert (
        made["digest"]
        == json.loads((begun.root.parent / made["path"] / "manifest.json").read_text(encoding="utf-8"))["digest"]
    )
    assert begun.versions() == []


def test_a_refused_stage_run_alone_also_refuses_the_stages_after_it(begun):
    strict = ["gates.accuracy=0.9999"]
    done = begun("run", "--only", "evaluate", "--hold", "night", sets=strict)
    assert done.returncode == 3
    assert done.stderr.split("refused: ")[1].startswith("accuracy is 0.")
    assert reused(done.stderr) == STAGES[:6]
    assert begun("run", "--only", "check_serving", "--hold", "night", sets=strict).returncode == 3
    runs = json.loads(begun("runs", "--json", "--limit", "2").stdout)
    assert [(run["state"], run["exit_code"]) for run in runs] == [("refused", 3), ("refused", 3)]


def test_a_stage_with_missing_inputs_is_not_run(begun):
    done = begun("run", "--only", "push")
    assert done.returncode == 2
    assert "configuration: push needs evaluate, which the store does not have" in done.stderr
    assert begun.versions() == []
