"""What is served now, found while planning: the model to compare with, and the data that it was made from.

A candidate is never compared with itself. Once it is pushed, it stays compared with what it was compared with then, so
that running again on the same inputs changes nothing.
"""

from pathlib import Path

from pipeline.component import Unkeyed, component
from pipeline.serving import Shelf
from schemas.artifacts import Artifact, Model, Served, Statistics


@component(kind="resolver")
def served_data(statistics: Statistics, *, serving_dir: Unkeyed[Path], model_name: str) -> Served | None:
    """The version now served, for its data, or none."""
    return _against("describe", "served_data", statistics, Shelf(serving_dir, model_name))


@component(kind="resolver")
def baseline(model: Model, *, serving_dir: Unkeyed[Path], model_name: str) -> Served | None:
    """The version now served, for its model, or none."""
    return _against("train", "baseline", model, Shelf(serving_dir, model_name))


def _against(stage: str, resolver: str, candidate: Artifact, shelf: Shelf) -> Served | None:
    versions = shelf.versions()
    if not versions:
        return None
    stages = versions[-1].provenance["stages"]
    if stages[stage]["digest"] != candidate.digest:
        return Served(versions[-1].path, digest=versions[-1].digest, version=versions[-1].number)
    then = stages[resolver]["digest"]
    return next((Served(v.path, digest=v.digest, version=v.number) for v in versions if v.digest == then), None)
