"""evaluate: figures of TensorFlow Model Analysis on the raw test examples, and the files left."""

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

from tests.components import pictures
from tests.components.evaluations import evaluated, predicted, read


def by_slice(output, model):
    """{slice: {metric: value}} of a TFMA output."""
    result = tfma.load_eval_result(str(output), model_name=model)
    return {
        key: {name: next(iter(v.values())) for name, v in values[""][""].items()}
        for key, values in result.slicing_metrics
    }


def test_metrics_are_those_of_stock_tfma(plainly_compared, model, few, worse, tmp_path):
    """The same configuration, and nothing of ours but that."""
    config = tfma.load_eval_result(str(plainly_compared.path / "tfma"), model_name="candidate").config
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


def test_probes_and_gallery_are_left_for_those_who_look(compared):
    gallery = read(compared, "gallery")
    assert len(np.load(compared.path / "gallery.npy", allow_pickle=False)) >= len(gallery["mistakes"]) > 0
