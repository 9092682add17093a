"""Warm-up requests, which TensorFlow Serving replays before it serves a version, so that the first request is fast.

Format: a TFRecord of `PredictionLog`, at most 1,000 of them, in `assets.extra/tf_serving_warmup_requests`
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from etils import epy

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2


def write(path: Path, model_name: str, records: Path, batches: list[int], shape: list[int]) -> None:
    """A request for each batch and signature, made of real records; `shape` is that of one image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, inputs in _requests(list(tf.data.TFRecordDataset(str(records)).as_numpy_iterator()), batches, shape):
            request = predict_pb2.PredictRequest(
                inputs={key: tf.make_tensor_proto(value) for key, value in inputs.items()}
            )
            request.model_spec.name, request.model_spec.signature_name = model_name, name
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString(deterministic=True))


def _requests(records: list[bytes], batches: list[int], shape: list[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    images = [tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0] for record in records]
    for batch in batches:
        yield "serving_default", {"examples": list(islice(cycle(records), batch))}
        pixels = np.frombuffer(b"".join(islice(cycle(images), batch)), np.uint8)
        yield "images", {"images": pixels.reshape(batch, *shape)}
