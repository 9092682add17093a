"""The served model and its data, looked up while planning.

A candidate is never compared with itself. After the push it keeps the comparison of that time, so that another run
on the same inputs changes nothing.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.engine.component import Unkeyed, component
from pipeline.serving import PROVENANCE, ModelDirectory, Version
from schemas import files
from schemas.artifacts import Artifact, Best, Collected, Examples, Features, Model, Served, Statistics
from schemas.contract import Contract
from schemas.errors import ConfigurationError, StoreError


@component(kind="resolver")
def served_data(
    statistics: Statistics,
    *,
    contract: Contract,
    directory: Unkeyed[ModelDirectory],
    kinds: Unkeyed[Mapping[str, type[Artifact]]],
) -> Served | None:
    """The served version, for its data, or None. `kinds`: the type of artifact that each stage makes.

    Raises:
        ConfigurationError: the served model takes images of another size, or its classes or their order differ.
        StoreError: it was altered since it was pushed.
    """
    latest = directory.latest()
    if latest is None:
        return None
    with _readable(latest):
        stages = latest.provenance["stages"]
        facts = _last(Features, stages, kinds)["facts"]
        same = statistics.digest == _last(Statistics, stages, kinds)["digest"]
        served, expected = _accepted(facts), _expected_description(contract)
        labels = list(latest.provenance.get("labels") or ())
    if served != expected:
        cause = f"{latest.path} serves {served}; {contract.name} says {expected}"
        raise ConfigurationError(cause, "Name another push.model.")
    for label, name in enumerate(labels):
        if (
            name in contract.names and (now := contract.names.index(name)) != label
        ):  # another name for a label is harmless
            cause = f"{name} is label {label} of {latest.path}; {contract.name} says that it is label {now}"
            raise ConfigurationError(cause, "Fix the schema, or name another push.model.")
    return _then(served_data.name, directory) if same else _now(latest)


def _last(made: type[Artifact], stages: dict[str, Any], kinds: Mapping[str, type[Artifact]]) -> dict[str, Any]:
    """What a version states of the last stage that made this type of artifact."""
    names = [name for name in stages if issubclass(kinds.get(name, Artifact), made)]
    if not names:
        raise KeyError(made.__name__)
    origin: dict[str, Any] = stages[names[-1]]
    return origin


def _accepted(facts: dict[str, Any]) -> str:
    """The images that a version takes, by the facts of its features. Version 0.1 states no `model_input`."""
    raw = facts["model_input"]["raw"] if facts.get("model_input") else facts["shape"]
    return _images(raw, facts["classes"])


def _expected_description(contract: Contract) -> str:
    return _images(contract.largest if contract.encoding == "raw" else None, contract.classes)


def _images(raw: Sequence[int] | None, classes: int) -> str:
    return f"{'images of {}x{}x{}'.format(*raw) if raw else 'encoded images'} in {classes} classes"


@component(kind="resolver")
def served_spans(spans: Collected, *, directory: Unkeyed[ModelDirectory]) -> Served | None:
    """The served version, whose training data each span is compared with, or None."""
    return _before(served_spans.name, spans, directory)


@component(kind="resolver")
def start(features: Features, *, warm: bool, directory: Unkeyed[ModelDirectory]) -> Served | None:
    """The served version, whose weights training starts from, or None."""
    return _before(start.name, features, directory) if warm else None


@component(kind="resolver")
def baseline(model: Model, *, directory: Unkeyed[ModelDirectory]) -> Served | None:
    """The served version, for its model, or None.

    Raises:
        StoreError: it was altered since it was pushed.
    """
    latest = directory.latest()
    if latest is None:
        return None
    return _then(baseline.name, directory) if latest.identity == (model.identity or model.digest) else _now(latest)


@component(kind="resolver")
def best(model: Model, examples: Examples, *, directory: Unkeyed[ModelDirectory]) -> Best | None:
    """The most accurate version ever served, by the accuracy recorded when it was pushed, or None.

    Accuracies compare only on the same test images. Versions measured on them come first, then kept versions, which can
    be measured again. So a new test split starts with the first version that was measured on it. A version that was
    rolled back does not count.

    Raises:
        StoreError: it, or the record of it, was altered since it was pushed.
    """
    latest = directory.latest()
    itself = latest is not None and latest.identity == (model.identity or model.digest)
    best_ever = directory.best(examples.test, before=latest.origin if latest and itself else None)
    if best_ever is None:
        return None
    record, kept = best_ever
    if kept:
        kept.check()
    facts: dict[str, Any] = {
        "accuracy": record.accuracy,
        "kept": kept is not None,
        "same_test": record.test == examples.test,
    }
    # The same model has the same digest, whichever version holds it.
    digest = hashlib.sha256(json.dumps([record.model, facts]).encode()).hexdigest()
    version = kept.number if kept else record.version
    return Best(kept.path if kept else directory.path / str(version), digest=digest, version=version, **facts)


def _before(resolver: str, made: Artifact, directory: ModelDirectory) -> Served | None:
    """The served version; for the inputs that it was made from, the version that was served at that time."""
    latest = directory.latest()
    if latest is None:
        return None
    with _readable(latest):
        stages = latest.provenance["stages"]
        same = resolver in stages and stages[files.stage_of(made.path) or ""]["digest"] == made.digest
    return _then(resolver, directory) if same else _now(latest)


def _now(latest: Version) -> Served:
    """The served version, after a check of its files."""
    latest.check()
    test = str(latest.provenance.get("test", ""))
    return Served(latest.path, digest=latest.digest, version=latest.number, test=test)


def _then(resolver: str, directory: ModelDirectory) -> Served | None:
    """The version that the served one was compared with when it was pushed, if it still exists."""
    versions = directory.versions()
    with _readable(versions[-1]):
        then = versions[-1].provenance["stages"][resolver]["digest"]
    version = next((v for v in reversed(versions) if v.digest == then), None)
    return _now(version) if version else None


@contextlib.contextmanager
def _readable(version: Version) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:
        cause = f"{version.path / PROVENANCE} does not state what the model was made from ({error})"
        raise StoreError(cause, "Move that version away and run again.") from None
