"""check_serving: a clean process without the project's code loads the model and calls it."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from components import check_serving as module
from components._serving_check import warmup
from components.check_serving import started_process
from schemas.artifacts import Served
from schemas.settings.check_serving import Serving
from schemas.settings.gates import Gates
from tests.components import pictures
from tests.components.evaluations import evaluated
from tests.components.serving_checks import BUDGETS, check
from tests.conftest import folder_run

REMEDY = "The limits are set in check_serving of the configuration. Nothing was pushed."


@pytest.fixture(scope="module")
def evaluation(model, few, mnist, tmp_path_factory):
    gates = Gates(accuracy=0.2, per_class=0.15)
    return evaluated(model, few, folder_run(tmp_path_factory.mktemp("evaluation")), mnist, gates=gates)


def copy_of(artifact, path):
    return dataclasses.replace(artifact, path=Path(shutil.copytree(artifact.path, path)))


@pytest.fixture(scope="module")
def passed_check(model, evaluation, tmp_path_factory):
    """A model checked with the same model as served version: (the check, its run)."""
    served = Served(copy_of(model, tmp_path_factory.mktemp("served") / "3").path / "saved_model", version=3)
    run = folder_run(tmp_path_factory.mktemp("check"))
    return check(model, evaluation, run, baseline=served), run


def test_a_valid_model_passes_and_is_measured(passed_check):
    check_, run = passed_check
    assert check_.passed
    assert check_.reasons == ()
    assert 0 < check_.load_seconds < 100
    assert 0 < check_.latency_ms < 5000
    assert 0 <= check_.difference <= 1e-4
    report = json.loads((run.out / "serving.json").read_text(encoding="utf-8"))
    assert set(report) == {"load_seconds", "difference", "memory", "odd", "latency", "signatures", "served"}
    assert report["odd"] == []
    assert [(row["signature"], row["batch"]) for row in report["latency"]] == [
        (signature, batch) for signature in ("serving_default", "images") for batch in (1, 8, 32)
    ]
    assert all(
        10 <= row["calls"] <= 200 and 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in report["latency"]
    )
    assert check_.latency_ms == max(row["p50_ms"] for row in report["latency"] if row["batch"] == 1)
    assert check_.p99_ms == max(row["p99_ms"] for row in report["latency"] if row["batch"] == 1)
    assert 0 < report["memory"]["loaded_mb"] <= report["memory"]["peak_mb"] == check_.memory_mb < 500
    answers = f"answers in {check_.latency_ms:.2f} ms (p99 {check_.p99_ms:.2f})"
    assert run.logged == [f"loads in {check_.load_seconds:.2f} s, {answers}, takes {check_.memory_mb:,.0f} MB"]


def test_warmup_requests_hold_real_examples_for_both_signatures(model, evaluation, passed_check):
    """Read with TensorFlow Serving's protos; the model must return the expected probabilities."""
    path = passed_check[1].out / "assets.extra" / "tf_serving_warmup_requests"
    requests = [
        PredictionLog.FromString(each).predict_log.request
        for each in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    assert [(r.model_spec.name, r.model_spec.signature_name) for r in requests] == [
        ("digits", "serving_default"),
        ("digits", "images"),
    ] * 3
    loaded = tf.saved_model.load(str(model.path / "saved_model"))
    expected = np.load(evaluation.path / "probes.npy")
    for request, batch in zip(requests, (1, 1, 8, 8, 32, 32), strict=True):
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        answer = loaded.signatures[request.model_spec.signature_name](**inputs)["probabilities"]
        np.testing.assert_allclose(answer, expected[:batch], atol=1e-5)


def test_warmup_batches_larger_than_the_probes_repeat_them(evaluation, tmp_path):
    warmup.write(tmp_path / "requests", "digits", evaluation.path, [40])
    by_records, by_images = tf.data.TFRecordDataset(str(tmp_path / "requests")).as_numpy_iterator()
    records = tf.make_ndarray(PredictionLog.FromString(by_records).predict_log.request.inputs["examples"])
    images = tf.make_ndarray(PredictionLog.FromString(by_images).predict_log.request.inputs["images"])
    assert (records.shape, images.shape, images.dtype) == ((40,), (40, 28, 28), np.uint8)
    assert list(records[32:]) == list(records[:8])
    assert (images[32:] == images[:8]).all()


def test_signatures_of_candidate_and_served_model_are_reported(passed_check):
    report = json.loads((passed_check[1].out / "serving.json").read_text(encoding="utf-8"))
    assert report["served"] == report["signatures"]
    assert report["signatures"]["serving_default"] == {
        "inputs": {"examples": ["string", [-1]]},
        "outputs": {"class": ["int64", [-1]], "probabilities": ["float32", [-1, 10]]},
    }
    assert report["signatures"]["images"]["inputs"] == {"images": ["uint8", [-1, 28, 28]]}


def test_a_model_with_incompatible_signatures_is_refused_unless_allowed(model, evaluation, tmp_path, new_run):
    """The served model has another signature."""
    loaded = tf.saved_model.load(str(model.path / "saved_model"))
    signatures = {**loaded.signatures, "legacy": loaded.signatures["images"]}
    tf.saved_model.save(loaded, str(tmp_path), signatures=signatures)
    served = Served(tmp_path, version=3)
    check_ = check(model, evaluation, new_run(), baseline=served)
    removed = "signature legacy was removed. Clients of version 3 could not call it"
    reason = f"{removed}; check_serving.allow_incompatible is false"
    assert check_.reasons == (f"serving check: {reason}",)
    assert check(model, evaluation, new_run(), BUDGETS.model_copy(update={"allow_incompatible": True}), served).passed


def test_a_prefetched_process_is_used(model, evaluation, new_run):
    with started_process() as process:
        assert check(model, evaluation, new_run(prefetched=process)).passed
        assert process.returncode == 0


def test_probabilities_that_differ_from_the_evaluation_are_refused(model, evaluation, tmp_path, new_run):
    altered = copy_of(evaluation, tmp_path / "evaluation")
    probabilities = np.load(altered.path / "probes.npy")
    probabilities[17, 4] += 0.25
    np.save(altered.path / "probes.npy", probabilities)
    check_ = check(model, altered, new_run())
    assert not check_.passed
    assert check_.reasons == (
        "serving check: probabilities differ from the evaluator's by 0.25; check_serving.tolerance allows 0.0001",
    )
    assert check_.remedy == REMEDY


def test_a_model_that_answers_in_a_different_order_is_refused(model, evaluation, few, tmp_path, new_run):
    """It answers the probes in order; other batches are answered in reverse order."""
    loaded = tf.saved_model.load(str(model.path / "saved_model"))
    first = tf.constant(pictures.records(few, "test")[0])
    reversed_model = tf.Module()
    reversed_model.loaded, answer = loaded, loaded.signatures["serving_default"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(examples):
        is_first_probe = examples[0] == first
        return {
            k: tf.cond(is_first_probe, lambda v=v: v, lambda v=v: tf.reverse(v, [0]))
            for k, v in answer(examples=examples).items()
        }

    signatures = {"serving_default": serving_default, "images": loaded.signatures["images"]}
    tf.saved_model.save(reversed_model, str(tmp_path / "saved_model"), signatures=signatures)
    check_ = check(dataclasses.replace(model, path=tmp_path), evaluation, new_run())
    assert not check_.passed
    assert check_.reasons[0].startswith("serving check: probabilities differ from the evaluator's by 0.")


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_truncated_saved_model_is_refused(file, model, evaluation, tmp_path, new_run):
    broken = copy_of(model, tmp_path / "model")
    path = broken.path / "saved_model" / file
    path.write_bytes(path.read_bytes()[:-1000])
    check_ = check(broken, evaluation, new_run())
    assert not check_.passed
    (reason,) = check_.reasons
    assert reason.startswith("serving check: ")
    assert "Error" in reason
    assert "\n" not in reason


def test_every_exceeded_limit_is_named(model, evaluation, new_run):
    budgets = Serving(load_seconds=1e-6, latency_ms=1e-6, p99_ms=1e-6)
    check_ = check(model, evaluation, new_run(), budgets)
    assert check_.reasons == (
        f"serving check: loading took {check_.load_seconds:.2f} s; check_serving.load_seconds allows 1e-06",
        f"serving check: one image took {check_.latency_ms:.2f} ms; check_serving.latency_ms allows 1e-06",
        f"serving check: the 99th percentile for one image is {check_.p99_ms:.2f} ms; "
        "check_serving.p99_ms allows 1e-06",
    )


def test_a_slow_model_is_refused(model, evaluation, new_run):
    check_ = check(model, evaluation, new_run(), Serving(timeout_seconds=0.05))
    assert check_.reasons == ("serving check: the model did not answer within 0.05 s",)


def model_with(model, path, computation):
    """`model` with signatures that first run a `computation` with a positive result."""
    loaded = tf.saved_model.load(str(model.path / "saved_model"))
    module = tf.Module()
    module.loaded = loaded

    def signature(name):
        (spec,) = loaded.signatures[name].structured_input_signature[1].values()
        call = loaded.signatures[name]

        @tf.function(input_signature=[spec])
        def function(inputs):
            # Added to the outputs, so that the graph is not pruned.
            zero = tf.minimum(computation(tf.shape(inputs)[0]), 0)
            return {key: value + tf.cast(zero, value.dtype) for key, value in call(**{spec.name: inputs}).items()}

        return function

    tf.saved_model.save(
        module, str(path / "saved_model"), signatures={name: signature(name) for name in loaded.signatures}
    )
    return dataclasses.replace(model, path=path)


@pytest.mark.slow
def test_a_model_that_hangs_is_stopped_and_refused(model, evaluation, tmp_path, new_run):
    hanging_model = model_with(model, tmp_path, lambda n: tf.while_loop(lambda i: i > 0, lambda i: i + 1 - 1, [n])[0])
    with started_process() as process:
        assert "tensorflow_mb" in process.stdout.readline()  # the process is ready: only the model takes long
        check_ = check(hanging_model, evaluation, new_run(prefetched=process), Serving(timeout_seconds=3))
        assert process.poll() is None
    assert process.returncode == -9
    assert check_.reasons == ("serving check: the model did not answer within 3 s",)


def test_a_model_that_exceeds_the_memory_limit_is_stopped_and_refused(model, evaluation, tmp_path, new_run):
    """Each image needs 67 MB, so the 32 probes need 2 GB."""
    large_model = model_with(model, tmp_path, lambda n: tf.reduce_sum(tf.range(tf.cast(n, tf.float32) * 2**24)))
    with started_process() as process:
        check_ = check(large_model, evaluation, new_run(prefetched=process), Serving(memory_mb=300))
    assert process.returncode == -9
    (reason,) = check_.reasons
    match = re.fullmatch(
        r"serving check: the model took ([\d,]+) MB in addition to TensorFlow itself; "
        r"check_serving\.memory_mb allows 300; it was stopped",
        reason,
    )
    assert 300 <= int(match[1].replace(",", "")) < 2200


def test_a_memory_peak_between_two_samples_is_refused(passed_check):
    measured = json.loads((passed_check[1].out / "serving.json").read_text(encoding="utf-8"))
    measured["memory"]["peak_mb"] = 1234.4
    budgets = BUDGETS.model_copy(update={"memory_mb": 800.0})
    message = "the model took 1,234 MB in addition to TensorFlow itself; check_serving.memory_mb allows 800"
    assert list(module._over(measured, budgets)) == [message]


def test_a_process_that_dies_is_refused(model, evaluation, new_run):
    with started_process() as process:
        process.kill()
        process.wait()
        check_ = check(model, evaluation, new_run(prefetched=process))
    assert check_.reasons == ("serving check: the process that loaded the model exited with code -9 and no output",)


def test_the_clean_process_runs_in_an_empty_folder_without_our_environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(module.__file__).parents[1]))
    monkeypatch.setenv("GATELINE_ROOT", "/somewhere")
    with started_process() as process:
        folder = Path(f"/proc/{process.pid}/cwd").resolve()
        assert list(folder.iterdir()) == []
        assert process.args[:2] == [sys.executable, "-I"]
        names = {
            entry.split(b"=")[0].decode()
            for entry in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if entry
        }
        assert not {name for name in names if name.startswith(("PYTHON", "GATELINE"))}
    assert process.poll() is not None
    assert not folder.exists()


def test_the_clean_process_imports_no_project_module(tmp_path):
    script = Path(module.__file__).parent / "_serving_check" / "clean_process.py"
    done = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", str(script)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    first_row, answer = map(json.loads, done.stdout.splitlines())
    assert 100 < first_row["tensorflow_mb"] < 3000
    assert answer == {"error": "no request was received"}
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "tensorflow" in imported
    assert not imported & {"pipeline", "components", "schemas", "tests", "keras_tuner", "apache_beam"}
