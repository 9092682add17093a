"""The builders of architectures."""

import numpy as np

from components.models.build import augmentation, build
from schemas.settings.train import Cnn, Mlp

SHAPE = (28, 28, 1)


def test_an_mlp_of_no_hidden_layers_is_a_softmax_regression():
    network = build(Mlp(layers=[]), SHAPE, 10)
    assert network.count_params() == 28 * 28 * 10 + 10


def test_probabilities_of_every_architecture_add_up_to_one():
    images = np.random.default_rng(1).random((3, *SHAPE), np.float32)
    for settings in (Mlp(layers=[8], dropout=0.5), Cnn(filters=[4], dense=8, dropout=0.5, shift=2)):
        np.testing.assert_allclose(build(settings, SHAPE, 7)(images).numpy().sum(1), np.ones(3), rtol=1e-5)


def test_images_are_moved_by_at_most_the_shift_and_only_while_training():
    assert augmentation(Cnn(), SHAPE) is None
    shift = augmentation(Cnn(shift=2), SHAPE)
    images = np.zeros((200, *SHAPE), np.float32)
    images[:, 14, 14] = 1
    np.testing.assert_array_equal(shift(images, training=False), images)
    _, rows, columns, _ = np.nonzero(np.asarray(shift(images, training=True)))
    assert set(rows) == set(columns) == {12, 13, 14, 15, 16}
