"""The training of the line on photos as tutorials write it: `image_dataset_from_directory` and `fit`.

python -m tests.benchmarks.bare_photos FOLDER MODEL EPOCHS     # MODEL: a model.keras that is trained again
"""

import sys

import tensorflow as tf

HELD_OUT = 0.28  # not in the train split of the line: a fifth for test, a tenth of the rest for validation

folder, model_path, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
network = tf.keras.models.clone_model(tf.keras.models.load_model(model_path, compile=False))
train, validation = tf.keras.utils.image_dataset_from_directory(
    folder,
    validation_split=HELD_OUT,
    subset="both",
    seed=1,
    image_size=network.input_shape[1:3],
    batch_size=32,
    crop_to_aspect_ratio=True,
)
steps = [tf.keras.layers.RandomFlip("horizontal"), tf.keras.layers.RandomZoom(0.1, fill_mode="nearest")]
model = tf.keras.Sequential([tf.keras.layers.Rescaling(1 / 255), *steps, network])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(train, epochs=epochs, validation_data=validation, verbose=2)
print("accuracy", history.history["val_accuracy"][-1])
