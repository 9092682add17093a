"""check_serving: each odd input has exactly one answer, the same by each signature, or the call fails."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from components._data import decoding
from schemas import example
from schemas.artifacts.evaluation import ENCODED, PIXELS, PROBABILITIES, PROBES
from schemas.model_input import ModelInput
from tests.components.serving_checks import check

SIDE = 24


def brightness_model(path, decode):
    """A model of photos that tells dark from bright parts. Its signature `bytes` decodes with `decode`."""

    def answer(pixels):
        left = tf.reduce_mean(tf.cast(pixels[:, :, : SIDE // 2], tf.float32), [1, 2, 3]) / 255
        probabilities = tf.stack([left, 1 - left], 1)
        return {"probabilities": probabilities, "class": tf.argmax(probabilities, -1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(examples):
        parsed = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([], tf.string)})
        return answer(decoding.pixels(parsed["image"], ModelInput((SIDE, SIDE, 3))))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def from_bytes(image_bytes):
        return answer(tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec((SIDE, SIDE, 3), tf.uint8)))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    def images(images):
        return answer(decoding.fitted(images, ModelInput((SIDE, SIDE, 3))))

    signatures = {"serving_default": serving_default, "bytes": from_bytes, "images": images}
    tf.saved_model.save(tf.Module(), str(path / "saved_model"), signatures=signatures)


def photo_probes(path):
    """The folder of an evaluation of that model: two photos as records, encoded and as pixels, and the answers."""
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    contents = [tf.io.encode_png(each).numpy() for each in pixels]
    path.mkdir()
    np.save(path / PIXELS, pixels)
    left = pixels[:, :, : SIDE // 2].mean((1, 2, 3)) / 255
    np.save(path / PROBABILITIES, np.stack([left, 1 - left], 1).astype(np.float32))
    encode = example.encoder("photos", "1", "test")
    records = [encode(image, 0, i, content) for i, (image, content) in enumerate(zip(pixels, contents, strict=True))]
    for name, lines in ((PROBES, records), (ENCODED, contents)):
        with tf.io.TFRecordWriter(str(path / name)) as writer:
            for line in lines:
                writer.write(line)


@pytest.mark.slow
def test_a_photo_is_answered_alike_by_each_signature_whatever_its_format(model, evaluated_alone, tmp_path, new_run):
    photo_probes(tmp_path / "evaluation")

    def reasons(name, decode):
        brightness_model(tmp_path / name, decode)
        candidate = dataclasses.replace(model, path=tmp_path / name)
        return check(candidate, dataclasses.replace(evaluated_alone, path=tmp_path / "evaluation"), new_run()).reasons

    def stretched(content):  # neither EXIF, nor transparency, nor the crop of the other signatures
        image = tf.io.decode_image(content, 3, expand_animations=False)
        return tf.cast(tf.image.resize(image, (SIDE, SIDE)), tf.uint8)

    assert reasons("own", lambda content: decoding.decoded(content[tf.newaxis], ModelInput((SIDE, SIDE, 3)))[0]) == ()
    refused = " ".join(reasons("other", stretched))
    assert re.search(r"the answers to an image that EXIF turns differ by 0\.\d+, depending on signature", refused)
    assert re.search(r"the answers to a PNG with transparency differ by 0\.\d+", refused)
    assert "a text in place of an image" not in refused


def test_a_model_that_answers_broken_records_is_refused(model, evaluated_alone, tmp_path, new_run):
    """It cuts the bytes of all records of a call into images, whatever the length of each is."""
    loaded = tf.saved_model.load(str(model.path / "saved_model"))
    module = tf.Module()
    module.loaded, by_pixels = loaded, loaded.signatures["images"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(examples):
        missing = tf.io.FixedLenFeature([], tf.string, default_value="")
        joined = tf.strings.reduce_join(tf.io.parse_example(examples, {"image": missing})["image"])
        size = tf.strings.length(joined) // 784 * 784
        pixels = tf.io.decode_raw(tf.strings.substr(joined, 0, size), tf.uint8)
        return by_pixels(images=tf.reshape(pixels, [-1, 28, 28]))

    signatures = {"serving_default": serving_default, "images": by_pixels}
    tf.saved_model.save(module, str(tmp_path / "saved_model"), signatures=signatures)
    check_ = check(dataclasses.replace(model, path=tmp_path), evaluated_alone, new_run())
    broken = (
        "an image of no pixels",
        "an image with a byte too few",
        "an image with a byte too many",
        "an image of twice the pixels",
        "a record without an image",
    )
    expected = [f"signature serving_default answers {name}, for which it must fail" for name in broken]
    assert check_.reasons == tuple(f"serving check: {each}" for each in expected)
