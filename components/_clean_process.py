"""Load a SavedModel as a stranger would: this script knows TensorFlow and nothing of the project.

Reads one line of JSON: {"saved_model", "records", "probabilities", "calls"}, paths but for the last. Writes one line of
JSON: {"load_seconds", "latency_ms", "images_latency_ms", "difference"}, or {"error"}.
"""

import atexit
import json
import os
import statistics
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf


def main() -> dict[str, object]:
    line = sys.stdin.readline()
    if not line:
        return {"error": "was not asked anything"}
    task = json.loads(line)
    records = list(tf.data.TFRecordDataset(task["records"]).as_numpy_iterator())
    expected = np.load(task["probabilities"], allow_pickle=False)
    started = time.perf_counter()
    model = tf.saved_model.load(task["saved_model"])
    loaded = time.perf_counter() - started
    signatures = {name: model.signatures[name] for name in ("serving_default", "images")}
    by_records = signatures["serving_default"](examples=tf.constant(records))
    shape = signatures["images"].structured_input_signature[1]["images"].shape
    raw = tf.io.parse_example(records, {"image": tf.io.FixedLenFeature([], tf.string)})["image"].numpy()
    images = np.stack([np.frombuffer(image, np.uint8).reshape(shape[1:]) for image in raw])
    by_images = signatures["images"](images=tf.constant(images))
    answers = [found["probabilities"].numpy() for found in (by_records, by_images)]
    backwards = signatures["serving_default"](examples=tf.constant(records[::-1]))["probabilities"].numpy()
    answers.append(backwards[::-1])  # each image has its own answer, wherever it stands
    for name, found in zip(signatures, (by_records, by_images), strict=True):
        if not np.array_equal(found["class"].numpy(), found["probabilities"].numpy().argmax(-1)):
            return {"error": f"signature {name}: class is not the most probable one"}
    return {
        "load_seconds": loaded,
        "latency_ms": _median_ms(lambda: signatures["serving_default"](examples=tf.constant(records[:1])), task["calls"]),
        "images_latency_ms": _median_ms(lambda: signatures["images"](images=tf.constant(images[:1])), task["calls"]),
        "difference": max(float(np.abs(found - expected).max()) for found in answers),
    }


def _median_ms(call, times: int) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


if __name__ == "__main__":
    try:
        answer = main()
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"}
    print(json.dumps(answer), flush=True)
    atexit._run_exitfuncs()
    os._exit(0)  # the answer is given; TensorFlow would take a second to take itself apart
