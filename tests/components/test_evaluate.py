"""evaluate: metrics of TensorFlow Model Analysis on the raw test examples, and the files."""

import json

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.metrics
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tfx_bsl.public import tfxio

from schemas.confusion import Confusion
from tests.components import pictures
from tests.components.evaluations import evaluated, predicted, read


def by_slice(output, model):
    """{slice: {metric: value}} of a TFMA output."""
    result = tfma.load_eval_result(str(output), model_name=model)
    return {
        key: {name: next(iter(v.values())) for name, v in values[""][""].items()}
        for key, values in result.slicing_metrics
    }


def test_metrics_equal_those_of_stock_tfma(compared_without_slices, model, few, worse_model, tmp_path):
    """TFMA's own evaluation with the same configuration."""
    config = tfma.load_eval_result(str(compared_without_slices.path / "tfma"), model_name="candidate").config
    paths = {"candidate": model.path / "saved_model", "baseline": worse_model.path}
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
        ours, stock = by_slice(compared_without_slices.path / "tfma", name), by_slice(tmp_path / "stock", name)
        assert ours.keys() == stock.keys()
        assert len(ours) == 11
        for key, metrics in stock.items():
            assert ours[key].keys() == metrics.keys()
            for metric, value in metrics.items():
                assert ours[key][metric] == pytest.approx(value, abs=1e-6), (name, key, metric)
    verdicts = [
        tfma.load_validation_result(str(path)) for path in (compared_without_slices.path / "tfma", tmp_path / "stock")
    ]
    assert verdicts[0].validation_ok == verdicts[1].validation_ok


@pytest.mark.parametrize(("name", "column"), [("candidate", "probabilities"), ("baseline", "probabilities_baseline")])
def test_metrics_equal_those_of_scikit_learn(name, column, compared):
    labels, probabilities = predicted(compared, column)
    metrics = json.loads((compared.path / "metrics.json").read_text(encoding="utf-8"))[name]
    predictions = probabilities.argmax(1)
    assert metrics["overall"]["count"] == len(labels) == 400
    assert metrics["overall"]["accuracy"] == pytest.approx(
        sklearn.metrics.accuracy_score(labels, predictions), abs=1e-6
    )
    normalized = probabilities.astype(np.float64) / probabilities.sum(1, keepdims=True, dtype=np.float64)
    assert metrics["overall"]["loss"] == pytest.approx(
        sklearn.metrics.log_loss(labels, normalized, labels=range(10)), abs=1e-6
    )
    matrix = sklearn.metrics.confusion_matrix(labels, predictions, labels=range(10)).tolist()
    assert Confusion.of(metrics["confusion"]).rows() == matrix
    assert len(metrics["confusion"]["cells"]) == sum(count > 0 for row in matrix for count in row)
    one_hot = np.eye(10)[labels]
    assert metrics["overall"]["brier"] == pytest.approx(
        ((probabilities.astype(np.float64) - one_hot) ** 2).sum(1).mean(), abs=1e-6
    )
    assert metrics["overall"]["ece"] == pytest.approx(
        calibration_error(labels, probabilities.astype(np.float64)), abs=1e-6
    )
    recalls = sklearn.metrics.recall_score(labels, predictions, labels=range(10), average=None)
    assert [metrics["slices"][f"label={k}"]["accuracy"] for k in range(10)] == pytest.approx(recalls.tolist(), abs=1e-6)
    assert [metrics["slices"][f"label={k}"]["count"] for k in range(10)] == np.bincount(labels, minlength=10).tolist()


def calibration_error(labels, probabilities):
    """The expected calibration error, bin by bin as in Guo et al. (2017)."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, 16)
    inside = [(confidence >= low) & (confidence < high) for low, high in zip(edges, [*edges[1:-1], 2], strict=False)]
    return sum(rows.mean() * abs(correct[rows].mean() - confidence[rows].mean()) for rows in inside if rows.any())


def test_the_reliability_diagram_counts_every_image_once(evaluated_alone):
    labels, probabilities = predicted(evaluated_alone)
    bins = read(evaluated_alone, "metrics")["candidate"]["calibration"]
    assert len(bins) == 15
    assert (bins[0]["low"], bins[-1]["high"]) == (0, 1)
    counts = np.histogram(probabilities.max(1), [b["low"] for b in bins] + [1.1])[0]
    assert [b["count"] for b in bins] == counts.tolist()
    correct = sum(b["count"] * b["accuracy"] for b in bins if b["count"])
    assert correct == pytest.approx((probabilities.argmax(1) == labels).sum())


def test_predictions_are_in_the_order_of_the_test_split(evaluated_alone, model, few):
    serve = tf.saved_model.load(str(model.path / "saved_model")).signatures["serving_default"]
    expected = serve(examples=tf.constant(pictures.records(few, "test")))["probabilities"].numpy()
    labels, probabilities = predicted(evaluated_alone)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(labels, pictures.columns(few, "test")["label"])
    rows = pq.read_table(evaluated_alone.path / "predictions")
    assert rows["index"].to_pylist() == pictures.columns(few, "test")["source/index"].tolist()
    assert "probabilities_baseline" not in rows.column_names


def test_probes_are_the_first_test_records_and_their_probabilities(evaluated_alone, few):
    probes = list(tf.data.TFRecordDataset(str(evaluated_alone.path / "probes.tfrecord")).as_numpy_iterator())
    assert probes == pictures.records(few, "test")[:32]
    np.testing.assert_array_equal(np.load(evaluated_alone.path / "probes.npy"), predicted(evaluated_alone)[1][:32])


def test_tfma_reads_the_output(evaluated_alone, compared):
    for evaluation, model in ((evaluated_alone, None), (compared, "candidate"), (compared, "baseline")):
        result = tfma.load_eval_result(str(evaluation.path / "tfma"), **({"model_name": model} if model else {}))
        assert len(result.slicing_metrics) == len(result.plots) >= 11
        assert tfma.load_validation_result(str(evaluation.path / "tfma")).validation_ok


def test_slices_of_other_features_add_up(compared, few):
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
    crossed_counts = {name: n for name, n in counts.items() if ", " in name}
    assert sum(crossed_counts.values()) == 400
    labels = pictures.columns(few, "test")["label"]
    assert crossed_counts["label=1, ink=below 0.09"] == ((labels == 1) & (ink < 0.09)).sum()


def test_corrupted_images_do_not_change_the_test_metrics(compared, compared_without_slices):
    metrics, without_slices = (read(e, "metrics")["candidate"] for e in (compared, compared_without_slices))
    assert metrics["overall"] == without_slices["overall"]
    assert metrics["confusion"] == without_slices["confusion"]
    counts = {row["count"] for row in metrics["corruptions"].values()}
    assert list(metrics["corruptions"]) == ["shift", "rotation", "noise", "blur", "contrast"]
    assert len(counts) == 1
    assert 150 < counts.pop() < 250  # about every second of 400
    assert without_slices["corruptions"] == {}
    assert min(row["accuracy"] for row in metrics["corruptions"].values()) < metrics["overall"]["accuracy"]


def test_leaked_images_are_excluded_and_both_metrics_reported(evaluated_alone, model, few, mnist, new_run):
    labels, probabilities = predicted(evaluated_alone)
    wrong_rows = np.flatnonzero(probabilities.argmax(1) != labels)[:20]
    index = pictures.columns(few, "test")["source/index"][wrong_rows].tolist()
    metrics = read(evaluated(model, few, new_run(), mnist, leaked=index), "metrics")["candidate"]
    correct = (probabilities.argmax(1) == labels).sum()
    assert metrics["overall"]["count"] == 380
    assert metrics["overall"]["accuracy"] == pytest.approx(correct / 380)
    assert metrics["with_leaked"]["count"] == 400
    assert metrics["with_leaked"]["accuracy"] == pytest.approx(correct / 400)
    assert read(evaluated_alone, "metrics")["candidate"]["with_leaked"] is None


def test_the_comparison_counts_correct_predictions(compared):
    (labels, candidate), (_, baseline) = predicted(compared), predicted(compared, "probabilities_baseline")
    correct, baseline_correct = candidate.argmax(1) == labels, baseline.argmax(1) == labels
    paired, budget = read(compared, "comparisons")
    assert (paired["with"], paired["version"], paired["verdict"]) == ("baseline", 4, "better")
    assert [paired[k] for k in ("both", "only_candidate", "only_other", "neither")] == [
        int(n.sum())
        for n in (
            correct & baseline_correct,
            correct & ~baseline_correct,
            baseline_correct & ~correct,
            ~correct & ~baseline_correct,
        )
    ]
    assert paired["difference"] == pytest.approx(correct.mean() - baseline_correct.mean())
    assert (budget["with"], budget["by"], budget["margin"]) == ("best", "paired", 0.9)
    assert budget["difference"] == paired["difference"]  # the best version is the served one


def test_the_gallery_is_written(compared):
    gallery = read(compared, "gallery")
    assert len(np.load(compared.path / "gallery.npy", allow_pickle=False)) >= len(gallery["mistakes"]) > 0
