"""The training of the profile `seed_adam` as tutorials write it: the baseline of the line's benchmark.

python -m tests.benchmarks.bare_mnist mnist.npz
"""

import sys

import numpy as np
import tensorflow as tf

data = np.load(sys.argv[1])
x_train, x_test = data["x_train"] / 255.0, data["x_test"] / 255.0

model = tf.keras.models.Sequential(
    [
        tf.keras.layers.Input((28, 28)),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.Dense(64, activation="relu"),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, data["y_train"], epochs=10, batch_size=32, validation_data=(x_test, data["y_test"]), verbose=2)
print("accuracy", model.evaluate(x_test, data["y_test"], verbose=0)[1])
