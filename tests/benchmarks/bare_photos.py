"""The training of the line on photos as tutorials write it: `image_dataset_from_directory` and `fit`.

python -m tests.benchmarks.bare_photos FOLDER MODEL EPOCHS     # MODEL: a model.keras, trained again from scratch
"""

import sys
from pathlib import Path

import tensorflow as tf

HELD_OUT = 0.28  # not in the train split of the line: a fifth for test, a tenth of the rest for validation

folder, model_path, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
network = tf.keras.models.clone_model(tf.keras.models.load_model(model_path, compile=False))
options = {"image_size": network.input_shape[1:3], "batch_size": 32, "crop_to_aspect_ratio": True, "seed": 1}
read = tf.keras.utils.image_dataset_from_directory
if (Path(folder) / "train").is_dir():
    train, validation = read(f"{folder}/train", **options), read(f"{folder}/test", **options)
else:
    train, validation = read(folder, validation_split=HELD_OUT, subset="both", **options)
steps = [tf.keras.layers.RandomFlip("horizontal"), tf.keras.layers.RandomZoom(0.1, fill_mode="nearest")]
model = tf.keras.Sequential([tf.keras.layers.Rescaling(1 / 255), *steps, network])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(train, epochs=epochs, validation_data=validation, verbose=2)
print("accuracy", history.history["val_accuracy"][-1])
