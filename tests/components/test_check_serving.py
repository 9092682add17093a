"""check_serving: a clean process that has nothing of the project loads the model and calls it."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components import check_serving as module
from components.check_serving import check_serving, clean_process
from components.evaluate import evaluate
from schemas.artifacts import Statistics
from schemas.settings import Evaluate, Gates, Serving
from tests.components import pictures
from tests.conftest import lent

BUDGETS = Serving(latency_ms=5000, load_seconds=100)
REMEDY = "The budgets stand in check_serving of the configuration. Nothing was pushed."


@pytest.fixture(scope="module")
def evaluation(model, few, mnist, tmp_path_factory):
    statistics = Statistics(tmp_path_factory.mktemp("statistics"), counts={})
    (statistics.path / "leaked.json").write_text("[]")
    rest = {"contract": mnist, "gates": Gates(accuracy=0.2, per_class=0.15), "settings": Evaluate(corrupted=0)}
    return evaluate.function(model, few, statistics, None, None, **rest, run=lent(tmp_path_factory.mktemp("evaluation")))


def checked(model, evaluation, run, budgets=BUDGETS):
    return check_serving.function(model, evaluation, budgets=budgets, run=run)


def copied(artifact, path):
    return dataclasses.replace(artifact, path=Path(shutil.copytree(artifact.path, path)))


def test_a_sound_model_passes_and_is_measured(model, evaluation, lend):
    run = lend()
    found = checked(model, evaluation, run)
    assert found.passed
    assert found.reasons == ()
    assert 0 < found.load_seconds < 100
    assert 0 < found.latency_ms < 5000
    assert 0 <= found.difference <= 1e-4
    said = json.loads((run.out / "serving.json").read_text())
    assert set(said) == {"load_seconds", "latency_ms", "images_latency_ms", "difference"}
    assert run.said == [f"loads in {found.load_seconds:.2f} s, answers in {found.latency_ms:.2f} ms"]


def test_a_process_that_was_started_ahead_is_the_one_that_is_asked(model, evaluation, lend):
    with clean_process() as process:
        assert checked(model, evaluation, lend(ahead=process)).passed
        assert process.returncode == 0


def test_other_probabilities_than_the_evaluators_are_refused(model, evaluation, tmp_path, lend):
    altered = copied(evaluation, tmp_path / "evaluation")
    probabilities = np.load(altered.path / "probes.npy")
    probabilities[17, 4] += 0.25
    np.save(altered.path / "probes.npy", probabilities)
    found = checked(model, altered, lend())
    assert not found.passed
    assert found.reasons == ("serving check: probabilities differ from the evaluator's by 0.25; check_serving.tolerance allows 0.0001",)
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
        return {k: tf.cond(in_order, lambda v=v: v, lambda v=v: tf.reverse(v, [0])) for k, v in answer(examples=examples).items()}

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
    budgets = Serving(load_seconds=1e-6, latency_ms=1e-6)
    found = checked(model, evaluation, lend(), budgets)
    loading, latency = found.reasons
    assert loading == f"serving check: loading took {found.load_seconds:.2f} s; check_serving.load_seconds allows 1e-06"
    assert latency.startswith("serving check: one image took ")
    assert latency.endswith(" ms; check_serving.latency_ms allows 1e-06")


def test_a_model_that_does_not_answer_in_time_is_refused(model, evaluation, lend):
    found = checked(model, evaluation, lend(), Serving(timeout_seconds=0.05))
    assert found.reasons == ("serving check: the model gave no answer in 0.05 s",)


def test_a_process_that_dies_is_a_refusal(model, evaluation, lend):
    with clean_process() as process:
        process.kill()
        process.wait()
        found = checked(model, evaluation, lend(ahead=process))
    assert found.reasons == ("serving check: the process that loaded the model ended with -9 and said nothing",)


def test_the_clean_process_stands_in_an_empty_folder_and_knows_nothing_of_ours(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(module.__file__).parents[1]))
    monkeypatch.setenv("GATELINE_ROOT", "/somewhere")
    with clean_process() as process:
        folder = Path(f"/proc/{process.pid}/cwd").resolve()
        assert list(folder.iterdir()) == []
        assert process.args[:2] == [sys.executable, "-I"]
        names = {entry.split(b"=")[0].decode() for entry in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0") if entry}
        assert not {name for name in names if name.startswith(("PYTHON", "GATELINE"))}
    assert process.poll() is not None
    assert not folder.exists()


def test_the_clean_process_imports_no_module_of_ours(tmp_path):
    script = Path(module.__file__).with_name("_clean_process.py")
    done = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", str(script)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == '{"error": "was not asked anything"}\n'
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "tensorflow" in imported
    assert not imported & {"pipeline", "components", "schemas", "tests", "keras_tuner", "apache_beam"}
