"""What is served now, found while planning: the model to compare with, and the data that it was made from.

A candidate is never compared with itself. Once it is pushed, it stays compared with what it was compared with then, so
that running again on the same inputs changes nothing.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline import files
from pipeline.component import Unkeyed, component
from pipeline.serving import PROVENANCE, Shelf, Version
from schemas.artifacts import Artifact, Model, Served, Statistics
from schemas.contract import Contract
from schemas.errors import ConfigurationError, StoreError


@component(kind="resolver")
def served_data(statistics: Statistics, *, contract: Contract, serving_dir: Unkeyed[Path], model_name: str) -> Served | None:
    """The version now served, for its data, or none.

    Raises:
        ConfigurationError: it serves images of another size or other classes, so it is another model.
        StoreError: it was altered since it was pushed.
    """
    shelf = Shelf(serving_dir, model_name)
    if latest := shelf.latest():
        with _readable(latest):
            facts = latest.provenance["stages"]["transform"]["facts"]
            served, wanted = (*facts["shape"], facts["classes"]), (*contract.shape, contract.classes)
        if served != wanted:
            sizes = ["{}x{}x{} in {} classes".format(*each) for each in (served, wanted)]
            raise ConfigurationError(
                f"{latest.path} serves images of {sizes[0]}; {contract.name} says {sizes[1]}", "Name another push.model."
            )
    return _against("describe", "served_data", statistics, shelf)


@component(kind="resolver")
def baseline(model: Model, *, serving_dir: Unkeyed[Path], model_name: str) -> Served | None:
    """The version now served, for its model, or none.

    Raises:
        StoreError: it was altered since it was pushed.
    """
    return _against("train", "baseline", model, Shelf(serving_dir, model_name))


def _against(stage: str, resolver: str, candidate: Artifact, shelf: Shelf) -> Served | None:
    versions = shelf.versions()
    if not versions:
        return None
    with _readable(versions[-1]):
        stages = versions[-1].provenance["stages"]
        then = stages[resolver]["digest"] if stages[stage]["digest"] == candidate.digest else versions[-1].digest
    found = next((v for v in versions if v.digest == then), None)
    if found is None:
        return None
    if wrong := files.differences(found.path, found.provenance["files"], contents=True):
        raise StoreError(f"{found.path} was altered since it was pushed: {wrong[0]}", "Move that version away and run again.")
    return Served(found.path, digest=found.digest, version=found.number)


@contextlib.contextmanager
def _readable(version: Version) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:
        cause = f"{version.path / PROVENANCE} does not say what the model was made from ({error})"
        raise StoreError(cause, "Move that version away and run again.") from None
