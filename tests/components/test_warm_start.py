"""train: a warm start from the weights of the served model."""

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
def test_a_warm_start_begins_with_the_served_weights(kind, features, lend):
    served = trained(features, Train(model=NETWORKS[kind], epochs=1), lend())
    begun = Training(features, Train(model=NETWORKS[kind], seed=2), lend().scratch / "checkpoint.npz")
    assert not same(begun.network.get_weights(), weights(served))
    assert begun.begin_with(served.path / "saved_model")
    assert same(begun.network.get_weights(), weights(served))


def test_a_network_of_other_layers_keeps_its_random_weights(features, lend, model):
    begun = Training(features, Train(model=NETWORKS["cnn"]), lend().scratch / "checkpoint.npz")
    fresh = begun.network.get_weights()
    assert not begun.begin_with(model.path / "saved_model")
    assert same(begun.network.get_weights(), fresh)


def test_the_log_says_which_weights_a_training_starts_from(features, lend, model):
    settings = Train(model=NETWORKS["mlp"], epochs=1)
    alike = trained(features, settings, lend())
    for served, words in (
        (alike, "from the weights of version 3"),
        (model, "from random weights: version 3 has other layers"),
    ):
        run = lend()
        start = Served(served.path / "saved_model", version=3)
        train.function(features, configured(features, settings, run.out.parent / "tune"), start, run=run)
        assert run.logged[0] == f"starts {words}"
