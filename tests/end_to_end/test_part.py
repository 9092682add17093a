"""Partial runs of the real line, as an orchestrator runs them: until a stage, then one stage alone."""

import json

import pytest

from tests.end_to_end.real_line import REACHABLE, STAGES, Line, reused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def partial(sample, data_dir, environment, tmp_path_factory):
    """A line that ran until train."""
    line = Line(tmp_path_factory.mktemp("part") / "root", data_dir, environment, REACHABLE)
    line.first_run = line("run", "--until", "train", "--json")
    return line


def test_run_until_a_stage_prints_the_result_of_that_stage(partial):
    assert partial.first_run.returncode == 0, partial.first_run.stderr
    result = json.loads(partial.first_run.stdout)
    assert (result["run"], result["state"], result["stage"], result["epochs"]) == (1, "partial", "train", 2)
    assert list(result["stages"])[-1] == "train"
    assert (
        result["digest"]
        == json.loads((partial.root.parent / result["path"] / "manifest.json").read_text(encoding="utf-8"))["digest"]
    )
    assert partial.versions() == []


def test_a_refused_stage_run_alone_also_refuses_the_stages_after_it(partial):
    strict = ["gates.accuracy=0.9999"]
    done = partial("run", "--only", "evaluate", "--hold", "night", sets=strict)
    assert done.returncode == 3
    assert done.stderr.split("refused: ")[1].startswith("accuracy is 0.")
    assert reused(done.stderr) == STAGES[:6]
    assert partial("run", "--only", "check_serving", "--hold", "night", sets=strict).returncode == 3
    runs = json.loads(partial("runs", "--json", "--limit", "2").stdout)
    assert [(run["state"], run["exit_code"]) for run in runs] == [("refused", 3), ("refused", 3)]


def test_a_stage_with_missing_inputs_is_not_run(partial):
    done = partial("run", "--only", "push")
    assert done.returncode == 2
    assert "configuration: push needs evaluate, which the store does not have" in done.stderr
    assert partial.versions() == []
