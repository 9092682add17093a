"""The page of all runs, as HTML and JSON: served versions, history of accuracy and gates, a table of runs.

write(gather(Store(root), lineage, root / "serving"), root / "reports")["html"]
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.lineage import Lineage, now
from pipeline.lineage.states import RunState
from pipeline.report import history, messages, spans
from pipeline.report.comparisons import with_served
from pipeline.report.gates import passed_summary
from pipeline.report.html import environment, save, sentence
from pipeline.report.row import Row
from pipeline.report.served import Served, model_of, served_models
from pipeline.report.times import duration_text, local, seconds
from pipeline.runs.artifacts import StoredArtifacts
from pipeline.store import Store
from pipeline.store.recorded import RecordedArtifacts
from schemas.artifacts import Admission, Collected, Comparison, Evaluation, GateResult, Pushed, ServingCheck, Verdict
from schemas.artifacts import Gate as GateArtifact

NEWEST = 50  # runs that are shown; older ones are collapsed
Json = dict[str, Any]


@dataclass(frozen=True)
class Index:
    """The contents of the page: served models, and all runs, the newest first."""

    served: list[Served]
    rows: list[Row]
    written: str

    @property
    def headline(self) -> str:
        models = [each for each in self.served if each.version is not None]
        if not models:
            return "Nothing is served yet."
        if len(models) == 1:
            since_text = f", since {local(models[0].since)[:10]}" if models[0].since else ""
            return f"{models[0].model} serves version {models[0].version}{since_text}."
        return f"{len(models)} models are served."

    def count(self, *states: str) -> int:
        return sum(row.state in states for row in self.rows)

    def as_json(self) -> Json:
        return {"headline": self.headline} | dataclasses.asdict(self)


def gather(store: Store, lineage: Lineage, serving_dir: Path) -> Index:
    """Gathers the facts of all runs from the lineage, the store and the serving directory."""
    runs = lineage.runs()
    artifacts = {run["run"]: StoredArtifacts(store, lineage.executions(run["run"])) for run in runs}
    rows: list[Row] = []
    known: dict[str, set[str]] = {}  # by model: the spans that existed when it was last served
    for run in reversed(runs):
        spans_before = known.setdefault(model_of(run), set())
        rows.append(_row(run, artifacts[run["run"]], store, spans_before))
        collected = artifacts[run["run"]].last(Collected)
        if run["state"] in (RunState.PUSHED, RunState.UNCHANGED) and collected:
            spans_before.update(collected.spans)
    return Index(list(served_models(serving_dir, runs, artifacts)), rows[::-1], now())


def _row(run: Json, artifacts: StoredArtifacts, store: Store, known: set[str]) -> Row:
    report = store.root / "reports" / f"run-{run['run']}.html"
    gates = artifacts.read(Evaluation, Evaluation.gates) or ()
    comparisons = artifacts.read(Evaluation, Evaluation.comparisons) or ()
    evaluation, pushed = artifacts.last(Evaluation), artifacts.last(Pushed)
    evaluated, version = artifacts.row(Evaluation), pushed.version if pushed else None
    return Row(
        run=run["run"],
        profile=run["profile"],
        model=model_of(run),
        state=run["state"],
        started=run["started"],
        seconds=seconds(run),
        accuracy=evaluation.accuracy if evaluation else None,
        version=version,
        gates=_gates(artifacts, gates),
        why=_why(run, version, gates, comparisons),
        report=report.name if report.exists() else None,
        damaged=artifacts.damaged.get(evaluated["stage"], []) if evaluated else [],
        new=spans.new(spans.rows(artifacts, []), known),
    )


def _gates(artifacts: RecordedArtifacts, results: Iterable[GateResult]) -> dict[str, str]:
    """The verdict of each gate: refused if it refused any slice. Order: gates on data, evaluation, serving."""
    verdicts: dict[str, set[str]] = {}
    for gate in results:
        verdicts.setdefault(gate.gate, set()).add(gate.verdict)
    order = ("refused", "passed", "too few examples")
    of_model = {gate: next((each for each in order if each in seen), "passed") for gate, seen in verdicts.items()}
    of_data = _verdicts(artifacts, {"spans": Admission, "data": Verdict})
    return of_data | of_model | _verdicts(artifacts, {"serving": ServingCheck})


def _verdicts(artifacts: RecordedArtifacts, kinds: dict[str, type[GateArtifact]]) -> dict[str, str]:
    last = {name: artifacts.last(kind) for name, kind in kinds.items()}
    return {name: "passed" if artifact.passed else "refused" for name, artifact in last.items() if artifact}


def _why(run: Json, version: int | None, gates: Sequence[GateResult], comparisons: Sequence[Comparison]) -> str:
    if run["message"]:
        return sentence(messages.cause(run["message"]))
    if run["state"] == RunState.UNCHANGED:
        return f"Version {version} already holds this model."
    if run["state"] == RunState.PUSHED:
        served = with_served(comparisons)
        return sentence(served.message if served else passed_summary(gates, comparisons))
    return ""


def write(index: Index, folder: Path) -> dict[str, Path]:
    """Writes `index.html` and `index.json`. Returns their paths by kind. Only the SVG of `history` is not escaped."""
    page = environment()
    page.filters |= {"local": lambda moment: local(moment)[:16], "duration_text": duration_text}  # to the minute
    models = dict.fromkeys(row.model for row in index.rows if row.accuracy is not None)
    plots = {
        model: Markup(history.plot([row for row in reversed(index.rows) if row.model == model])) for model in models
    }
    texts = {
        "html": page.get_template("index.html.j2").render(index=index, plots=plots, newest=NEWEST),
        "json": json.dumps(index.as_json(), indent=2) + "\n",
    }
    return {kind: save(folder / f"index.{kind}", text) for kind, text in texts.items()}
