"""push and the resolvers: a model that passed appears in the serving directory, and stays compared with the same."""

import dataclasses
import json
from pathlib import Path

import pytest

from components.approve import approve
from components.push import push
from components.resolvers.served import baseline, best, served_data
from pipeline.serving import ModelDirectory
from schemas import statistics as stats
from schemas.artifacts import WARMUP, Evaluation, Examples, GateResult, Model, ServingCheck, Statistics
from schemas.contract import Contract
from schemas.errors import ConfigurationError, Refused, StoreError
from schemas.files import digest, listing, remove
from schemas.settings.push import Push
from tests.components import pictures
from tests.pipeline.finished_run import contract_with_names

GATE = GateResult("accuracy", "overall", "≥ 0.8000", "0.9000", True, "")


@pytest.fixture
def shelf(tmp_path):
    return {"directory": ModelDirectory(tmp_path / "serving", "own")}


def made(path, name, *, accuracy=0.9, test="these"):
    """A model called `name`, its data and its verdicts, with digests as the store would give them."""
    saved_model = path / name / "saved_model"
    saved_model.mkdir(parents=True)
    (saved_model / "saved_model.pb").write_text(f"the graph of {name}", encoding="utf-8")
    pictures.write_weights(saved_model, name)
    Evaluation.write_results(path / name, [GATE], {}, [])
    (path / name / "stats.tfrecord").write_text(f"the data of {name}", encoding="utf-8")
    (path / name / "manifest.json").write_text('{"made": "2026-01-01T00:00:00+00:00"}', encoding="utf-8")
    (path / name / "assets.extra").mkdir()
    (path / name / WARMUP).write_text(f"requests to {name}", encoding="utf-8")
    folder = path / name
    return {
        "model": Model(folder, digest=f"model-{name}", epochs=1, validation_accuracy=0.9),
        "evaluation": Evaluation(
            folder, passed=True, accuracy=accuracy, loss=0.3, saved_model=digest(listing(saved_model)), test=test
        ),
        "serving": ServingCheck(folder, passed=True, load_seconds=0.1, latency_ms=1.0, difference=0.0),
        "statistics": Statistics(folder, digest=f"data-{name}", counts={"train": 1}),
    }


MNIST = Contract.load("mnist.pbtxt")


def pushed(parts, shelf, lend, number, keep=5):
    """As the line does it: the resolvers first, and what they found stands in the lineage."""
    against, before = (
        baseline.function(parts["model"], **shelf),
        served_data.function(parts["statistics"], contract=MNIST, **shelf),
    )
    stages = {
        "train": {"digest": parts["model"].digest},
        "describe": {"digest": parts["statistics"].digest},
        "transform": {"digest": "features", "facts": {"shape": [28, 28, 1], "classes": 10}},
        "baseline": {"digest": against.digest if against else None},
        "served_data": {"digest": before.digest if before else None},
    }
    run = lend(lineage={"run": number, "stages": stages})
    passed = {name: parts[name] for name in ("model", "evaluation", "serving")} | {"baseline": against}
    approval = approve.function(**passed, settings=Push(), decided=None, **shelf, run=lend())
    version = push.function(
        **passed, statistics=parts["statistics"], approval=approval, keep=keep, labels=["cat", "dog"], **shelf, run=run
    )
    return version, against, before, run


def test_the_first_push_has_nothing_to_compare_with_and_makes_version_one(tmp_path, shelf, lend):
    parts = made(tmp_path, "a")
    version, against, before, run = pushed(parts, shelf, lend, 1)
    assert (against, before) == (None, None)
    assert (version.version, version.new, version.path) == (1, True, shelf["directory"].path / "1")
    assert run.logged == ["version 1"]
    found = pictures.contents(version.path)
    assert found.pop("assets.extra/statistics.tfrecord") == b"the data of a"
    assert found.pop(WARMUP) == b"requests to a"
    provenance = json.loads(found.pop("provenance.json"))
    assert found == pictures.contents(parts["model"].path / "saved_model")
    assert (provenance["model"], provenance["accuracy"], provenance["run"]) == ("model-a", 0.9, 1)
    assert provenance["gates"] == [dataclasses.asdict(GATE)]
    assert provenance["labels"] == ["cat", "dog"]
    assert provenance["files"].keys() == {*found, stats.SERVED, WARMUP}


def test_a_second_model_is_compared_with_the_first_and_stays_compared_with_it(tmp_path, shelf, lend):
    pushed(made(tmp_path, "a"), shelf, lend, 1)
    second = made(tmp_path, "b")
    version, against, before, _ = pushed(second, shelf, lend, 2)
    assert (against.version, before.version) == (1, 1)
    assert against.path == shelf["directory"].path / "1"
    assert (version.version, version.new) == (2, True)
    again, against, before, run = pushed(second, shelf, lend, 3)
    assert (against.version, before.version) == (1, 1)
    assert (again.version, again.new) == (2, False)
    assert run.logged == ["version 2 already holds this model"]
    assert sorted(p.name for p in (shelf["directory"].path).iterdir() if not p.name.startswith(".")) == ["1", "2"]


def test_the_first_model_stays_compared_with_nothing(tmp_path, shelf, lend):
    first = made(tmp_path, "a")
    pushed(first, shelf, lend, 1)
    again, against, before, _ = pushed(first, shelf, lend, 2)
    assert (against, before, again.new) == (None, None, False)


def test_a_model_that_was_served_before_another_is_compared_with_the_newest(tmp_path, shelf, lend):
    first = made(tmp_path, "a")
    pushed(first, shelf, lend, 1)
    pushed(made(tmp_path, "b"), shelf, lend, 2)
    version, against, _, _ = pushed(first, shelf, lend, 3)
    assert against.version == 2
    assert (version.version, version.new) == (3, True)


def test_a_model_that_changed_since_it_was_evaluated_is_refused(tmp_path, shelf, lend):
    parts = made(tmp_path, "a")
    (parts["model"].path / "saved_model" / "saved_model.pb").write_text("another graph", encoding="utf-8")
    with pytest.raises(Refused) as refused:
        pushed(parts, shelf, lend, 1)
    assert (
        refused.value.cause
        == f"{parts['model'].path / 'saved_model'} is not the model that was evaluated: its digest changed"
    )
    assert refused.value.remedy == "Run again with --force train."
    assert [p for p in (shelf["directory"].path).iterdir() if p.is_dir()] == []


@pytest.mark.parametrize("gate", ["evaluation", "serving"])
def test_a_refused_model_is_never_pushed(gate, tmp_path, shelf, lend):
    parts = made(tmp_path, "a")
    parts[gate] = dataclasses.replace(parts[gate], passed=False)
    name = type(parts[gate]).__name__
    with pytest.raises(Refused, match=f"approve received a refused {name}"):
        pushed(parts, shelf, lend, 1)
    assert not shelf["directory"].root.exists()


def test_a_model_of_other_images_is_not_what_is_served(tmp_path, shelf, lend):
    version, *_ = pushed(made(tmp_path, "a"), shelf, lend, 1)
    colour = Contract("colour.pbtxt", MNIST.text.replace("{ min: 1 max: 1 }", "{ min: 3 max: 3 }"))
    with pytest.raises(ConfigurationError) as refused:
        served_data.function(made(tmp_path, "b")["statistics"], contract=colour, **shelf)
    assert (
        refused.value.cause
        == f"{version.path} serves images of 28x28x1 in 10 classes; colour.pbtxt says images of 28x28x3 in 10 classes"
    )
    assert refused.value.remedy == "Name another push.model."


def test_a_model_of_the_same_labels_in_another_order_is_not_what_is_served(tmp_path, shelf, lend):
    version, *_ = pushed(made(tmp_path, "a"), shelf, lend, 1)
    candidate = made(tmp_path, "b")["statistics"]
    renamed, turned = (
        contract_with_names(("cat", "hound", *"23456789")),
        contract_with_names(("dog", "cat", *"23456789")),
    )
    assert served_data.function(candidate, contract=renamed, **shelf).version == 1
    with pytest.raises(ConfigurationError) as refused:
        served_data.function(candidate, contract=turned, **shelf)
    assert refused.value.cause == f"cat is label 0 of {version.path}; mnist.pbtxt says that it is label 1"
    assert refused.value.remedy == "Fix the schema, or name another push.model."


def test_a_served_version_that_was_altered_is_no_baseline(tmp_path, shelf, lend):
    version, *_ = pushed(made(tmp_path, "a"), shelf, lend, 1)
    (version.path / "saved_model.pb").write_text("the graph of A", encoding="utf-8")
    with pytest.raises(StoreError) as refused:
        baseline.function(made(tmp_path, "b")["model"], **shelf)
    altered = "saved_model.pb was altered: its SHA-256 differs from the manifest's"
    assert refused.value.cause == f"{version.path} was altered since it was pushed: {altered}"


def test_a_version_that_does_not_say_what_it_was_made_from_is_refused(tmp_path, shelf, lend):
    version, *_ = pushed(made(tmp_path, "a"), shelf, lend, 1)
    (version.path / "provenance.json").write_text('{"model": "model-b", "files": {}, "stages": []}', encoding="utf-8")
    with pytest.raises(StoreError, match=r"provenance\.json does not state what the model was made from"):
        baseline.function(made(tmp_path, "b")["model"], **shelf)


def examples(test="these"):
    return Examples(Path(), splits={}, source="own", test=test)


def best_of(parts, shelf, test="these"):
    found = best.function(parts["model"], examples(test), **shelf)
    return found and (found.version, found.accuracy, found.kept, found.same_test)


def test_the_best_ever_served_is_remembered_when_it_is_gone(tmp_path, shelf, lend):
    assert best_of(made(tmp_path, "new"), shelf) is None
    for number, accuracy in enumerate((0.91, 0.95, 0.93), 1):
        pushed(made(tmp_path, f"m{number}", accuracy=accuracy), shelf, lend, number)
    candidate = made(tmp_path, "c")
    assert best_of(candidate, shelf) == (2, 0.95, True, True)
    remove(shelf["directory"].path / "2")
    assert best_of(candidate, shelf) == (2, 0.95, False, True)


def test_accuracy_on_other_test_images_counts_only_if_nothing_else_does(tmp_path, shelf, lend):
    pushed(made(tmp_path, "easy", accuracy=0.99, test="easy"), shelf, lend, 1)
    assert best_of(made(tmp_path, "c"), shelf, "hard") == (1, 0.99, True, False)
    pushed(made(tmp_path, "d", accuracy=0.95, test="hard"), shelf, lend, 2)
    assert best_of(made(tmp_path, "e"), shelf, "hard") == (2, 0.95, True, True)
    remove(shelf["directory"].path / "1")
    assert best_of(made(tmp_path, "f"), shelf, "third") == (2, 0.95, True, False)
    assert best_of(made(tmp_path, "g"), shelf, "easy") == (1, 0.99, False, True)


def test_a_model_that_is_served_is_not_its_own_best(tmp_path, shelf, lend):
    pushed(made(tmp_path, "a", accuracy=0.91), shelf, lend, 1)
    latest = made(tmp_path, "b", accuracy=0.95)
    pushed(latest, shelf, lend, 2)
    assert best_of(latest, shelf) == (1, 0.91, True, True)


def test_the_same_model_in_other_bytes_is_neither_pushed_again_nor_compared_with_itself(tmp_path, shelf, lend):
    first, again = made(tmp_path, "a"), made(tmp_path, "a trained again")
    for parts in (first, again):
        parts["model"] = dataclasses.replace(parts["model"], identity="what it computes")
    pushed(first, shelf, lend, 1)
    version, against, _, run = pushed(again, shelf, lend, 2)
    assert (version.version, version.new, against) == (1, False, None)
    assert best_of(again, shelf) is None
    assert run.logged == ["version 1 already holds this model"]


def test_older_versions_go_but_not_the_best(tmp_path, shelf, lend):
    for number, accuracy in enumerate((0.91, 0.95, 0.92, 0.93), 1):
        *_, run = pushed(made(tmp_path, f"m{number}", accuracy=accuracy), shelf, lend, number, keep=2)
    assert run.logged == ["version 4"]
    *_, run = pushed(made(tmp_path, "m5", accuracy=0.94), shelf, lend, 5, keep=2)
    assert run.logged == ["version 5, version 3 removed"]
    assert sorted(p.name for p in (shelf["directory"].path).iterdir() if p.name.isdigit()) == ["2", "4", "5"]


def test_after_a_rollback_the_next_model_is_compared_with_what_is_served_and_the_old_one_is_refused(
    tmp_path, shelf, lend
):
    first, second = made(tmp_path, "a", accuracy=0.91), made(tmp_path, "b", accuracy=0.95)
    pushed(first, shelf, lend, 1)
    pushed(second, shelf, lend, 2)
    before = best.function(second["model"], examples(), **shelf)
    shelf["directory"].rollback(reason="slow")
    against = baseline.function(second["model"], **shelf)
    assert (against.version, against.digest) == (3, "model-a")
    assert best.function(second["model"], examples(), **shelf).digest == before.digest, "nothing is evaluated again"
    with pytest.raises(Refused, match="push received a refused Approval"):
        pushed(second, shelf, lend, 3)
    again, against, _, _ = pushed(first, shelf, lend, 4)
    assert (again.version, again.new, against) == (3, False, None)
    assert best_of(first, shelf) is None, "a model is not its own best, whatever version holds it"
    third, against, _, _ = pushed(made(tmp_path, "c", accuracy=0.93), shelf, lend, 5)
    assert (third.version, against.version) == (4, 3)
