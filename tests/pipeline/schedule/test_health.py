"""Metrics and health over real HTTP on loopback."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.schedule.health import Health, serve
from pipeline.schedule.state import Entry, Outcome, State
from pipeline.store import Store
from schemas import disk
from schemas.artifacts import Evaluation, GateResult
from schemas.errors import ConfigurationError
from tests.pipeline.schedule.simulation import DAY, World, berlin_time

ROOT = Path(__file__).parents[3]


@pytest.fixture
def health(tmp_path: Path) -> Iterator[Health]:
    health = Health(Store(tmp_path / "root").root, tmp_path / "serving")
    yield health
    health.lineage.engine.dispose()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metrics(address: str) -> dict[str, float]:
    """The values by `name{label}`, read by Prometheus's own parser."""
    code, text = get(f"{address}/metrics")
    assert code == 200
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name + "".join(f"{{{value}}}" for value in sample.labels.values())] = sample.value
    return values


def run(health: Health, state: str, exit_code: int, message: str = "", *stages: tuple) -> int:
    number = health.lineage.start(profile="mnist", command="", config={})
    for stage, seconds, path, facts in stages:
        health.lineage.executed(
            number, stage, state="ran", why="", seconds=seconds, key="k", digest=stage, path=str(path), facts=facts
        )
    if state != "running":
        health.lineage.finish(number, state=state, exit_code=exit_code, message=message)
    return number


def serve_model(health: Health, version: int, accuracy: float | None, age: float) -> None:
    path = health.serving_dir / "mnist" / str(version)
    path.mkdir(parents=True)
    provenance = {"model": f"digest {version}", "run": 1} | ({"accuracy": accuracy} if accuracy else {})
    disk.write_json(path / "provenance.json", provenance)
    os.utime(path / "provenance.json", (time.time() - age,) * 2)


REFUSED = {"accuracy": 0.8, "loss": 0.5, "saved_model": "5" * 64, "passed": False}


def evaluation(folder: Path, **gates: bool) -> Path:
    folder.mkdir(parents=True)
    results = [GateResult(gate, s, "≥ 0.9", "0.8", passed, "") for gate, passed in gates.items() for s in ("a", "b")]
    Evaluation.write_results(folder, results, {}, [])
    return folder


def test_an_empty_store_is_healthy_and_has_no_model(health: Health) -> None:
    address = serve(health, 0)
    values = metrics(address)
    assert values["gateline_runs_total{pushed}"] == 0
    assert not [name for name in values if "served" in name or "last" in name]
    code, body = get(f"{address}/healthz")
    assert (code, json.loads(body)) == (200, {"status": "ok", "last": None, "served": {}, "schedule": None})


def test_metrics_cover_the_last_run_the_served_versions_and_refusals(health: Health, tmp_path: Path) -> None:
    address = serve(health, 0)
    run(health, "pushed", 0, "", ("ingest", 1.5, tmp_path, {}), ("evaluate", 2.0, tmp_path, {"passed": True}))
    serve_model(health, 3, 0.9862, age=3600)
    refused = evaluation(tmp_path / "evaluate", accuracy=False, per_class=False, budget=True)
    run(health, "refused", 3, "refused: no", ("evaluate", 1.0, refused, REFUSED))
    run(health, "refused", 4, "data: no", ("ingest", 1.0, tmp_path, {}), ("validate", 0.5, tmp_path, {"passed": False}))
    values = metrics(address)
    assert values["gateline_runs_total{pushed}"] == 1
    assert values["gateline_runs_total{refused}"] == 2
    assert values["gateline_last_run_number"] == 3
    assert [values[f"gateline_last_run_outcome{{{state}}}"] for state in ("refused", "pushed", "running")] == [1, 0, 0]
    assert values["gateline_last_run_finished_timestamp_seconds"] == pytest.approx(time.time(), abs=60)
    assert values["gateline_stage_seconds{validate}"] == 0.5
    assert "gateline_stage_seconds{evaluate}" not in values  # of the last run only
    assert values["gateline_served_version{mnist}"] == 3
    assert values["gateline_served_accuracy{mnist}"] == 0.9862
    assert values["gateline_served_age_seconds{mnist}"] == pytest.approx(3600, abs=60)
    gates = {name: value for name, value in values.items() if name.startswith("gateline_refusals_total")}
    assert gates == {f"gateline_refusals_total{{{gate}}}": 1 for gate in ("accuracy", "per_class", "validate")}
    run(health, "refused", 3, "refused: no", ("evaluate", 1.0, refused, REFUSED))
    assert metrics(address)["gateline_refusals_total{accuracy}"] == 2


def test_a_refusal_without_its_artifact_is_counted_by_stage(health: Health, tmp_path: Path) -> None:
    run(health, "refused", 3, "", ("evaluate", 1.0, tmp_path / "gone", REFUSED))
    run(health, "refused", 3, "")
    values = metrics(serve(health, 0))
    assert values["gateline_refusals_total{evaluate}"] == values["gateline_refusals_total{unknown}"] == 1


def test_metrics_cover_every_model_and_ignore_foreign_files(health: Health) -> None:
    serve_model(health, 2, 0.98, age=60)
    serve_model(health, 1, 0.97, age=90)
    (health.serving_dir / "mnist").rename(health.serving_dir / "fashion")
    serve_model(health, 5, 0.99, age=0)
    (health.serving_dir / "theirs" / "1").mkdir(parents=True)
    (health.serving_dir / "models.config").touch()
    address = serve(health, 0)
    assert {name: value for name, value in metrics(address).items() if "version" in name} == {
        "gateline_served_version{fashion}": 2,
        "gateline_served_version{mnist}": 5,
    }
    assert json.loads(get(f"{address}/healthz")[1])["served"]["fashion"]["accuracy"] == 0.98


def test_a_version_without_accuracy_has_no_accuracy_metric(health: Health) -> None:
    serve_model(health, 1, None, age=0)
    values = metrics(serve(health, 0))
    assert values["gateline_served_version{mnist}"] == 1
    assert "gateline_served_accuracy{mnist}" not in values


def test_a_run_in_progress_is_reported_as_running(health: Health) -> None:
    run(health, "running", 0)
    values = metrics(serve(health, 0))
    assert values["gateline_last_run_outcome{running}"] == 1
    assert "gateline_last_run_finished_timestamp_seconds" not in values


def test_health_is_ok_after_a_refusal_and_failing_after_a_failure(health: Health) -> None:
    address = serve(health, 0)
    run(health, "refused", 3, "refused: no")
    assert json.loads(get(f"{address}/healthz")[1])["status"] == "ok"
    run(health, "failed", 1, "error: boom")
    code, body = get(f"{address}/healthz")
    status = json.loads(body)
    assert (code, status["status"], status["last"]["message"]) == (200, "failing", "error: boom")


def test_a_hanging_scheduler_is_reported_as_late(health: Health) -> None:
    world = World(clock=berlin_time("2026-06-01 12:00")).run_until(berlin_time("2026-06-02 12:00"))
    assert world.disk
    address = serve(health, 0)
    now = berlin_time("2026-06-01 00:00").fromtimestamp(time.time(), tz=world.clock.tzinfo)
    State.model_validate({**world.disk.model_dump(), "next": now + DAY}).write(health.root / "schedule.json")
    assert get(f"{address}/healthz")[0] == 200
    assert metrics(address)["gateline_schedule_next_timestamp_seconds"] == pytest.approx((now + DAY).timestamp())
    State.model_validate({**world.disk.model_dump(), "next": now - DAY}).write(health.root / "schedule.json")
    code, body = get(f"{address}/healthz")
    assert (code, json.loads(body)["status"]) == (503, "late")


def test_health_and_metrics_report_the_last_outcome_with_its_cause(health: Health) -> None:
    address = serve(health, 0)
    begun = State.begin(None, "", "UTC", berlin_time("2026-06-01 12:00"))
    begun.write(health.root / "schedule.json")
    assert not [name for name in metrics(address) if name.startswith("gateline_schedule")]
    assert json.loads(get(f"{address}/healthz")[1])["schedule"] == {"next": None, "why": "", "last": None}
    end = berlin_time("2026-06-01 12:10")
    for outcome in ("waiting", "no drift"):
        last = Entry(tick=end, ticks=0, cause="new span span-0007", outcome=outcome, why="run 3", ended=end)
        begun.model_copy(update={"recent": (last,)}).write(health.root / "schedule.json")
        values = {name: value for name, value in metrics(address).items() if name.startswith("gateline_schedule_last")}
        assert values.pop("gateline_schedule_last_timestamp_seconds") == end.timestamp()
        assert [name for name, value in values.items() if value] == [f"gateline_schedule_last_outcome{{{outcome}}}"]
        last_entry = json.loads(get(f"{address}/healthz")[1])["schedule"]["last"]
        assert last_entry == {
            "outcome": outcome,
            "why": "run 3",
            "cause": "new span span-0007",
            "ended": "2026-06-01T10:10:00Z",
        }


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_health_is_failing_after_an_unsuccessful_scheduled_run(health: Health, outcome: Outcome) -> None:
    address, end = serve(health, 0), berlin_time("2026-06-01 12:10")
    run(health, "pushed", 0)
    last = Entry(tick=end, outcome=outcome, why="error: no space left", ended=end)
    State.begin(None, "0 3 * * *", "UTC", end).model_copy(update={"recent": (last,)}).write(
        health.root / "schedule.json"
    )
    code, body = get(f"{address}/healthz")
    assert (code, json.loads(body)["status"]) == (
        200,
        "failing" if outcome in ("failed", "configuration", "time limit") else "ok",
    )


def test_an_unreadable_store_is_reported_with_503(health: Health) -> None:
    address = serve(health, 0)
    (health.root / "schedule.json").write_text("{", encoding="utf-8")
    for path in ("metrics", "healthz"):
        code, body = get(f"{address}/{path}")
        assert code == 503
        assert "is not a schedule's state" in json.loads(body)["why"]


def test_the_address_is_loopback_and_other_paths_are_not_found(health: Health) -> None:
    address = serve(health, 0)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    assert get(f"{address}/")[0] == 404
    assert get(f"{address}/metrics?a=b")[0] == 200


def test_a_port_in_use_is_refused(health: Health) -> None:
    port = int(serve(health, 0).rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=rf"cannot serve metrics on port {port}: Address already in use"):
        serve(health, port)


def test_metrics_import_neither_tensorflow_nor_beam(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, urllib.request\nfrom pipeline.schedule.health import Health, serve\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "urllib.request.urlopen(serve(Health(root, root / 'serving'), 0) + '/metrics').read()\n"
        "print([name for name in ('tensorflow', 'apache_beam', 'numpy', 'keras') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
