"""searched: looks up the result of a finished search while planning."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.engine.component import Unkeyed, component
from schemas import files
from schemas.artifacts import Features, Search
from schemas.errors import DataError
from schemas.settings.train import Train
from schemas.settings.tune import Tune


@component(kind="resolver")
def searched(features: Features, *, settings: Train, tuning: Tune, made_by: Unkeyed[str]) -> Search | None:
    """The last finished search on the same features with the same settings of training and search, or None.

    The limit on trials does not count. Searches are stored beside the features, by the stage `made_by`.

    Raises:
        DataError: a file of it is missing or cut short.
    """
    wanted = {"settings": settings.model_dump(mode="json"), "tuning": _without_trials(tuning.model_dump(mode="json"))}
    same = [
        (files.age(manifest), path, manifest)
        for path, manifest in _finished(features.path.parents[1] / made_by)
        if manifest["recipe"]["inputs"] == {"features": features.digest}
        and {name: _without_trials(given) for name, given in manifest["recipe"]["settings"].items()} == wanted
    ]
    if not same:
        return None
    _, path, manifest = max(same, key=lambda search: search[0])
    if wrong := files.differences(path, manifest["files"], contents=False):
        raise DataError(
            f"artifact {path}: {wrong[0]}", "Remove it, or search again with python -m pipeline tune --again."
        )
    return Search(path, digest=manifest["digest"], **manifest["facts"])


def _finished(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in folder.glob("*"):
        if manifest := files.manifest(path):
            yield path, manifest


def _without_trials(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "trials"}
