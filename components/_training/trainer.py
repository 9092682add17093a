"""A Keras model whose training step runs a whole group of steps in one call."""

from typing import Any

from etils import epy

from components._training import compat

with epy.lazy_imports():
    import keras
    import tensorflow as tf


def trainer(network: "keras.Model", augmentation: "keras.layers.Layer | None", *, compiled: bool) -> "keras.Model":
    """A model that trains `network` on groups of batches, [steps, batch, ...]; XLA compiles the group if `compiled`.

    Each call from Python, and each element from `tf.data`, costs more than a step of a small network does. Keras's own
    `jit_compile` is silently off while deterministic ops are on; what XLA compiles for a CPU is deterministic.
    """

    class Trainer(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.augmentation = network, augmentation
            if augmentation is not None:
                augmentation.build(network.input_shape)

        def call(self, images: Any, training: bool = False) -> Any:
            if training and self.augmentation is not None:
                images = self.augmentation(images, training=True)
            return self.network(images, training=training)

        def train_step(self, data: Any) -> dict[str, Any]:
            self.steps(*data)
            return self.get_metrics_result()

        @tf.function(jit_compile=compiled)
        def steps(self, images: Any, labels: Any) -> None:
            def step(i: Any) -> Any:
                with tf.GradientTape() as tape:
                    predicted = self(images[i], training=True)
                    loss = self.compute_loss(y=labels[i], y_pred=predicted, training=True)
                compat.add_to_mean_loss(self, loss, images.shape[1])
                self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
                self.compute_metrics(None, labels[i], predicted)
                return i + 1

            tf.while_loop(lambda i: i < images.shape[0], step, [tf.constant(0)])

    return Trainer()
