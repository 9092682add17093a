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

from components._evaluation.evaluator import EvaluationPlan
from components._evaluation.thresholds import eval_config
from components._training import saved_model
from components.evaluate import evaluate
from components.train import train
from schemas.artifacts import Best, Served, Statistics
from schemas.errors import ConfigurationError, DataError, StoreError
from schemas.gates.budget import Budget
from schemas.gates.paired import Paired
from schemas.model_input import ModelInput
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.train import Mlp, Train
from tests.components import pictures
from tests.conftest import configured, lent

ANY = Paired(margin=0.05, better="pass", equivalent="pass", worse="pass", undecided="pass")
LOW = Gates(accuracy=0.2, per_class=0.15, paired=ANY, budget=Budget(margin=0.9))
PLAIN = Evaluate(corrupted=0)
TO_SEE = Evaluate(slices=["ink", ["label", "ink"], "source/dataset"], derived={"ink": [0.09, 0.14]}, corrupted=200)


def changed(**settings):
    return Gates(**dict(LOW) | settings)


def evaluated(model, examples, run, mnist, *, baseline=None, best=None, gates=LOW, settings=PLAIN, leaked=()):
    statistics = Statistics(run.scratch, counts={})
    (run.scratch / "leaked.json").write_text(json.dumps(list(leaked)), encoding="utf-8")
    return evaluate.function(
        model, examples, statistics, baseline, best, contract=mnist, gates=gates, settings=settings, run=run
    )


def read(evaluation, name):
    return json.loads((evaluation.path / f"{name}.json").read_text(encoding="utf-8"))


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
    best = Best(worse.path, digest="b", version=4, accuracy=0.5, kept=True, same_test=True)
    return evaluated(
        model, few, lent(tmp_path_factory.mktemp("compared")), mnist, baseline=worse, best=best, settings=TO_SEE
    )


@pytest.fixture(scope="module")
def plainly_compared(model, few, worse, mnist, tmp_path_factory):
    return evaluated(model, few, lent(tmp_path_factory.mktemp("plain")), mnist, baseline=worse)


@pytest.fixture(scope="module")
def alone(model, few, mnist, tmp_path_factory):
    return evaluated(model, few, lent(tmp_path_factory.mktemp("alone")), mnist)


DIGITS = ModelInput((28, 28, 1), (28, 28, 1))
PLAN = EvaluationPlan(DIGITS, 10, (("label",),), {}, (), 0.0, frozenset(), None, confidence=0.95, min_examples=30)


def predicted(evaluation, column="probabilities"):
    """(labels, probabilities) of the rows that the evaluator left."""
    rows = pq.read_table(evaluation.path / "predictions")
    return rows["label"].to_numpy(), np.stack(rows[column].to_numpy())


def by_slice(output, model):
    """{slice: {metric: value}} of a TFMA output."""
    result = tfma.load_eval_result(str(output), model_name=model)
    return {
        key: {name: next(iter(v.values())) for name, v in values[""][""].items()}
        for key, values in result.slicing_metrics
    }


def test_metrics_are_those_of_stock_tfma(plainly_compared, model, few, worse, tmp_path):
    """The same configuration, and nothing of ours but that."""
    config = eval_config(LOW, PLAN, ["candidate", "baseline"])
    paths = {"candidate": model.path / "saved_model", "baseline": worse.path}
    shared = [
        tfma.default_eval_shared_model(str(path), model_name=name, eval_config=config, include_default_metrics=False)
        for name, path in paths.items()
    ]
    source = tfxio.TFExampleRecord(
        [str(p) for _, p, _ in few.shards("test")], raw_record_column_name=tfma.ARROW_INPUT_COLUMN
    )
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(shared, config, output_path=str(tmp_path / "stock"))
        )
    for name in paths:
        ours, stock = by_slice(plainly_compared.path / "tfma", name), by_slice(tmp_path / "stock", name)
        assert ours.keys() == stock.keys()
        assert len(ours) == 11
        for key, metrics in stock.items():
            assert ours[key].keys() == metrics.keys()
            for metric, value in metrics.items():
                assert ours[key][metric] == pytest.approx(value, abs=1e-6), (name, key, metric)
    verdicts = [tfma.load_validation_result(str(path)) for path in (plainly_compared.path / "tfma", tmp_path / "stock")]
    assert verdicts[0].validation_ok == verdicts[1].validation_ok


@pytest.mark.parametrize(("name", "column"), [("candidate", "probabilities"), ("baseline", "probabilities_baseline")])
def test_metrics_are_those_of_scikit_learn(name, column, compared):
    labels, probabilities = predicted(compared, column)
    found = json.loads((compared.path / "metrics.json").read_text(encoding="utf-8"))[name]
    answers = probabilities.argmax(1)
    assert found["overall"]["count"] == len(labels) == 400
    assert found["overall"]["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, answers), abs=1e-6)
    normal = probabilities.astype(np.float64) / probabilities.sum(1, keepdims=True, dtype=np.float64)
    assert found["overall"]["loss"] == pytest.approx(
        sklearn.metrics.log_loss(labels, normal, labels=range(10)), abs=1e-6
    )
    assert found["confusion"] == sklearn.metrics.confusion_matrix(labels, answers, labels=range(10)).tolist()
    one_hot = np.eye(10)[labels]
    assert found["overall"]["brier"] == pytest.approx(
        ((probabilities.astype(np.float64) - one_hot) ** 2).sum(1).mean(), abs=1e-6
    )
    assert found["overall"]["ece"] == pytest.approx(
        calibration_error(labels, probabilities.astype(np.float64)), abs=1e-6
    )
    recalls = sklearn.metrics.recall_score(labels, answers, labels=range(10), average=None)
    assert [found["slices"][f"label={k}"]["accuracy"] for k in range(10)] == pytest.approx(recalls.tolist(), abs=1e-6)
    assert [found["slices"][f"label={k}"]["count"] for k in range(10)] == np.bincount(labels, minlength=10).tolist()


def calibration_error(labels, probabilities):
    """Bin by bin, as Guo et al. (2017) write it."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, 16)
    inside = [(confidence >= low) & (confidence < high) for low, high in zip(edges, [*edges[1:-1], 2], strict=False)]
    return sum(rows.mean() * abs(right[rows].mean() - confidence[rows].mean()) for rows in inside if rows.any())


def test_the_reliability_diagram_counts_every_image_once(alone):
    labels, probabilities = predicted(alone)
    bins = read(alone, "metrics")["candidate"]["calibration"]
    assert len(bins) == 15
    assert (bins[0]["low"], bins[-1]["high"]) == (0, 1)
    counts = np.histogram(probabilities.max(1), [b["low"] for b in bins] + [1.1])[0]
    assert [b["count"] for b in bins] == counts.tolist()
    right = sum(b["count"] * b["accuracy"] for b in bins if b["count"])
    assert right == pytest.approx((probabilities.argmax(1) == labels).sum())


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
        assert len(result.slicing_metrics) == len(result.plots) >= 11
        assert tfma.load_validation_result(str(evaluation.path / "tfma")).validation_ok


def test_slices_beyond_the_label_add_up_to_the_whole(compared, few):
    metrics = read(compared, "metrics")["candidate"]
    ink = pictures.images(few, "test").mean((1, 2, 3)) / 255
    counts = {name: row["count"] for name, row in metrics["slices"].items()}
    assert counts["ink=below 0.09"] == (ink < 0.09).sum() > 0
    assert counts["ink=from 0.14"] == (ink >= 0.14).sum() > 0
    assert counts["source/dataset=mnist_sample"] == 400
    for features in ("label=", "ink="):
        assert sum(n for name, n in counts.items() if name.startswith(features) and ", " not in name) == 400
    assert list(counts)[:13] == [
        *(f"label={k}" for k in range(10)),
        "ink=below 0.09",
        "ink=0.09 to 0.14",
        "ink=from 0.14",
    ]
    crossed = {name: n for name, n in counts.items() if ", " in name}
    assert sum(crossed.values()) == 400
    labels = pictures.columns(few, "test")["label"]
    assert crossed["label=1, ink=below 0.09"] == ((labels == 1) & (ink < 0.09)).sum()


def test_corrupted_images_are_apart_from_the_test_figures(compared, plainly_compared):
    metrics, plain = (read(e, "metrics")["candidate"] for e in (compared, plainly_compared))
    assert metrics["overall"] == plain["overall"]
    assert metrics["confusion"] == plain["confusion"]
    counts = {row["count"] for row in metrics["corruptions"].values()}
    assert list(metrics["corruptions"]) == ["shift", "rotation", "noise", "blur", "contrast"]
    assert len(counts) == 1
    assert 150 < counts.pop() < 250  # of 400, every second is asked for
    assert plain["corruptions"] == {}
    assert min(row["accuracy"] for row in metrics["corruptions"].values()) < metrics["overall"]["accuracy"]


def test_images_that_leaked_are_counted_out_and_both_figures_shown(alone, model, few, mnist, lend):
    labels, probabilities = predicted(alone)
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)[:20]
    index = pictures.columns(few, "test")["source/index"][wrong].tolist()
    found = read(evaluated(model, few, lend(), mnist, leaked=index), "metrics")["candidate"]
    right = (probabilities.argmax(1) == labels).sum()
    assert found["overall"]["count"] == 380
    assert found["overall"]["accuracy"] == pytest.approx(right / 380)
    assert found["with_leaked"]["count"] == 400
    assert found["with_leaked"]["accuracy"] == pytest.approx(right / 400)
    assert read(alone, "metrics")["candidate"]["with_leaked"] is None


def test_the_comparison_is_that_of_who_was_right(compared):
    (labels, candidate), (_, baseline) = predicted(compared), predicted(compared, "probabilities_baseline")
    right, before = candidate.argmax(1) == labels, baseline.argmax(1) == labels
    paired, budget = read(compared, "comparisons")
    assert (paired["with"], paired["version"], paired["verdict"]) == ("baseline", 4, "better")
    assert [paired[k] for k in ("both", "only_candidate", "only_other", "neither")] == [
        int(n.sum()) for n in (right & before, right & ~before, before & ~right, ~right & ~before)
    ]
    assert paired["difference"] == pytest.approx(right.mean() - before.mean())
    assert (budget["with"], budget["by"], budget["margin"]) == ("best", "paired", 0.9)
    assert budget["difference"] == paired["difference"]  # the best ever served is the one that is served


def test_a_better_model_passes(alone, compared):
    for evaluation in (alone, compared):
        assert evaluation.passed
        assert evaluation.reasons == ()
    assert (alone.baseline, compared.baseline) == (None, 4)
    gates = [(g["gate"], g["slice"], g["passed"]) for g in read(alone, "gates")]
    assert gates == [("accuracy", "overall", True), *(("per_class", f"label={k}", True) for k in range(10))]
    assert {"paired", "budget"} <= {g["gate"] for g in read(compared, "gates")}


def test_accuracy_below_the_gate_refuses(alone, model, few, mnist, lend):
    found = evaluated(model, few, lend(), mnist, gates=changed(accuracy=0.999))
    assert not found.passed
    assert found.reasons == (
        f"accuracy is {alone.accuracy:.4f}; gates.accuracy requires 0.9990 ({0.999 - alone.accuracy:.4f} short)",
    )
    assert "python -m pipeline report" in found.remedy
    assert "Nothing was pushed." in found.remedy
    assert not tfma.load_validation_result(str(found.path / "tfma")).validation_ok


def test_each_kind_of_gate_refuses_by_the_evaluation_itself(compared, model, worse, few, mnist, lend):
    """TFMA's validation and ours are compared in the stage: it raises if they differ."""
    metrics = read(compared, "metrics")["candidate"]
    slices = {name: row["upper"] for name, row in metrics["slices"].items() if name.startswith("ink=")}
    worst = min(slices, key=slices.get)
    shaken = metrics["corruptions"]["noise"]["upper"]
    gates = changed(
        slices={"ink": slices[worst] + 1e-6, worst: slices[worst] + 1e-6},
        corruptions={"noise": shaken + 1e-6, "shift": 0.11},
        ece=metrics["overall"]["ece"] - 1e-6,
        brier=metrics["overall"]["brier"] - 1e-6,
    )
    found = evaluated(model, few, lend(), mnist, gates=gates, settings=TO_SEE)
    assert [g["gate"] for g in read(found, "gates") if not g["passed"]] == [
        "brier",
        "corruptions.noise",
        "ece",
        "slices.ink",
        f"slices.{worst}",
    ]


def test_a_worse_model_is_refused(compared, model, worse, few, mnist, lend):
    """The worse one as the candidate, the better one served: by comparison, by drop and by budget."""
    candidate = dataclasses.replace(model, path=worse.path.parent)
    better = Served(model.path / "saved_model", digest="d", version=9)
    best = Best(better.path, digest="b", version=9, accuracy=0.9, kept=True, same_test=True)
    gates = Gates(accuracy=0.11, per_class=0.11, min_examples=50, drop=0.01)
    found = evaluated(candidate, few, lend(), mnist, baseline=better, best=best, gates=gates)
    drop = compared.accuracy - found.accuracy
    assert drop > 0.01
    refused = {g["gate"]: g["words"] for g in read(found, "gates") if not g["passed"]}
    assert list(refused) == ["budget", "drop", "paired"]
    assert found.reasons == tuple(refused.values())
    words = f"accuracy {found.accuracy:.4f} is {drop:.4f} below the served model's {compared.accuracy:.4f}"
    words += "; gates.drop allows 0.0100"
    assert refused["drop"] == words
    assert refused["paired"].startswith(f"{100 * drop:.2f} points worse than version 9 (90 % interval -")
    assert refused["paired"].endswith("; gates.paired allows: better, equivalent")
    assert refused["budget"].endswith("; gates.budget allows a loss of 1.00 points against the best model ever served")
    assert found.baseline == 9


def test_the_best_ever_served_is_a_third_model(compared, alone, model, worse, few, mnist, lend):
    """The same model as candidate and baseline; the better one was served before."""
    candidate = dataclasses.replace(model, path=worse.path.parent)
    now = Served(worse.path, digest="now", version=9)
    best = Best(model.path / "saved_model", digest="then", version=2, accuracy=0.9, kept=True, same_test=True)
    found = evaluated(
        candidate,
        few,
        lend(),
        mnist,
        baseline=now,
        best=best,
        gates=changed(paired=ANY.model_copy(update={"margin": 0.01}), budget=Budget(), min_examples=50),
    )
    assert [g["gate"] for g in read(found, "gates") if not g["passed"]] == ["budget"]
    paired, budget = read(found, "comparisons")
    assert (paired["verdict"], paired["difference"], paired["version"]) == ("equivalent", 0, 9)
    assert budget["difference"] == pytest.approx(found.accuracy - alone.accuracy)
    assert read(found, "metrics")["best"]["overall"]["accuracy"] == alone.accuracy


def test_a_best_model_that_is_gone_is_compared_by_what_was_recorded(alone, model, few, mnist, lend, tmp_path):
    gone = Best(
        tmp_path / "gone", digest="then", version=2, accuracy=alone.accuracy + 0.011, kept=False, same_test=True
    )
    found = evaluated(
        model,
        few,
        lend(),
        mnist,
        best=gone,
        gates=changed(paired=ANY.model_copy(update={"margin": 0.01}), budget=Budget()),
    )
    before = f"{gone.accuracy:.4f}, recorded for version 2, which is no longer kept"
    allows = "gates.budget allows a loss of 1.00 points against the best model ever served"
    assert found.reasons == (f"accuracy {alone.accuracy:.4f} against {before}; {allows}",)


def test_a_class_without_test_examples_refuses(model, few, mnist, tmp_path, lend):
    kept = [
        r
        for r, label in zip(pictures.records(few, "test"), pictures.columns(few, "test")["label"], strict=True)
        if label != 8
    ]
    without_eights = dataclasses.replace(few, path=tmp_path, splits={"test": pictures.write(tmp_path, "test", kept)})
    found = evaluated(model, without_eights, lend(), mnist)
    assert not found.passed
    assert found.reasons == ("label=8 has no test examples, so gates.per_class cannot be judged",)


def test_a_model_whose_weights_are_no_numbers_is_refused(model, features, few, mnist, tmp_path, lend):
    network = keras.models.load_model(model.path / "model.keras")
    network.set_weights([np.full_like(w, math.nan) for w in network.get_weights()])
    saved_model.save(network, features, tmp_path / "model" / "saved_model")
    found = evaluated(dataclasses.replace(model, path=tmp_path / "model"), few, lend(), mnist, settings=TO_SEE)
    assert not found.passed
    assert found.reasons[0] == "overall: the model's probabilities are not numbers"


def test_a_served_model_that_cannot_be_read_stops_before_anything_is_evaluated(model, few, mnist, tmp_path, lend):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff not a model")
    run = lend()
    with pytest.raises(StoreError, match=f"the served model {tmp_path} cannot be loaded"):
        evaluated(model, few, run, mnist, baseline=Served(tmp_path, digest="x", version=1))
    assert pictures.contents(run.out) == {}


def test_a_served_model_of_another_form_is_named(model, few, mnist, tmp_path, lend):
    module = tf.Module()
    module.f = tf.function(lambda x: {"scores": 2 * x}, input_signature=[tf.TensorSpec([None, 3], name="x")])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    with pytest.raises(ConfigurationError, match="takes x and returns scores; expected are examples and probabilities"):
        evaluated(model, few, lend(), mnist, baseline=Served(tmp_path, digest="x", version=1))


def test_a_served_model_of_other_classes_is_named(model, few, lend):
    five = pictures.contract((28, 28, 1), 5)
    with pytest.raises(ConfigurationError, match="has 10 classes; the contract has 5"):
        evaluated(model, few, lend(), five, baseline=Served(model.path / "saved_model", digest="x", version=1))


def test_a_test_split_that_leaked_as_a_whole_stops_the_line(model, few, mnist, lend):
    index = pictures.columns(few, "test")["source/index"].tolist()
    with pytest.raises(DataError, match="every test image is also in train or validation"):
        evaluated(model, few, lend(), mnist, leaked=index)


def test_a_served_model_that_only_guesses_is_no_baseline(model, few, features, mnist, tmp_path, lend):
    """Its labels in another order, it is wrong on nearly all: any candidate would beat it."""
    network = keras.models.load_model(model.path / "model.keras")
    *before, kernel, bias = network.get_weights()
    network.set_weights([*before, np.roll(kernel, 1, axis=1), np.roll(bias, 1)])
    saved_model.save(network, features, tmp_path / "1")
    with pytest.raises(
        ConfigurationError,
        match="is no better than guessing on these test images: its labels differ, or their order does",
    ):
        evaluated(model, few, lend(), mnist, baseline=Served(tmp_path / "1", digest="x", version=1))


def test_probes_and_gallery_are_left_for_those_who_look(compared):
    gallery = read(compared, "gallery")
    assert len(np.load(compared.path / "gallery.npy", allow_pickle=False)) >= len(gallery["mistakes"]) > 0


def test_the_configuration_for_tfma_states_every_gate():
    gates = Gates(
        accuracy=0.9,
        per_class=0.8,
        drop=0.03125,
        ece=0.1,
        slices={"ink": 0.7, "label=2, ink": 0.6},
        corruptions={"blur": 0.5},
    )
    look = dataclasses.replace(PLAN, classes=3, slicings=(("label",), ("ink",), ("label", "ink")))
    config = eval_config(gates, look, ["candidate", "baseline", "best"])
    judged, best = config.metrics_specs
    assert (list(judged.model_names), list(best.model_names)) == (["candidate", "baseline"], ["best"])
    accuracy, upper, brier, ece = judged.metrics[:4]
    (overall,) = accuracy.per_slice_thresholds
    assert overall.threshold.value_threshold.lower_bound.value == 0.9
    assert overall.threshold.change_threshold.absolute.value == pytest.approx(-0.03125)
    floors = [
        (
            dict(t.slicing_specs[0].feature_values),
            list(t.slicing_specs[0].feature_keys),
            t.threshold.value_threshold.lower_bound.value,
        )
        for t in upper.per_slice_thresholds
    ]
    labels = [({"label": str(k)}, [], 0.8) for k in range(3)]
    assert floors == [({"corruption": "blur"}, [], 0.5), *labels, ({}, ["ink"], 0.7), ({"label": "2"}, ["ink"], 0.6)]
    assert ece.per_slice_thresholds[0].threshold.value_threshold.upper_bound.value == 0.1
    assert not brier.per_slice_thresholds
    assert not any(m.per_slice_thresholds for m in best.metrics)
    alone = eval_config(gates, look, ["candidate"]).metrics_specs[0].metrics[0]
    assert not alone.per_slice_thresholds[0].threshold.HasField("change_threshold")
