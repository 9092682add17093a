"""Metrics for Prometheus and a health check: `/metrics` and `/healthz` on loopback.

health = Health(root, serving_dir)
serve(health, port=9100)  # "http://127.0.0.1:9100"

Each request reads the lineage, the serving directory and the state of the schedule.
"""

import contextlib
import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from etils import epy

from pipeline.dag import outputs
from pipeline.lineage import Lineage
from pipeline.lineage.states import RunState
from pipeline.schedule import service
from pipeline.schedule.scheduler import MAX_SLEEP
from pipeline.schedule.state import FAILING, Outcome, State
from pipeline.serving import PROVENANCE, ModelDirectory
from pipeline.store import Store
from pipeline.store.recorded import artifact_of
from schemas.artifacts import DamagedFile, Evaluation
from schemas.errors import ConfigurationError, StoreError

with epy.lazy_imports():
    import prometheus_client
    from prometheus_client import core
    from prometheus_client import registry as registries

FINAL_STATES = [state for state in RunState if state is not RunState.RUNNING]
LATE = 5 * MAX_SLEEP.total_seconds()  # a scheduler that is later than this is considered to hang


@dataclass(eq=False)
class Health:
    """The health of a store and its served models. Implements the collector protocol of prometheus_client."""

    root: Path
    serving_dir: Path
    database: str | None = None
    _refusals: dict[int, list[str]] = field(default_factory=dict)  # gates by run; a cache, since refusals are final

    def __post_init__(self) -> None:
        self.lineage = Lineage.at(Store(self.root).root, self.database)

    def collect(self) -> "Iterator[core.Metric]":
        runs = self.lineage.runs()
        ended = dict.fromkeys(FINAL_STATES, 0) | Counter(str(run["state"]) for run in runs if run["finished"])
        yield _family(core.CounterMetricFamily, "gateline_runs", "Runs by outcome.", "state", ended)
        yield _family(
            core.CounterMetricFamily,
            "gateline_refusals",
            "Refusals by gate.",
            "gate",
            self._refused(runs),
        )
        if runs:
            yield from self._last(runs[0])
        if served := self.served():
            for name, text in (
                ("version", "number"),
                ("accuracy", "accuracy on the test split"),
                ("age_seconds", "age"),
            ):
                values = {model: metrics[name] for model, metrics in served.items() if metrics[name] is not None}
                yield _family(
                    core.GaugeMetricFamily, f"gateline_served_{name}", f"The served model's {text}.", "model", values
                )
        if state := State.read(service.state_path(self.root)):
            yield from _scheduled(state)

    def _last(self, run: dict[str, Any]) -> "Iterator[core.Metric]":
        outcome = {state: float(run["state"] == state) for state in RunState}
        yield _family(
            core.GaugeMetricFamily, "gateline_last_run_outcome", "1 for the outcome of the last run.", "state", outcome
        )
        yield core.GaugeMetricFamily("gateline_last_run_number", "The last run's number.", run["run"])
        if run["finished"]:
            ended = datetime.fromisoformat(run["finished"]).timestamp()
            yield core.GaugeMetricFamily(
                "gateline_last_run_finished_timestamp_seconds", "When the last run ended.", ended
            )
        seconds = {e["stage"]: e["seconds"] for e in self.lineage.executions(run["run"])}
        yield _family(
            core.GaugeMetricFamily, "gateline_stage_seconds", "Seconds of each stage of the last run.", "stage", seconds
        )

    def served(self) -> dict[str, dict[str, Any]]:
        """By model: version, accuracy in [0, 1] and age in seconds of the served version."""
        served = {}
        for path in sorted(self.serving_dir.glob("*/")):
            with contextlib.suppress(StoreError):  # not a model directory
                if (latest := ModelDirectory(self.serving_dir, path.name).latest()) and not path.name.startswith("."):
                    age = max(0.0, time.time() - (latest.path / PROVENANCE).stat().st_mtime)
                    served[path.name] = {
                        "version": latest.number,
                        "accuracy": latest.provenance.get("accuracy"),
                        "age_seconds": age,
                    }
        return served

    def _refused(self, runs: list[dict[str, Any]]) -> Counter[str]:
        for run in runs:
            if run["state"] == RunState.REFUSED and run["run"] not in self._refusals:
                self._refusals[run["run"]] = gates(self.lineage.executions(run["run"]))
        return Counter(gate for names in self._refusals.values() for gate in names)

    def report(self) -> dict[str, Any]:
        """The response of `/healthz`. `status`: "ok", "late" if the scheduler hangs, "failing" if the last run failed.

        A run that failed because of a full disk or an invalid configuration may be recorded only in the schedule.
        """
        run, state, served = self.lineage.run(None), State.read(service.state_path(self.root)), self.served()
        late = bool(state and state.next and time.time() - state.next.timestamp() > LATE)
        failing = bool(run and run["state"] in (RunState.FAILED, RunState.KILLED))
        failing |= bool(state and state.recent and state.recent[-1].outcome in FAILING)
        last = (
            {name: run[name] for name in ("run", "state", "exit_code", "started", "finished", "message")}
            if run
            else None
        )
        schedule = (
            {"next": state.next and state.next.isoformat(), "why": state.why, "last": _entry(state)} if state else None
        )
        return {
            "status": "late" if late else "failing" if failing else "ok",
            "last": last,
            "served": served,
            "schedule": schedule,
        }


def _scheduled(state: State) -> "Iterator[core.Metric]":
    if state.next:
        yield core.GaugeMetricFamily(
            "gateline_schedule_next_timestamp_seconds", "When the line runs next.", state.next.timestamp()
        )
    for last in state.recent[-1:]:
        outcome = {each: float(last.outcome == each) for each in get_args(Outcome)}
        name, text = "gateline_schedule_last_outcome", "1 for the outcome of the last tick or new span."
        yield _family(core.GaugeMetricFamily, name, text, "outcome", outcome)
        name, text = "gateline_schedule_last_timestamp_seconds", "When the last tick or new span was accounted for."
        yield core.GaugeMetricFamily(name, text, last.ended.timestamp())


def _entry(state: State) -> dict[str, Any] | None:
    """The outcome of the last tick or new span. It has a cause only here: metric labels must not be free text."""
    return (
        state.recent[-1].model_dump(mode="json", include={"outcome", "why", "cause", "ended"}) if state.recent else None
    )


def gates(executions: list[dict[str, Any]]) -> list[str]:
    """The gates that refused in a run: those of the evaluation, or the name of the stage that refused."""
    for row in reversed(executions):
        if (row["facts"] or {}).get("passed") is False:
            evaluation, names = artifact_of(row, outputs()), set()
            if isinstance(evaluation, Evaluation):
                with contextlib.suppress(DamagedFile):  # deleted from the store
                    names = {gate.gate for gate in evaluation.gates() if not gate.passed}
            return sorted(names) or [row["stage"]]
    return ["unknown"]


def serve(health: Health, port: int) -> str:
    """Serves on loopback in a daemon thread. Returns the address. Port 0: any free port.

    Raises:
        ConfigurationError: the port is in use.
    """
    registry = registries.CollectorRegistry()
    registry.register(health)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                self._respond(*_response(health, registry, self.path.partition("?")[0]))
            except Exception as error:  # a damaged store is reported
                self._respond(503, "application/json", json.dumps({"status": "unreadable", "why": str(error)}).encode())

        def _respond(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ConfigurationError(
            f"cannot serve metrics on port {port}: {error.strerror}", "Name another --metrics-port."
        ) from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def _response(health: Health, registry: "registries.CollectorRegistry", path: str) -> tuple[int, str, bytes]:
    if path == "/metrics":
        return 200, prometheus_client.CONTENT_TYPE_LATEST, prometheus_client.generate_latest(registry)
    if path == "/healthz":
        report = health.report()
        return (503 if report["status"] == "late" else 200), "application/json", json.dumps(report, indent=2).encode()
    return 404, "text/plain; charset=utf-8", b"/metrics or /healthz\n"


def _family(kind: Any, name: str, documentation: str, label: str, values: Any) -> Any:
    family = kind(name, documentation, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
