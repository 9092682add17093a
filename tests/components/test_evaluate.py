"""evaluate: TensorFlow Model Analysis on the raw test examples, and the accuracy gates."""

import dataclasses
import json
import math

import apache_beam as beam
import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.metrics
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tfx_bsl.public import tfxio

from components import _servable
from components.evaluate import eval_config, evaluate, judge
from components.train import train
from schemas.artifacts import Served
from schemas.settings import Gates, Mlp, Train
from tests.components import pictures
from tests.conftest import configured, lent

LOW = Gates(accuracy=0.2, per_class=0.01, drop=0.9)


def evaluated(model, examples, run, mnist, *, baseline=None, gates=LOW):
    return evaluate.function(model, examples, baseline, contract=mnist, gates=gates, run=run)


@pytest.fixture(scope="module")
def worse(features, tmp_path_factory):
    """A version that is served: a model of one short epoch."""
    folder = tmp_path_factory.mktemp("worse")
    settings = Train(model=Mlp(layers=[8]), epochs=1, seed=3)
    model = train.function(features, configured(features, settings, folder / "tune"), run=lent(folder / "train"))
    return Served(model.path / "saved_model", digest="d", version=4)


@pytest.fixture(scope="module")
def compared(model, few, worse, mnist, tmp_path_factory):
    """The model's evaluation with the worse one as its baseline."""
    return evaluated(model, few, lent(tmp_path_factory.mktemp("compared")), mnist, baseline=worse)


@pytest.fixture(scope="module")
def alone(model, few, mnist, tmp_path_factory):
    return evaluated(model, few, lent(tmp_path_factory.mktemp("alone")), mnist)


def predicted(evaluation, column="probabilities"):
    """(labels, probabilities) of the rows that the evaluator left."""
    rows = pq.read_table(evaluation.path / "predictions")
    return rows["label"].to_numpy(), np.stack(rows[column].to_numpy())


def by_slice(output, model):
    """{slice: {metric: value}} of a TFMA output."""
    result = tfma.load_eval_result(str(output), model_name=model)
    return {key: {name: next(iter(v.values())) for name, v in values[""][""].items()} for key, values in result.slicing_metrics}


def test_metrics_are_those_of_stock_tfma(compared, model, few, worse, tmp_path):
    """The same configuration, and nothing of ours but that."""
    config = eval_config(LOW, 10, with_baseline=True)
    paths = {"candidate": model.path / "saved_model", "baseline": worse.path}
    shared = [
        tfma.default_eval_shared_model(str(path), model_name=name, eval_config=config, include_default_metrics=False)
        for name, path in paths.items()
    ]
    source = tfxio.TFExampleRecord([str(p) for _, p, _ in few.shards("test")], raw_record_column_name=tfma.ARROW_INPUT_COLUMN)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | source.BeamSource() | tfma.ExtractEvaluateAndWriteResults(shared, config, output_path=str(tmp_path / "stock"))
    for name in paths:
        ours, stock = by_slice(compared.path / "tfma", name), by_slice(tmp_path / "stock", name)
        assert ours.keys() == stock.keys()
        assert len(ours) == 11
        for key, metrics in stock.items():
            assert ours[key].keys() == metrics.keys()
            for metric, value in metrics.items():
                assert ours[key][metric] == pytest.approx(value, abs=1e-6), (name, key, metric)
    verdicts = [tfma.load_validation_result(str(path)) for path in (compared.path / "tfma", tmp_path / "stock")]
    assert verdicts[0].validation_ok == verdicts[1].validation_ok


@pytest.mark.parametrize(("name", "column"), [("candidate", "probabilities"), ("baseline", "probabilities_baseline")])
def test_metrics_are_those_of_scikit_learn(name, column, compared):
    labels, probabilities = predicted(compared, column)
    found = json.loads((compared.path / "metrics.json").read_text())[name]
    answers = probabilities.argmax(1)
    assert found["overall"]["count"] == len(labels) == 400
    assert found["overall"]["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, answers), abs=1e-6)
    normal = probabilities.astype(np.float64) / probabilities.sum(1, keepdims=True, dtype=np.float64)
    assert found["overall"]["loss"] == pytest.approx(sklearn.metrics.log_loss(labels, normal, labels=range(10)), abs=1e-6)
    assert found["confusion"] == sklearn.metrics.confusion_matrix(labels, answers, labels=range(10)).tolist()
    recalls = sklearn.metrics.recall_score(labels, answers, labels=range(10), average=None)
    assert [found["classes"][str(k)]["accuracy"] for k in range(10)] == pytest.approx(recalls.tolist(), abs=1e-6)
    assert [found["classes"][str(k)]["count"] for k in range(10)] == np.bincount(labels, minlength=10).tolist()


def test_predictions_are_the_models_answers_in_the_order_of_the_test_split(alone, model, few):
    serve = tf.saved_model.load(str(model.path / "saved_model")).signatures["serving_default"]
    expected = serve(examples=tf.constant(pictures.records(few, "test")))["probabilities"].numpy()
    labels, probabilities = predicted(alone)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(labels, pictures.columns(few, "test")["label"])
    rows = pq.read_table(alone.path / "predictions")
    assert rows["index"].to_pylist() == pictures.columns(few, "test")["source/index"].tolist()
    assert "probabilities_baseline" not in rows.column_names


def test_probes_are_the_first_test_records_and_their_probabilities(alone, few):
    probes = list(tf.data.TFRecordDataset(str(alone.path / "probes.tfrecord")).as_numpy_iterator())
    assert probes == pictures.records(few, "test")[:32]
    np.testing.assert_array_equal(np.load(alone.path / "probes.npy"), predicted(alone)[1][:32])


def test_tfma_reads_its_output(alone, compared):
    for evaluation, model in ((alone, None), (compared, "candidate"), (compared, "baseline")):
        result = tfma.load_eval_result(str(evaluation.path / "tfma"), **({"model_name": model} if model else {}))
        assert len(result.slicing_metrics) == 11
        assert len(result.plots) == 11
        assert tfma.load_validation_result(str(evaluation.path / "tfma")).validation_ok


def test_a_good_model_passes(alone, compared):
    for evaluation in (alone, compared):
        assert evaluation.passed
        assert evaluation.reasons == ()
    assert (alone.baseline, compared.baseline) == (None, 4)
    gates = [(g["gate"], g["slice"], g["passed"]) for g in json.loads((alone.path / "gates.json").read_text())]
    assert gates == [("accuracy", "overall", True), *(("per_class", f"class {k}", True) for k in range(10))]
    assert [g["gate"] for g in json.loads((compared.path / "gates.json").read_text())][:2] == ["accuracy", "drop"]


def test_accuracy_below_the_gate_refuses(alone, model, few, mnist, lend):
    found = evaluated(model, few, lend(), mnist, gates=Gates(accuracy=0.999, per_class=0.01, drop=0.1))
    assert not found.passed
    assert found.reasons == (f"accuracy is {alone.accuracy:.4f}; gates.accuracy asks for 0.9990, {0.999 - alone.accuracy:.4f} more",)
    assert "python -m pipeline report" in found.remedy
    assert "Nothing was pushed." in found.remedy
    assert not tfma.load_validation_result(str(found.path / "tfma")).validation_ok


def test_a_class_below_the_gate_refuses_and_is_named(alone, model, few, mnist, lend):
    classes = json.loads((alone.path / "metrics.json").read_text())["candidate"]["classes"]
    floor = sorted(row["accuracy"] for row in classes.values())[1]  # all but the worst reach it
    worst = min(classes, key=lambda k: classes[k]["accuracy"])
    assert classes[worst]["accuracy"] < floor
    found = evaluated(model, few, lend(), mnist, gates=Gates(accuracy=0.2, per_class=floor, drop=0.1))
    came = classes[worst]["accuracy"]
    assert found.reasons == (f"accuracy on class {worst} is {came:.4f}; gates.per_class asks for {floor:.4f}, {floor - came:.4f} more",)


def test_a_drop_against_the_served_model_refuses(compared, model, worse, few, mnist, lend):
    """The worse one as the candidate, the better one served."""
    candidate = dataclasses.replace(model, path=worse.path.parent)
    better = Served(model.path / "saved_model", digest="d", version=9)
    found = evaluated(candidate, few, lend(), mnist, baseline=better, gates=Gates(accuracy=0.01, per_class=1e-9, drop=0.01))
    drop = compared.accuracy - found.accuracy
    assert drop > 0.01
    assert not found.passed
    words = f"accuracy {found.accuracy:.4f} is {drop:.4f} below the served model's {compared.accuracy:.4f}; gates.drop allows 0.0100"
    assert words in found.reasons
    assert found.baseline == 9


def test_a_class_without_test_examples_refuses(model, few, mnist, tmp_path, lend):
    kept = [r for r, label in zip(pictures.records(few, "test"), pictures.columns(few, "test")["label"], strict=True) if label != 8]
    without_eights = dataclasses.replace(few, path=tmp_path, splits={"test": pictures.write(tmp_path, "test", kept)})
    found = evaluated(model, without_eights, lend(), mnist)
    assert not found.passed
    assert found.reasons == ("class 8 has no test examples, so gates.per_class cannot be judged",)


def test_a_model_whose_weights_are_no_numbers_is_refused(model, features, few, mnist, tmp_path, lend):
    network = keras.models.load_model(model.path / "model.keras")
    network.set_weights([np.full_like(w, math.nan) for w in network.get_weights()])
    _servable.save(network, features, tmp_path / "model" / "saved_model")
    found = evaluated(dataclasses.replace(model, path=tmp_path / "model"), few, lend(), mnist)
    assert not found.passed
    assert found.reasons[0] == "overall: the model's probabilities are not numbers"


def metrics(accuracy, *, loss=0.1, classes=None, before=None):
    row = {"count": 10, "accuracy": accuracy, "loss": loss}
    candidate = {"overall": row, "classes": classes or {"0": row, "1": row}}
    return {"candidate": candidate} | ({"baseline": {"overall": {"count": 10, "accuracy": before, "loss": 0.1}}} if before else {})


GATES = Gates(accuracy=0.9, per_class=0.8, drop=0.03125)


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (metrics(0.9), []),
        (metrics(0.8999), ["accuracy"]),
        (metrics(math.nan), ["accuracy", "per_class", "per_class"]),
        (metrics(0.95, loss=math.nan), ["accuracy", "per_class", "per_class"]),
        (metrics(0.95, loss=math.inf), ["accuracy", "per_class", "per_class"]),
        (metrics(0.9375, before=0.96875), []),
        (metrics(0.9375, before=0.9688), ["drop"]),
        (metrics(math.nan, before=0.97), ["accuracy", "drop", "per_class", "per_class"]),
        (metrics(0.95, before=math.nan), ["drop"]),
        (metrics(0.95, classes={"0": {"count": 1, "accuracy": 0.8, "loss": 0.1}}), ["per_class"]),
        (metrics(0.95, classes={"0": {"count": 1, "accuracy": 0.79, "loss": 0.1}}), ["per_class", "per_class"]),
    ],
)
def test_each_gate_refuses_what_lies_beyond_its_bound_and_nothing_else(given, refused):
    found = judge(GATES, 2, given)
    assert sorted(gate.gate for gate in found if not gate.passed) == refused


def test_the_configuration_for_tfma_states_every_gate():
    config = eval_config(GATES, 3, with_baseline=True)
    (spec,) = config.metrics_specs
    accuracy = next(m for m in spec.metrics if m.class_name == "SparseCategoricalAccuracy")
    overall, *classes = accuracy.per_slice_thresholds
    assert overall.threshold.value_threshold.lower_bound.value == 0.9
    assert overall.threshold.change_threshold.absolute.value == pytest.approx(-0.03125)
    assert [dict(c.slicing_specs[0].feature_values) for c in classes] == [{"label": "0"}, {"label": "1"}, {"label": "2"}]
    assert {c.threshold.value_threshold.lower_bound.value for c in classes} == {0.8}
    alone = eval_config(GATES, 3, with_baseline=False).metrics_specs[0].metrics[0]
    assert not alone.per_slice_thresholds[0].threshold.HasField("change_threshold")
