"""Deletes unreachable artifacts from a store. Kept runs, served versions and pending approvals keep their artifacts.

plan = Plan.of(store, lineage, [serving_dir], keep_runs=20, kinds=outputs())
plan.artifacts     # ["train/3f9a…", ...]: these are deleted
plan.carry_out()   # under the store's lock
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.lineage import Lineage
from pipeline.lineage.states import UNFINISHED, RunState
from pipeline.serving import PROVENANCE, default_dir
from pipeline.store import Store
from pipeline.store.recorded import Kinds
from pipeline.store.verify import artifact_directories
from schemas import disk, files, places
from schemas.artifacts import Artifact, Pushed, Search
from schemas.errors import StoreError

NUMBERED = re.compile(r"run-(\d+)\D")  # reports and logs


@dataclass(frozen=True)
class Plan:
    """The files to delete, and their size."""

    store: Store
    kept: list[str] = field(default_factory=list)  # artifacts, as "<stage>/<key>"
    artifacts: list[str] = field(default_factory=list)
    scratch: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # reports, logs and pinned inputs, relative to ROOT
    bytes: int = 0

    @classmethod
    def of(
        cls, store: Store, lineage: Lineage, serving_dirs: Iterable[Path] | None, *, keep_runs: int, kinds: Kinds
    ) -> "Plan":
        """The plan that keeps the newest `keep_runs` runs. `kinds`: the type of artifact that each stage makes.

        `serving_dirs`: the serving directories in use; by default ROOT/serving and all that runs pushed to.

        Raises:
            StoreError: the inputs of a served version are unknown, or the store has runs in another lineage.
        """
        runs = [run for run in lineage.runs() if run["store"] in (store.id, "")]
        pending = (RunState.WAITING, RunState.RUNNING)
        kept_runs = [run for i, run in enumerate(runs) if i < keep_runs or run["state"] in pending]
        executions = {run["run"]: lineage.executions(run["run"]) for run in runs}
        of_kept_runs = {f"{e['stage']}/{e['key']}" for run in kept_runs for e in executions[run["run"]] if e["key"]}
        pushing, searching = _making(Pushed, kinds), _making(Search, kinds)
        pushed = [Path(e["path"]) for each in executions.values() for e in each if e["stage"] in pushing and e["path"]]
        serving = list(serving_dirs) if serving_dirs is not None else _serving_dirs(store.root, pushed)
        needed = of_kept_runs | _served(serving) | _searches(store, searching)
        existing = {f"{path.parent.name}/{path.name}": path for path in artifact_directories(store.root)}
        unfinished = any(run["state"] in UNFINISHED for run in kept_runs)
        recorded = {f"{e['stage']}/{e['key']}" for each in executions.values() for e in each if e["key"]}

        _check_lineage(runs, {name: path for name, path in existing.items() if name not in recorded}, lineage)

        def is_unreachable(name: str, needed: set[str]) -> bool:
            # A killed run may have left unrecorded artifacts that the next run continues from.
            return name not in needed and not (unfinished and name not in recorded)

        removed = {name: path for name, path in existing.items() if is_unreachable(name, needed)}
        scratch = [
            path
            for path in sorted((store.root / "scratch").iterdir())
            if is_unreachable(path.name.replace("-", "/", 1), of_kept_runs)
        ]
        others = _reports_and_logs(store.root, {run["run"] for run in runs} - {run["run"] for run in kept_runs})
        others += _old_pinned_inputs(
            store.root, min((datetime.fromisoformat(run["started"]) for run in kept_runs), default=None)
        )
        size = sum(map(_size, [*removed.values(), *scratch, *others]))
        relative = [str(path.relative_to(store.root)) for path in others]
        return cls(
            store, sorted(existing.keys() - removed.keys()), list(removed), [p.name for p in scratch], relative, size
        )

    def carry_out(self) -> None:
        """Deletes all entries, each atomically."""
        with places.explained(self.store.root, "cannot remove from"):
            for name in self.artifacts:
                self.store.discard(self.store.path(*name.split("/")))
            for name in self.scratch:
                self.store.discard(self.store.root / "scratch" / name)
            for name in self.others:
                disk.remove(self.store.root / name)

    def as_json(self) -> dict[str, Any]:
        """As JSON values, with the keys of version 0.1."""
        values = {name: getattr(self, name) for name in ("kept", "artifacts", "scratch", "bytes")}
        return {**values, "papers": self.others}


def _check_lineage(runs: list[dict[str, Any]], unknown: dict[str, Path], lineage: Lineage) -> None:
    """Raises StoreError if there are more unrecorded artifacts than unfinished runs, which may have left one each.

    The others belong to runs in another lineage.
    """
    unrecorded = [name for name, path in unknown.items() if (path / files.MANIFEST).exists()]
    if len(unrecorded) > sum(run["state"] in UNFINISHED for run in runs):
        place = lineage.engine.url.render_as_string()
        cause = f"the lineage {place} has no run that made {unrecorded[0]}" + (
            f", or {len(unrecorded) - 1} more" if len(unrecorded) > 1 else ""
        )
        raise StoreError(cause, "Name the database of this store's runs with --database.")


def _serving_dirs(root: Path, pushed: list[Path]) -> list[Path]:
    """ROOT/serving, and all directories that runs pushed to. A store may have been moved together with ROOT/serving."""
    own = default_dir(root)
    others = {path.parents[1] for path in pushed} - {own}
    for place in sorted(others):
        moved = place.name == own.name and not place.is_absolute() and str(own.resolve()).endswith(f"/{place}")
        if not (moved or place.is_dir()):
            remedy = "Mount it, or name the serving directories in use with --serving-dir."
            raise StoreError(
                f"a run pushed to {place}, which does not exist: the artifacts that its versions need are unknown",
                remedy,
            )
    return [own, *sorted(place for place in others if place.is_dir())]


def _served(serving_dirs: Iterable[Path]) -> set[str]:
    """The artifacts that served versions were made from."""
    needed = set()
    for path in (path for folder in serving_dirs for path in sorted(folder.glob(f"*/*/{PROVENANCE}"))):
        try:
            stages: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["stages"]
            needed |= {f"{stage}/{origin['key']}" for stage, origin in stages.items() if origin["key"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise StoreError(
                f"{path} cannot be read: the artifacts that this version needs are unknown",
                "Move that version away first.",
            ) from None
    return needed


def _making(made: type[Artifact], kinds: Kinds) -> set[str]:
    """The stages that make this type of artifact."""
    return {stage for stage, kind in kinds.items() if issubclass(kind, made)}


def _searches(store: Store, stages: set[str]) -> set[str]:
    """The last search of each configuration. A search takes hours, and the next run uses its result."""
    last: dict[str, str] = {}
    for manifest in (manifest for stage in sorted(stages) for manifest in store.manifests(stage)):
        settings = manifest["recipe"].get("settings", {})
        search = {**settings, "tuning": {**settings.get("tuning", {}), "trials": None}}
        configuration = json.dumps([manifest["recipe"].get("inputs"), search], sort_keys=True)
        last[configuration] = f"{manifest['stage']}/{manifest['key']}"
    return set(last.values())


def _reports_and_logs(root: Path, runs: set[int]) -> list[Path]:
    every = sorted([*root.glob("reports/run-*"), *root.glob("logs/run-*")])
    return [path for path in every if (number := NUMBERED.match(path.name)) and int(number[1]) in runs]


def _size(path: Path) -> int:
    every = [path] if path.is_symlink() or not path.is_dir() else [p for p in path.rglob("*") if not p.is_dir()]
    return sum(p.lstat().st_size for p in every)


def _old_pinned_inputs(root: Path, before: datetime | None) -> list[Path]:
    """Pinned inputs from before a time (None: all of them). Later runs look them up again."""
    every = sorted((root / "held").glob("*.json"))
    return [path for path in every if before is None or datetime.fromtimestamp(path.stat().st_mtime, UTC) < before]
