"""Warm-up requests, which TensorFlow Serving replays before it serves a version, so that the first request is fast.

Format: a TFRecord of `PredictionLog`, at most 1,000 of them, in `assets.extra/tf_serving_warmup_requests`
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from schemas.artifacts.evaluation import ENCODED, PIXELS, PROBES

with epy.lazy_imports():
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2


def write(path: Path, model_name: str, probes: Path, batches: list[int]) -> None:
    """A request for each batch and signature, made of real images. `probes`: the folder of the evaluation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, inputs in _requests(probes, batches):
            request = predict_pb2.PredictRequest(
                inputs={key: tf.make_tensor_proto(value) for key, value in inputs.items()}
            )
            request.model_spec.name, request.model_spec.signature_name = model_name, name
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString(deterministic=True))


def _requests(probes: Path, batches: list[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    inputs = {
        "serving_default": ("examples", _strings(probes / PROBES)),
        "images": ("images", np.load(probes / PIXELS, allow_pickle=False)),
    }
    if (probes / ENCODED).exists():
        inputs["bytes"] = ("image_bytes", _strings(probes / ENCODED))
    for batch in batches:
        for name, (key, values) in inputs.items():
            yield name, {key: values[np.arange(batch) % len(values)]}


def _strings(path: Path) -> "np.ndarray":
    return np.array(list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()), object)
