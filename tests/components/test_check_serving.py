"""check_serving: a clean process that has nothing of the project loads the model and calls it."""

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
from components.check_serving import check_serving, started_process
from components.evaluate import evaluate
from schemas.artifacts import Served, Statistics
from schemas.settings.check_serving import Serving
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.transform import Transform
from tests.components import pictures
from tests.conftest import lent

BUDGETS = Serving(latency_ms=5000, p99_ms=5000, load_seconds=100)
REMEDY = "The limits are set in check_serving of the configuration. Nothing was pushed."


@pytest.fixture(scope="module")
def evaluation(model, few, mnist, tmp_path_factory):
    statistics = Statistics(tmp_path_factory.mktemp("statistics"), counts={})
    (statistics.path / "leaked.json").write_text("[]", encoding="utf-8")
    gates = Gates(accuracy=0.2, per_class=0.15)
    rest = {"contract": mnist, "gates": gates, "settings": Evaluate(corrupted=0), "transform": Transform()}
    return evaluate.function(
        model, few, statistics, None, None, **rest, run=lent(tmp_path_factory.mktemp("evaluation"))
    )


def checked(model, evaluation, run, budgets=BUDGETS, baseline=None):
    return check_serving.function(model, evaluation, baseline, model_name="digits", budgets=budgets, run=run)


def copied(artifact, path):
    return dataclasses.replace(artifact, path=Path(shutil.copytree(artifact.path, path)))


@pytest.fixture(scope="module")
def sound(model, evaluation, tmp_path_factory):
    """A model checked beside the version now served, which is called as it is: (the check, its run)."""
    served = Served(copied(model, tmp_path_factory.mktemp("served") / "3").path / "saved_model", version=3)
    run = lent(tmp_path_factory.mktemp("check"))
    return checked(model, evaluation, run, baseline=served), run


def test_a_sound_model_passes_and_is_measured(sound):
    found, run = sound
    assert found.passed
    assert found.reasons == ()
    assert 0 < found.load_seconds < 100
    assert 0 < found.latency_ms < 5000
    assert 0 <= found.difference <= 1e-4
    said = json.loads((run.out / "serving.json").read_text(encoding="utf-8"))
    assert set(said) == {"load_seconds", "difference", "memory", "latency", "signatures", "served"}
    assert [(row["signature"], row["batch"]) for row in said["latency"]] == [
        (signature, batch) for signature in ("serving_default", "images") for batch in (1, 8, 32)
    ]
    assert all(
        10 <= row["calls"] <= 200 and 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in said["latency"]
    )
    assert found.latency_ms == max(row["p50_ms"] for row in said["latency"] if row["batch"] == 1)
    assert found.p99_ms == max(row["p99_ms"] for row in said["latency"] if row["batch"] == 1)
    assert 0 < said["memory"]["loaded_mb"] <= said["memory"]["peak_mb"] == found.memory_mb < 500
    answered = f"answers in {found.latency_ms:.2f} ms (p99 {found.p99_ms:.2f})"
    assert run.logged == [f"loads in {found.load_seconds:.2f} s, {answered}, takes {found.memory_mb:,.0f} MB"]


def test_a_model_is_warmed_up_with_real_examples_through_both_signatures(model, evaluation, sound):
    """Read back with TensorFlow Serving's own protos, and answered by the model as it answers any request."""
    path = sound[1].out / "assets.extra" / "tf_serving_warmup_requests"
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


def test_more_images_than_there_are_probes_are_the_first_ones_again(evaluation, tmp_path):
    warmup.write(tmp_path / "requests", "digits", evaluation.path, [40])
    by_records, by_images = tf.data.TFRecordDataset(str(tmp_path / "requests")).as_numpy_iterator()
    records = tf.make_ndarray(PredictionLog.FromString(by_records).predict_log.request.inputs["examples"])
    images = tf.make_ndarray(PredictionLog.FromString(by_images).predict_log.request.inputs["images"])
    assert (records.shape, images.shape, images.dtype) == ((40,), (40, 28, 28), np.uint8)
    assert list(records[32:]) == list(records[:8])
    assert (images[32:] == images[:8]).all()


def test_what_the_model_promises_is_read_beside_what_the_served_one_does(sound):
    said = json.loads((sound[1].out / "serving.json").read_text(encoding="utf-8"))
    assert said["served"] == said["signatures"]
    assert said["signatures"]["serving_default"] == {
        "inputs": {"examples": ["string", [-1]]},
        "outputs": {"class": ["int64", [-1]], "probabilities": ["float32", [-1, 10]]},
    }
    assert said["signatures"]["images"]["inputs"] == {"images": ["uint8", [-1, 28, 28]]}


def test_a_model_that_cannot_be_called_as_the_served_one_is_refused_unless_allowed(model, evaluation, tmp_path, lend):
    """The served model has a signature more."""
    sound = tf.saved_model.load(str(model.path / "saved_model"))
    signatures = {**sound.signatures, "legacy": sound.signatures["images"]}
    tf.saved_model.save(sound, str(tmp_path), signatures=signatures)
    served = Served(tmp_path, version=3)
    found = checked(model, evaluation, lend(), baseline=served)
    gone = "signature legacy is gone. Clients of version 3 could not call it; check_serving.allow_incompatible is false"
    assert found.reasons == (f"serving check: {gone}",)
    assert checked(model, evaluation, lend(), BUDGETS.model_copy(update={"allow_incompatible": True}), served).passed


def test_a_process_that_was_started_ahead_is_the_one_that_is_asked(model, evaluation, lend):
    with started_process() as process:
        assert checked(model, evaluation, lend(prefetched=process)).passed
        assert process.returncode == 0


def test_other_probabilities_than_the_evaluators_are_refused(model, evaluation, tmp_path, lend):
    altered = copied(evaluation, tmp_path / "evaluation")
    probabilities = np.load(altered.path / "probes.npy")
    probabilities[17, 4] += 0.25
    np.save(altered.path / "probes.npy", probabilities)
    found = checked(model, altered, lend())
    assert not found.passed
    assert found.reasons == (
        "serving check: probabilities differ from the evaluator's by 0.25; check_serving.tolerance allows 0.0001",
    )
    assert found.remedy == REMEDY


def test_a_model_that_answers_in_another_order_is_refused(model, evaluation, few, tmp_path, lend):
    """It answers the probes in their order; of others, the first image gets the last one's answer."""
    sound = tf.saved_model.load(str(model.path / "saved_model"))
    first = tf.constant(pictures.records(few, "test")[0])
    confused = tf.Module()
    confused.sound, answer = sound, sound.signatures["serving_default"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(examples):
        in_order = examples[0] == first
        return {
            k: tf.cond(in_order, lambda v=v: v, lambda v=v: tf.reverse(v, [0]))
            for k, v in answer(examples=examples).items()
        }

    signatures = {"serving_default": serving_default, "images": sound.signatures["images"]}
    tf.saved_model.save(confused, str(tmp_path / "saved_model"), signatures=signatures)
    found = checked(dataclasses.replace(model, path=tmp_path), evaluation, lend())
    assert not found.passed
    assert found.reasons[0].startswith("serving check: probabilities differ from the evaluator's by 0.")


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_saved_model_that_is_cut_short_is_refused(file, model, evaluation, tmp_path, lend):
    broken = copied(model, tmp_path / "model")
    path = broken.path / "saved_model" / file
    path.write_bytes(path.read_bytes()[:-1000])
    found = checked(broken, evaluation, lend())
    assert not found.passed
    (reason,) = found.reasons
    assert reason.startswith("serving check: ")
    assert "Error" in reason
    assert "\n" not in reason


def test_every_budget_that_is_exceeded_is_named(model, evaluation, lend):
    budgets = Serving(load_seconds=1e-6, latency_ms=1e-6, p99_ms=1e-6)
    found = checked(model, evaluation, lend(), budgets)
    assert found.reasons == (
        f"serving check: loading took {found.load_seconds:.2f} s; check_serving.load_seconds allows 1e-06",
        f"serving check: one image took {found.latency_ms:.2f} ms; check_serving.latency_ms allows 1e-06",
        f"serving check: the 99th percentile for one image is {found.p99_ms:.2f} ms; check_serving.p99_ms allows 1e-06",
    )


def test_a_model_that_does_not_answer_in_time_is_refused(model, evaluation, lend):
    found = checked(model, evaluation, lend(), Serving(timeout_seconds=0.05))
    assert found.reasons == ("serving check: the model did not answer within 0.05 s",)


def odd(model, path, before):
    """`model` with signatures that compute something positive `before` they answer."""
    sound = tf.saved_model.load(str(model.path / "saved_model"))
    module = tf.Module()
    module.sound = sound

    def signature(name):
        (spec,) = sound.signatures[name].structured_input_signature[1].values()
        call = sound.signatures[name]

        @tf.function(input_signature=[spec])
        def function(given):
            nought = tf.minimum(
                before(tf.shape(given)[0]), 0
            )  # added to the answers, or the graph would be pruned of it
            return {key: value + tf.cast(nought, value.dtype) for key, value in call(**{spec.name: given}).items()}

        return function

    tf.saved_model.save(
        module, str(path / "saved_model"), signatures={name: signature(name) for name in sound.signatures}
    )
    return dataclasses.replace(model, path=path)


def test_a_model_that_hangs_is_stopped_and_refused(model, evaluation, tmp_path, lend):
    hanging = odd(model, tmp_path, lambda n: tf.while_loop(lambda i: i > 0, lambda i: i + 1 - 1, [n])[0])
    with started_process() as process:
        assert "tensorflow_mb" in process.stdout.readline()  # it is ready: what takes long now is the model
        found = checked(hanging, evaluation, lend(prefetched=process), Serving(timeout_seconds=3))
        assert process.poll() is None
    assert process.returncode == -9
    assert found.reasons == ("serving check: the model did not answer within 3 s",)


def test_a_model_that_eats_memory_is_stopped_and_refused(model, evaluation, tmp_path, lend):
    """Each image costs it 67 MB, so the 32 probes take 2 GB at once."""
    eating = odd(model, tmp_path, lambda n: tf.reduce_sum(tf.range(tf.cast(n, tf.float32) * 2**24)))
    with started_process() as process:
        found = checked(eating, evaluation, lend(prefetched=process), Serving(memory_mb=300))
    assert process.returncode == -9
    (reason,) = found.reasons
    taken = re.fullmatch(
        r"serving check: the model took ([\d,]+) MB in addition to TensorFlow itself; "
        r"check_serving\.memory_mb allows 300; it was stopped",
        reason,
    )
    assert 300 <= int(taken[1].replace(",", "")) < 2200


def test_a_peak_between_two_looks_is_refused_too(sound):
    measured = json.loads((sound[1].out / "serving.json").read_text(encoding="utf-8"))
    measured["memory"]["peak_mb"] = 1234.4
    budgets = BUDGETS.model_copy(update={"memory_mb": 800.0})
    words = "the model took 1,234 MB in addition to TensorFlow itself; check_serving.memory_mb allows 800"
    assert list(module._over(measured, budgets)) == [words]


def test_a_process_that_dies_is_a_refusal(model, evaluation, lend):
    with started_process() as process:
        process.kill()
        process.wait()
        found = checked(model, evaluation, lend(prefetched=process))
    assert found.reasons == ("serving check: the process that loaded the model exited with code -9 and no output",)


def test_the_clean_process_stands_in_an_empty_folder_and_knows_nothing_of_ours(monkeypatch):
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


def test_the_clean_process_imports_no_module_of_ours(tmp_path):
    script = Path(module.__file__).parent / "_serving_check" / "clean_process.py"
    done = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", str(script)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    alone, answer = map(json.loads, done.stdout.splitlines())
    assert 100 < alone["tensorflow_mb"] < 3000
    assert answer == {"error": "no request was received"}
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "tensorflow" in imported
    assert not imported & {"pipeline", "components", "schemas", "tests", "keras_tuner", "apache_beam"}
