"""What is served now, found while planning: the model to compare with, and the data that it was made from.

A candidate is never compared with itself. Once it is pushed, it stays compared with what it was compared with then, so
that running again on the same inputs changes nothing.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pipeline import files
from pipeline.component import Unkeyed, component
from pipeline.serving import PROVENANCE, Shelf, Version
from schemas.artifacts import Artifact, Best, Examples, Model, Served, Statistics
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


@component(kind="resolver")
def best(model: Model, examples: Examples, *, serving_dir: Unkeyed[Path], model_name: str) -> Best | None:
    """The most accurate version ever served, by what was recorded when it was pushed, or none.

    Accuracies compare only on the same test images: versions measured on them come first, then those that are kept and can be
    measured anew. So a new test split starts the count anew, from the first version that was measured on it.

    Raises:
        StoreError: it, or the record of it, was altered since it was pushed.
    """
    shelf = Shelf(serving_dir, model_name)
    history, versions = shelf.history(), {v.number: v for v in shelf.versions()}
    if versions:
        latest = versions[max(versions)]
        with _readable(latest):
            if latest.provenance["stages"]["train"]["digest"] == model.digest:
                history = [record for record in history if record["version"] < latest.number]
    same = [record for record in history if record["test"] == examples.test]
    among = same or [record for record in history if record["version"] in versions] or history
    if not among:
        return None
    found = max(among, key=lambda record: (record["accuracy"], record["version"]))
    kept = versions.get(found["version"])
    facts = {"version": found["version"], "accuracy": found["accuracy"], "kept": kept is not None, "same_test": bool(same)}
    digest = hashlib.sha256(json.dumps([found["model"], facts]).encode()).hexdigest()
    return Best(_intact(kept) if kept else shelf.path / str(found["version"]), digest=digest, **facts)


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
    return Served(_intact(found), digest=found.digest, version=found.number)


def _intact(version: Version) -> Path:
    if wrong := files.differences(version.path, version.provenance["files"], contents=True):
        raise StoreError(f"{version.path} was altered since it was pushed: {wrong[0]}", "Move that version away and run again.")
    return version.path


@contextlib.contextmanager
def _readable(version: Version) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:
        cause = f"{version.path / PROVENANCE} does not say what the model was made from ({error})"
        raise StoreError(cause, "Move that version away and run again.") from None
