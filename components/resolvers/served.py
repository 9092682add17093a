"""What is served now, found while planning: the model to compare with, and the data that it was made from.

A candidate is never compared with itself. Once it is pushed, it stays compared with what it was compared with then, so
that running again on the same inputs changes nothing.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.engine.component import Unkeyed, component
from pipeline.serving import PROVENANCE, Shelf, Version
from schemas.artifacts import Artifact, Best, Collected, Examples, Features, Model, Served, Statistics
from schemas.contract import Contract
from schemas.errors import ConfigurationError, StoreError


@component(kind="resolver")
def served_data(
    statistics: Statistics, *, contract: Contract, serving_dir: Unkeyed[Path], model_name: str
) -> Served | None:
    """The version now served, for its data, or none.

    Raises:
        ConfigurationError: the served model takes images of another size, or its classes or their order differ.
        StoreError: it was altered since it was pushed.
    """
    shelf = Shelf(serving_dir, model_name)
    latest = shelf.latest()
    if latest is None:
        return None
    with _readable(latest):
        stages = latest.provenance["stages"]
        facts = stages["transform"]["facts"]
        same = statistics.digest == stages["mix" if "mix" in stages else "describe"]["digest"]
        served, wanted = (*facts["shape"], facts["classes"]), (*contract.shape, contract.classes)
        labels = list(latest.provenance.get("labels") or ())
    if served != wanted:
        sizes = ["{}x{}x{} in {} classes".format(*each) for each in (served, wanted)]
        raise ConfigurationError(
            f"{latest.path} serves images of {sizes[0]}; {contract.name} says {sizes[1]}", "Name another push.model."
        )
    for label, name in enumerate(labels):
        if (
            name in contract.names and (now := contract.names.index(name)) != label
        ):  # to call a label something else is no harm
            cause = f"{name} is label {label} of {latest.path}; {contract.name} says that it is label {now}"
            raise ConfigurationError(cause, "Fix the schema, or name another push.model.")
    return _then("served_data", shelf) if same else _now(latest)


@component(kind="resolver")
def served_spans(spans: Collected, *, serving_dir: Unkeyed[Path], model_name: str) -> Served | None:
    """The version now served, with whose training data each span is compared, or none."""
    return _before("served_spans", "collect", spans, Shelf(serving_dir, model_name))


@component(kind="resolver")
def start(features: Features, *, warm: bool, serving_dir: Unkeyed[Path], model_name: str) -> Served | None:
    """The version now served, from whose weights training starts, or none."""
    return _before("start", "transform", features, Shelf(serving_dir, model_name)) if warm else None


@component(kind="resolver")
def baseline(model: Model, *, serving_dir: Unkeyed[Path], model_name: str) -> Served | None:
    """The version now served, for its model, or none.

    Raises:
        StoreError: it was altered since it was pushed.
    """
    shelf = Shelf(serving_dir, model_name)
    latest = shelf.latest()
    if latest is None:
        return None
    return _then("baseline", shelf) if latest.identity == (model.identity or model.digest) else _now(latest)


@component(kind="resolver")
def best(model: Model, examples: Examples, *, serving_dir: Unkeyed[Path], model_name: str) -> Best | None:
    """The most accurate version ever served, by what was recorded when it was pushed, or none.

    Accuracies compare only on the same test images. Versions measured on them come first, then kept versions, which can
    be measured again. So a new test split starts with the first version that was measured on it. A version that was
    rolled back does not count.

    Raises:
        StoreError: it, or the record of it, was altered since it was pushed.
    """
    shelf = Shelf(serving_dir, model_name)
    latest = shelf.latest()
    itself = latest is not None and latest.identity == (model.identity or model.digest)
    found = shelf.best(examples.test, before=latest.origin if latest and itself else None)
    if found is None:
        return None
    record, kept = found
    if kept:
        kept.check()
    facts = {"accuracy": record.accuracy, "kept": kept is not None, "same_test": record.test == examples.test}
    digest = hashlib.sha256(
        json.dumps([record.model, facts]).encode()
    ).hexdigest()  # of the model, whatever version holds it now
    version = kept.number if kept else record.version
    return Best(kept.path if kept else shelf.path / str(version), digest=digest, version=version, **facts)


def _before(resolver: str, stage: str, made: Artifact, shelf: Shelf) -> Served | None:
    """What is served now; but for what it was itself made from, what stood there then."""
    latest = shelf.latest()
    if latest is None:
        return None
    with _readable(latest):
        stages = latest.provenance["stages"]
        same = resolver in stages and stages[stage]["digest"] == made.digest
    return _then(resolver, shelf) if same else _now(latest)


def _now(latest: Version) -> Served:
    """What is served now."""
    latest.check()
    return Served(latest.path, digest=latest.digest, version=latest.number)


def _then(resolver: str, shelf: Shelf) -> Served | None:
    """What the version that is served now was compared with when it was pushed, if it still stands."""
    versions = shelf.versions()
    with _readable(versions[-1]):
        then = versions[-1].provenance["stages"][resolver]["digest"]
    found = next((v for v in reversed(versions) if v.digest == then), None)
    return _now(found) if found else None


@contextlib.contextmanager
def _readable(version: Version) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:
        cause = f"{version.path / PROVENANCE} does not say what the model was made from ({error})"
        raise StoreError(cause, "Move that version away and run again.") from None
