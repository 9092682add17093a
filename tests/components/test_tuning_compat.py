"""Canaries for the private parts of keras-tuner that a search uses."""

import json

import grpc
import keras_tuner
import pytest

from components._tuning import compat

ADVICE = "keras-tuner changed {}: adapt components/_tuning/compat.py"


@pytest.fixture
def oracle(tmp_path):
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("units", [2, 3])
    objective = keras_tuner.Objective("val_accuracy", "max")
    oracle_ = compat.durable(keras_tuner.oracles.RandomSearchOracle)(
        objective=objective, hyperparameters=hyperparameters, max_trials=2, seed=1
    )
    compat.set_directory(oracle_, tmp_path, "search")
    return oracle_


def test_an_oracle_stores_its_state_in_the_given_directory(oracle, tmp_path):
    oracle.save()
    path = compat.state_file(oracle)
    assert path.is_relative_to(tmp_path / "search"), ADVICE.format("where an oracle stores its state")
    assert "start_order" in json.loads(path.read_text(encoding="utf-8")), ADVICE.format("the state of an oracle")


def test_a_trial_is_stored_by_the_replaced_method(oracle, tmp_path):
    trial = oracle.create_trial("tuner0")
    (path,) = (tmp_path / "search").glob("trial_*/trial.json")
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["trial_id"] == trial.trial_id, ADVICE.format("how a trial is stored")
    assert not list((tmp_path / "search").rglob("*.part"))


def test_a_trial_in_the_retry_queue_is_handed_out_next(oracle):
    trial = oracle.create_trial("tuner0")
    oracle.ongoing_trials.pop("tuner0")
    compat.set_retry_queue(oracle, [trial.trial_id])
    assert compat.retry_queue(oracle) == [trial.trial_id]
    assert oracle.create_trial("tuner1").trial_id == trial.trial_id, ADVICE.format("the retry queue")


def test_tried_values_are_duplicates(oracle):
    tried = oracle.create_trial("tuner0").hyperparameters.values
    assert compat.is_duplicate(oracle, tried), ADVICE.format("how duplicates are found")


def test_the_service_answers_a_client(oracle):
    from concurrent import futures

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    service = compat.add_service(oracle, server)
    assert service.stop_triggered is False, ADVICE.format("its service")
