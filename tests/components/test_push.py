"""push and the resolvers: a passed model is published, and later runs compare with the same version."""

import dataclasses
import json
from pathlib import Path

import pytest

from components.approve import approve
from components.push import push
from components.resolvers.served import baseline, best, served_data
from pipeline.dag import outputs
from pipeline.serving import ModelDirectory
from schemas import statistics as stats
from schemas.artifacts import WARMUP, Evaluation, Examples, GateResult, Model, ServingCheck, Statistics
from schemas.contract import Contract
from schemas.disk import remove
from schemas.errors import ConfigurationError, Refused, StoreError
from schemas.files import digest, listing
from schemas.settings.push import Push
from tests.components import pictures
from tests.pipeline.finished_run import contract_with_names

GATE = GateResult("accuracy", "overall", "≥ 0.8000", "0.9000", True, "")


@pytest.fixture
def destination(tmp_path):
    return {"directory": ModelDirectory(tmp_path / "serving", "own")}


def make_model(path, name, *, accuracy=0.9, test="these"):
    """Artifacts of a model `name`: the model, its evaluation, serving check and statistics, with fixed digests."""
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


def push_model(parts, destination, new_run, number, keep=5):
    """Runs the resolvers and then push, as the line does; the lineage contains the results of the resolvers."""
    baseline_, served_statistics = (
        baseline.function(parts["model"], **destination),
        served_data.function(parts["statistics"], contract=MNIST, kinds=outputs(), **destination),
    )
    stages = {
        "train": {"digest": parts["model"].digest},
        "describe": {"digest": parts["statistics"].digest},
        "transform": {"digest": "features", "facts": {"shape": [28, 28, 1], "classes": 10}},
        "baseline": {"digest": baseline_.digest if baseline_ else None},
        "served_data": {"digest": served_statistics.digest if served_statistics else None},
    }
    run = new_run(lineage={"run": number, "stages": stages})
    passed = {name: parts[name] for name in ("model", "evaluation", "serving")} | {"baseline": baseline_}
    approval = approve.function(**passed, settings=Push(), decided=None, **destination, run=new_run())
    version = push.function(
        **passed,
        statistics=parts["statistics"],
        approval=approval,
        keep=keep,
        labels=["cat", "dog"],
        **destination,
        run=run,
    )
    return version, baseline_, served_statistics, run


def test_the_first_push_has_no_baseline_and_creates_version_1(tmp_path, destination, new_run):
    parts = make_model(tmp_path, "a")
    version, baseline_, served_statistics, run = push_model(parts, destination, new_run, 1)
    assert (baseline_, served_statistics) == (None, None)
    assert (version.version, version.new, version.path) == (1, True, destination["directory"].path / "1")
    assert run.logged == ["version 1"]
    files = pictures.contents(version.path)
    assert files.pop("assets.extra/statistics.tfrecord") == b"the data of a"
    assert files.pop(WARMUP) == b"requests to a"
    provenance = json.loads(files.pop("provenance.json"))
    assert files == pictures.contents(parts["model"].path / "saved_model")
    assert (provenance["model"], provenance["accuracy"], provenance["run"]) == ("model-a", 0.9, 1)
    assert provenance["gates"] == [dataclasses.asdict(GATE)]
    assert provenance["labels"] == ["cat", "dog"]
    assert provenance["files"].keys() == {*files, stats.SERVED, WARMUP}


def test_a_second_model_keeps_the_first_as_baseline_after_its_push(tmp_path, destination, new_run):
    push_model(make_model(tmp_path, "a"), destination, new_run, 1)
    second = make_model(tmp_path, "b")
    version, baseline_, served_statistics, _ = push_model(second, destination, new_run, 2)
    assert (baseline_.version, served_statistics.version) == (1, 1)
    assert baseline_.path == destination["directory"].path / "1"
    assert (version.version, version.new) == (2, True)
    repeated, baseline_, served_statistics, run = push_model(second, destination, new_run, 3)
    assert (baseline_.version, served_statistics.version) == (1, 1)
    assert (repeated.version, repeated.new) == (2, False)
    assert run.logged == ["version 2 already holds this model"]
    assert sorted(p.name for p in (destination["directory"].path).iterdir() if not p.name.startswith(".")) == ["1", "2"]


def test_the_first_model_keeps_having_no_baseline(tmp_path, destination, new_run):
    first = make_model(tmp_path, "a")
    push_model(first, destination, new_run, 1)
    repeated, baseline_, served_statistics, _ = push_model(first, destination, new_run, 2)
    assert (baseline_, served_statistics, repeated.new) == (None, None, False)


def test_an_earlier_model_is_compared_with_the_newest_version(tmp_path, destination, new_run):
    first = make_model(tmp_path, "a")
    push_model(first, destination, new_run, 1)
    push_model(make_model(tmp_path, "b"), destination, new_run, 2)
    version, baseline_, _, _ = push_model(first, destination, new_run, 3)
    assert baseline_.version == 2
    assert (version.version, version.new) == (3, True)


def test_a_model_changed_after_its_evaluation_is_refused(tmp_path, destination, new_run):
    parts = make_model(tmp_path / "artifacts" / "train", "a")
    (parts["model"].path / "saved_model" / "saved_model.pb").write_text("another graph", encoding="utf-8")
    with pytest.raises(Refused) as refused:
        push_model(parts, destination, new_run, 1)
    assert (
        refused.value.cause
        == f"{parts['model'].path / 'saved_model'} is not the model that was evaluated: its digest changed"
    )
    assert refused.value.remedy == "Run again with --force train."
    assert [p for p in (destination["directory"].path).iterdir() if p.is_dir()] == []


@pytest.mark.parametrize("gate", ["evaluation", "serving"])
def test_a_refused_model_is_never_pushed(gate, tmp_path, destination, new_run):
    parts = make_model(tmp_path, "a")
    parts[gate] = dataclasses.replace(parts[gate], passed=False)
    name = type(parts[gate]).__name__
    with pytest.raises(Refused, match=f"approve received a refused {name}"):
        push_model(parts, destination, new_run, 1)
    assert not destination["directory"].root.exists()


def test_a_contract_with_another_image_size_than_the_served_model_is_refused(tmp_path, destination, new_run):
    version, *_ = push_model(make_model(tmp_path, "a"), destination, new_run, 1)
    colour = Contract("colour.pbtxt", MNIST.text.replace("{ min: 1 max: 1 }", "{ min: 3 max: 3 }"))
    with pytest.raises(ConfigurationError) as refused:
        served_data.function(make_model(tmp_path, "b")["statistics"], contract=colour, kinds=outputs(), **destination)
    assert (
        refused.value.cause
        == f"{version.path} serves images of 28x28x1 in 10 classes; colour.pbtxt says images of 28x28x3 in 10 classes"
    )
    assert refused.value.remedy == "Name another push.model."


def test_a_contract_with_another_label_order_than_the_served_model_is_refused(tmp_path, destination, new_run):
    version, *_ = push_model(make_model(tmp_path, "a"), destination, new_run, 1)
    candidate = make_model(tmp_path, "b")["statistics"]
    renamed_contract, swapped = (
        contract_with_names(("cat", "hound", *"23456789")),
        contract_with_names(("dog", "cat", *"23456789")),
    )
    assert served_data.function(candidate, contract=renamed_contract, kinds=outputs(), **destination).version == 1
    with pytest.raises(ConfigurationError) as refused:
        served_data.function(candidate, contract=swapped, kinds=outputs(), **destination)
    assert refused.value.cause == f"cat is label 0 of {version.path}; mnist.pbtxt says that it is label 1"
    assert refused.value.remedy == "Fix the schema, or name another push.model."


def test_an_altered_served_version_is_refused_as_baseline(tmp_path, destination, new_run):
    version, *_ = push_model(make_model(tmp_path, "a"), destination, new_run, 1)
    (version.path / "saved_model.pb").write_text("the graph of A", encoding="utf-8")
    with pytest.raises(StoreError) as refused:
        baseline.function(make_model(tmp_path, "b")["model"], **destination)
    altered = "saved_model.pb was altered: its SHA-256 differs from the manifest's"
    assert refused.value.cause == f"{version.path} was altered since it was pushed: {altered}"


def test_a_version_without_its_origin_is_refused(tmp_path, destination, new_run):
    version, *_ = push_model(make_model(tmp_path, "a"), destination, new_run, 1)
    (version.path / "provenance.json").write_text('{"model": "model-b", "files": {}, "stages": []}', encoding="utf-8")
    with pytest.raises(StoreError, match=r"provenance\.json does not state what the model was made from"):
        baseline.function(make_model(tmp_path, "b")["model"], **destination)


def examples(test="these"):
    return Examples(Path(), splits={}, source="own", test=test)


def best_of(parts, destination, test="these"):
    best_ = best.function(parts["model"], examples(test), **destination)
    return best_ and (best_.version, best_.accuracy, best_.kept, best_.same_test)


def test_the_best_version_is_remembered_after_its_removal(tmp_path, destination, new_run):
    assert best_of(make_model(tmp_path, "new"), destination) is None
    for number, accuracy in enumerate((0.91, 0.95, 0.93), 1):
        push_model(make_model(tmp_path, f"m{number}", accuracy=accuracy), destination, new_run, number)
    candidate = make_model(tmp_path, "c")
    assert best_of(candidate, destination) == (2, 0.95, True, True)
    remove(destination["directory"].path / "2")
    assert best_of(candidate, destination) == (2, 0.95, False, True)


def test_accuracy_on_other_test_images_counts_only_without_a_match(tmp_path, destination, new_run):
    push_model(make_model(tmp_path, "easy", accuracy=0.99, test="easy"), destination, new_run, 1)
    assert best_of(make_model(tmp_path, "c"), destination, "hard") == (1, 0.99, True, False)
    push_model(make_model(tmp_path, "d", accuracy=0.95, test="hard"), destination, new_run, 2)
    assert best_of(make_model(tmp_path, "e"), destination, "hard") == (2, 0.95, True, True)
    remove(destination["directory"].path / "1")
    assert best_of(make_model(tmp_path, "f"), destination, "third") == (2, 0.95, True, False)
    assert best_of(make_model(tmp_path, "g"), destination, "easy") == (1, 0.99, False, True)


def test_the_served_model_is_not_its_own_best(tmp_path, destination, new_run):
    push_model(make_model(tmp_path, "a", accuracy=0.91), destination, new_run, 1)
    latest = make_model(tmp_path, "b", accuracy=0.95)
    push_model(latest, destination, new_run, 2)
    assert best_of(latest, destination) == (1, 0.91, True, True)


def test_a_retrained_identical_model_is_not_pushed_or_compared_with_itself(tmp_path, destination, new_run):
    first, retrained = make_model(tmp_path, "a"), make_model(tmp_path, "a trained again")
    for parts in (first, retrained):
        parts["model"] = dataclasses.replace(parts["model"], identity="the same function")
    push_model(first, destination, new_run, 1)
    version, baseline_, _, run = push_model(retrained, destination, new_run, 2)
    assert (version.version, version.new, baseline_) == (1, False, None)
    assert best_of(retrained, destination) is None
    assert run.logged == ["version 1 already holds this model"]


def test_old_versions_are_removed_except_the_best(tmp_path, destination, new_run):
    for number, accuracy in enumerate((0.91, 0.95, 0.92, 0.93), 1):
        *_, run = push_model(
            make_model(tmp_path, f"m{number}", accuracy=accuracy), destination, new_run, number, keep=2
        )
    assert run.logged == ["version 4"]
    *_, run = push_model(make_model(tmp_path, "m5", accuracy=0.94), destination, new_run, 5, keep=2)
    assert run.logged == ["version 5, version 3 removed"]
    assert sorted(p.name for p in (destination["directory"].path).iterdir() if p.name.isdigit()) == ["2", "4", "5"]


def test_after_a_rollback_the_restored_version_is_the_baseline_and_the_rolled_back_model_is_refused(
    tmp_path, destination, new_run
):
    first, second = make_model(tmp_path, "a", accuracy=0.91), make_model(tmp_path, "b", accuracy=0.95)
    push_model(first, destination, new_run, 1)
    push_model(second, destination, new_run, 2)
    served_statistics = best.function(second["model"], examples(), **destination)
    destination["directory"].rollback(reason="slow")
    baseline_ = baseline.function(second["model"], **destination)
    assert (baseline_.version, baseline_.digest) == (3, "model-a")
    assert best.function(second["model"], examples(), **destination).digest == served_statistics.digest, (
        "otherwise the model would be evaluated again"
    )
    with pytest.raises(Refused, match="push received a refused Approval"):
        push_model(second, destination, new_run, 3)
    repeated, baseline_, _, _ = push_model(first, destination, new_run, 4)
    assert (repeated.version, repeated.new, baseline_) == (3, False, None)
    assert best_of(first, destination) is None, "a model is not its own best, in any version"
    third, baseline_, _, _ = push_model(make_model(tmp_path, "c", accuracy=0.93), destination, new_run, 5)
    assert (third.version, baseline_.version) == (4, 3)
