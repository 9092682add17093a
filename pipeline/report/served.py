"""The models in the serving directory, and the runs that pushed them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import section
from pipeline.serving import ModelDirectory
from pipeline.store.recorded import RecordedArtifacts
from schemas.artifacts import Pushed
from schemas.errors import StoreError
from schemas.settings.push import Push
from schemas.settings.source import source_name

Json = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """A model in the serving directory. `run` is None if this store did not push it."""

    model: str
    version: int | None
    accuracy: float | None
    since: str | None
    run: int | None
    trouble: str = ""  # why it cannot be read


def served_models(
    serving_dir: Path, runs: Sequence[Json], artifacts: Mapping[int, RecordedArtifacts]
) -> Iterator[Served]:
    """The latest version of each model. `artifacts`: by the number of the run."""
    pushed = _pushed(runs, artifacts)
    folders = sorted(p.name for p in serving_dir.iterdir()) if serving_dir.is_dir() else []
    for name in folders:
        if name.startswith("."):
            continue
        try:
            latest = ModelDirectory(serving_dir, name).latest()
        except StoreError as error:
            yield Served(name, None, None, None, None, error.cause)
            continue
        if latest is not None:
            by = pushed.get((name, latest.origin, latest.digest), {})  # a rollback publishes an earlier version again
            since = latest.provenance.get("published") or by.get("finished") or by.get("started")
            yield Served(name, latest.number, latest.provenance.get("accuracy"), since, by.get("run"))


def _pushed(runs: Sequence[Json], artifacts: Mapping[int, RecordedArtifacts]) -> dict[tuple[str, int, str], Json]:
    """The run that pushed each version, by model, number and digest."""
    pushed = {}
    for run in runs:
        version = artifacts[run["run"]].last(Pushed)
        if version and version.new:
            pushed[model_of(run), version.version, version.digest] = run
    return pushed


def model_of(run: Json) -> str:
    """The name of the model that a run pushes, or would push."""
    config = run["config"]
    model = (config.get(section(Push)) or {}).get("model")
    return str(model or (source_name(config["source"]) if "source" in config else run["profile"]))
