"""Builders of architectures."""

import zipfile

import keras
import numpy as np
import tensorflow as tf

from components.models.batch_norm import FusedBatchNormalization, unfused
from components.models.build import augmentation, build
from schemas.settings.train import Cnn, Mlp

SHAPE = (28, 28, 1)


def test_an_mlp_without_hidden_layers_is_a_softmax_regression():
    network = build(Mlp(layers=[]), SHAPE, 10)
    assert network.count_params() == 28 * 28 * 10 + 10


def test_probabilities_of_every_architecture_sum_to_one():
    images = np.random.default_rng(1).random((3, *SHAPE), np.float32)
    for settings in (Mlp(layers=[8], dropout=0.5), Cnn(filters=[4], dense=8, dropout=0.5, shift=2)):
        np.testing.assert_allclose(build(settings, SHAPE, 7)(images).numpy().sum(1), np.ones(3), rtol=1e-5)


def test_the_shift_is_bounded_and_applied_only_in_training():
    assert augmentation(Cnn(), SHAPE) is None
    shift = augmentation(Cnn(shift=2), SHAPE)
    images = np.zeros((200, *SHAPE), np.float32)
    images[:, 14, 14] = 1
    np.testing.assert_array_equal(shift(images, training=False), images)
    _, rows, columns, _ = np.nonzero(np.asarray(shift(images, training=True)))
    assert set(rows) == set(columns) == {12, 13, 14, 15, 16}


def test_global_pooling_makes_the_weights_independent_of_the_image_size():
    settings = Cnn(filters=[4, 8], dense=8, pooling="average")
    small, large = (build(settings, (side, side, 3), 5) for side in (32, 128))
    assert small.count_params() == large.count_params()
    assert build(Cnn(filters=[4, 8], dense=8), (128, 128, 3), 5).count_params() > 10 * large.count_params()


def test_batch_normalization_uses_the_configured_momentum():
    networks = (build(Cnn(filters=[4], batch_norm_momentum=momentum), SHAPE, 5) for momentum in (0.9, 0.5))
    momentums = [layer.momentum for network in networks for layer in network.layers if hasattr(layer, "momentum")]
    assert momentums == [0.9, 0.5]


def test_flips_and_zooms_are_applied_only_in_training_and_keep_the_shape():
    images = np.random.default_rng(1).random((64, *SHAPE)).astype(np.float32)
    flip = augmentation(Cnn(flip=True), SHAPE)
    flipped = np.asarray(flip(images, training=True))
    flipped_back = [bool(np.array_equal(one, other[:, ::-1])) for one, other in zip(flipped, images, strict=True)]
    same = [bool(np.array_equal(one, other)) for one, other in zip(flipped, images, strict=True)]
    assert 10 < sum(flipped_back) < 54
    assert all(a or b for a, b in zip(flipped_back, same, strict=True))
    augmentation_ = augmentation(Cnn(flip=True, zoom=0.2, shift=2), SHAPE)
    np.testing.assert_array_equal(augmentation_(images, training=False), images)
    changed = np.asarray(augmentation_(images, training=True))
    assert changed.shape == images.shape
    assert not np.array_equal(changed, images)


def test_fused_batch_normalization_calculates_what_the_layer_of_keras_does():
    images = np.random.default_rng(1).normal(3, 2, (6, 5, 4, 3)).astype(np.float32)
    fused, own = FusedBatchNormalization(momentum=0.7), keras.layers.BatchNormalization(momentum=0.7)
    for layer in (fused, own):
        layer.build(images.shape)
        layer.gamma.assign([1.0, -2.0, 0.5])
        layer.beta.assign([0.0, 1.0, -1.0])
    gradients = []
    for layer in (fused, own):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(images, training=True) ** 3)
        gradients.append(tape.gradient(loss, layer.trainable_variables))
    for one, other in zip([*gradients[0], *fused.variables], [*gradients[1], *own.variables], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
    np.testing.assert_allclose(fused(images, training=True), own(images, training=True), atol=1e-5)
    np.testing.assert_allclose(fused(images), own(images), atol=1e-5)


def test_a_saved_network_consists_of_layers_of_keras_and_gives_the_same_probabilities(tmp_path):
    network = build(Cnn(filters=[4, 8], dense=8, dropout=0.2), SHAPE, 5)
    images = np.random.default_rng(1).random((3, *SHAPE), np.float32)
    network(images, training=True)  # sets the moving mean and variance
    unfused(network).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as saved:
        config = saved.read("config.json").decode()
    assert "BatchNormalization" in config
    assert "components" not in config
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), network(images))
