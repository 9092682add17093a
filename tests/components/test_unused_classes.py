"""A dataset with a gap in its label numbers, from records to a pushed model."""

import dataclasses

import numpy as np
import pytest

from components.approve import approve
from components.describe import describe
from components.push import push
from components.train import train
from components.transform import transform
from components.validate import validate
from pipeline.serving import ModelDirectory
from schemas.artifacts import WARMUP, ServingCheck
from schemas.errors import ConfigurationError
from schemas.files import digest, listing
from schemas.judgeable import SliceGates
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.push import Push
from schemas.settings.train import Mlp, Train
from schemas.settings.transform import Transform
from schemas.settings.validate import Validate
from tests.components import pictures
from tests.components.evaluations import changed, evaluated, read
from tests.conftest import configured, folder_run

USED, UNUSED = (1, 2, 4), (0, 3, 5)
CONTRACT = pictures.contract(classes=6, unused=UNUSED)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(examples, statistics, verdict, model) of pictures that have three of six labels."""
    folder = tmp_path_factory.mktemp("gap")
    splits = {}
    for seed, (split, size) in enumerate({"train": 300, "validation": 120, "test": 120}.items()):
        images, labels = pictures.pictures(size, seed=seed)
        splits[split] = images, np.array(USED)[labels]
    examples = pictures.examples(folder / "examples", **splits)
    statistics = describe.function(examples, run=folder_run(folder / "describe"))
    slice_gates = SliceGates.of(Gates(accuracy=0.9, per_class=0.5), Evaluate())
    verdict = validate.function(
        statistics, None, contract=CONTRACT, checks=Validate(), gates=slice_gates, run=folder_run(folder / "validate")
    )
    settings = Train(model=Mlp(layers=[16]), epochs=15)
    features = transform.function(
        examples, verdict, contract=CONTRACT, settings=Transform(), run=folder_run(folder / "transform")
    )
    model = train.function(features, configured(features, settings, folder / "tune"), run=folder_run(folder / "train"))
    return examples, statistics, verdict, dataclasses.replace(model, digest="m")


@pytest.mark.slow
def test_a_model_is_pushed_although_some_classes_never_occur(trained, tmp_path, new_run):
    examples, statistics, verdict, model = trained
    assert (verdict.passed, verdict.warnings) == (True, ())
    evaluation = evaluated(model, examples, new_run(), CONTRACT, gates=changed(per_class=0.5))
    gates = read(evaluation, "gates")
    assert [gate["slice"] for gate in gates if gate["gate"] == "per_class"] == [f"label={label}" for label in USED]
    assert {gate["level"] for gate in gates if gate["gate"] == "per_class"} == {"95% confidence for 3 slices together"}
    assert (evaluation.passed, evaluation.reasons) == (True, ())
    assert read(evaluation, "metrics")["candidate"]["confusion"]["classes"] == 6, "an output for each class"

    (evaluation.path / "manifest.json").write_text('{"made": "2026-01-01T00:00:00+00:00"}', encoding="utf-8")
    (tmp_path / "checked" / WARMUP).parent.mkdir(parents=True)
    (tmp_path / "checked" / WARMUP).write_bytes(b"")
    serving = ServingCheck(tmp_path / "checked", passed=True, load_seconds=0.1, latency_ms=1.0, difference=0.0)
    directory = ModelDirectory(tmp_path / "serving", "own")
    passed = {"model": model, "evaluation": evaluation, "serving": serving, "baseline": None}
    approval = approve.function(**passed, settings=Push(), decided=None, directory=directory, run=new_run())
    pushed = push.function(
        **passed, statistics=statistics, approval=approval, keep=5, directory=directory, run=new_run(lineage={"run": 1})
    )
    assert (pushed.version, pushed.new) == (1, True)
    assert digest(listing(model.path / "saved_model")) == evaluation.saved_model


def test_the_same_model_is_refused_where_the_classes_are_not_declared_unused(trained, new_run):
    examples, _, _, model = trained
    evaluation = evaluated(model, examples, new_run(), pictures.contract(classes=6), gates=changed(per_class=0.5))
    assert evaluation.reasons == tuple(
        f"label={label} has no test examples, so gates.per_class cannot be judged" for label in UNUSED
    )


def test_the_guessing_rate_counts_only_used_classes():
    gates = Gates(accuracy=0.5, per_class=0.3, paired={"margin": 0.1}, budget={"margin": 0.1})
    gates.check(range(6), Evaluate())
    with pytest.raises(ConfigurationError) as refused:
        gates.check(CONTRACT.labels, Evaluate())
    assert refused.value.cause == "gates.per_class is 0.3; guessing among 3 classes gives 0.333"


@pytest.mark.parametrize(("label", "reason"), [(3, "label 3 is declared unused"), (5, "labels are 1 to 4")])
def test_a_gate_on_an_unused_class_is_refused_before_anything_runs(label, reason):
    with pytest.raises(ConfigurationError) as refused:
        changed(accuracy=0.9, per_class=0.5, slices={f"label={label}": 0.5}, budget={"margin": 0.1}).check(
            CONTRACT.labels, Evaluate()
        )
    assert refused.value.cause == f"gates.slices names label={label}; {reason}"
