"""train: warm start from the weights of the served model."""

import pytest

from components._training.training import Training
from components.train import train
from schemas.artifacts import Served
from schemas.settings.train import Cnn, Mlp, Train
from tests.components.trainings import same, trained, weights
from tests.conftest import configured

NETWORKS = {
    "mlp": Mlp(layers=[16]),
    "dropout": Mlp(layers=[16], dropout=0.3),
    "cnn": Cnn(filters=[4], dense=8, dropout=0.2),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_warm_start_uses_the_served_weights(kind, features, new_run):
    served = trained(features, Train(model=NETWORKS[kind], epochs=1), new_run())
    training = Training(features, Train(model=NETWORKS[kind], seed=2), new_run().scratch / "checkpoint.npz")
    assert not same(training.network.get_weights(), weights(served))
    assert training.begin_with(served.path / "saved_model")
    assert same(training.network.get_weights(), weights(served))


def test_a_network_with_other_layers_keeps_its_random_weights(features, new_run, model):
    training = Training(features, Train(model=NETWORKS["cnn"]), new_run().scratch / "checkpoint.npz")
    random_weights = training.network.get_weights()
    assert not training.begin_with(model.path / "saved_model")
    assert same(training.network.get_weights(), random_weights)


@pytest.mark.slow
def test_the_log_states_the_initial_weights(features, new_run, model):
    settings = Train(model=NETWORKS["mlp"], epochs=1)
    same_network = trained(features, settings, new_run())
    for served, message in (
        (same_network, "from the weights of version 3"),
        (model, "from random weights: version 3 has other layers"),
    ):
        run = new_run()
        start = Served(served.path / "saved_model", version=3)
        train.function(features, configured(features, settings, run.out.parent / "tune"), start, run=run)
        assert run.logged[0] == f"starts {message}"
