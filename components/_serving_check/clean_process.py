"""Loads a SavedModel as a user's process does: this script imports TensorFlow and nothing of the project.

Reads one line of JSON: {"saved_model", "served", "records", "encoded", "pixels", "probabilities", "odd", "batches",
"tolerance"}; all but the last two are paths; `served` and `encoded` may be null. `odd` is a list of {"name", "inputs",
"fails"}, written by `odd_inputs`. Writes a line of JSON when TensorFlow is loaded:
{"tensorflow_mb"}. Then the result, or {"error"}:

    load_seconds, difference     largest difference of any probability to the evaluator's
    memory                       loaded_mb, peak_mb: resident, in 10^6 bytes, above what TensorFlow alone took
    odd                          a sentence for each odd input that is not answered as it must be
    latency                      a row for each signature and batch: calls, p50_ms, p95_ms, p99_ms
    signatures, served           {signature: {inputs, outputs: {name: [dtype, shape]}}}; -1: any size, null: any shape
"""

import atexit
import base64
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SECONDS = 0.05  # of measuring, for each signature and batch
MIN_CALLS, MAX_CALLS = 10, 200  # calls


def main() -> dict[str, object]:
    alone = memory_mb("VmRSS")
    print(json.dumps({"tensorflow_mb": alone}), flush=True)
    line = sys.stdin.readline()
    if not line:
        return {"error": "no request was received"}
    task = json.loads(line)
    records = strings(task["records"])
    expected = np.load(task["probabilities"], allow_pickle=False)
    started = time.perf_counter()
    model = tf.saved_model.load(task["saved_model"])
    result: dict[str, object] = {"load_seconds": time.perf_counter() - started}
    loaded = memory_mb("VmRSS")
    probes = {
        "serving_default": {"examples": records},
        "images": {"images": np.load(task["pixels"], allow_pickle=False)},
    }
    if task["encoded"]:
        probes["bytes"] = {"image_bytes": strings(task["encoded"])}
    calls = {name: model.signatures[name] for name in probes}
    outputs = {name: call(**constants(probes[name])) for name, call in calls.items()}
    answers = [each["probabilities"].numpy() for each in outputs.values()]
    for name, call in calls.items():  # each image has its own prediction, wherever it is in the batch
        backwards = call(**{key: tf.constant(each[::-1]) for key, each in probes[name].items()})
        answers.append(backwards["probabilities"].numpy()[::-1])
    for name, each in outputs.items():
        if not np.array_equal(each["class"].numpy(), each["probabilities"].numpy().argmax(-1)):
            return {"error": f"signature {name}: class is not the most probable one"}
    result["difference"] = max(float(np.abs(answer - expected).max()) for answer in answers)
    odd = itertools.chain(
        odd_answers(calls, probes, json.loads(Path(task["odd"]).read_text(encoding="utf-8")), task["tolerance"]),
        odd_sizes(calls["images"], probes["images"]["images"]),
    )
    result["odd"] = list(dict.fromkeys(odd))  # once, if an input is wrong alone and in a batch
    result["latency"] = [
        {"signature": name, "batch": batch, **latency(call, constants(probes[name], batch))}
        for name, call in calls.items()
        for batch in task["batches"]
    ]
    result["memory"] = {"tensorflow_mb": alone, "loaded_mb": loaded - alone, "peak_mb": memory_mb("VmHWM") - alone}
    result["signatures"] = signatures(task["saved_model"])
    result["served"] = signatures(task["served"]) if task["served"] else None
    return result


def odd_answers(calls: Any, probes: Any, odd: list[dict[str, Any]], tolerance: float) -> Iterator[str]:
    """A sentence for each odd input that has not exactly one answer, the same by each signature, alone and in a batch.

    An input that must fail must fail the whole call: a client could not tell which answer is missing.
    """
    for each in odd:
        answers: list[np.ndarray] = []
        for signature, texts in each["inputs"].items():
            ((name, valid),) = probes[signature].items()
            for content in map(base64.b64decode, texts):
                for batch in ([content], [valid[0], content]):
                    try:
                        answer = calls[signature](**{name: tf.constant(batch)})["probabilities"].numpy()
                    except tf.errors.OpError as error:
                        if not each["fails"]:
                            yield f"signature {signature} fails for {each['name']}: {cause(error)}"
                        continue
                    if each["fails"]:
                        yield f"signature {signature} answers {each['name']}, for which it must fail"
                    elif len(answer) != len(batch) or not np.isfinite(answer).all():
                        yield f"signature {signature} does not answer {each['name']} with one prediction"
                    else:
                        answers.append(answer[-1])
        if answers and (difference := float(np.ptp(answers, 0).max())) > tolerance:
            yield f"the answers to {each['name']} differ by {difference:.2g}, depending on signature and batch"


def odd_sizes(call: Any, pixels: np.ndarray) -> Iterator[str]:
    """The same for pixels of other sizes, if the signature takes any size."""
    shape = call.structured_input_signature[1]["images"].shape
    if None not in shape[1:3]:
        return
    for height, width in ((1, 1), (7, 300)):
        images = tf.zeros((2, height, width, *pixels.shape[3:]), tf.uint8)
        try:
            answers = call(images=images)["probabilities"]
        except tf.errors.OpError as error:
            yield f"signature images fails for images of {height} x {width}: {cause(error)}"
            continue
        if len(answers) != 2:
            yield f"signature images answers two images of {height} x {width} with {len(answers)} predictions"


def cause(error: Exception) -> str:
    """TensorFlow puts the cause last."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return lines[-1].strip()


def memory_mb(name: str) -> float:
    """VmRSS is the current value, VmHWM the peak. `getrusage` would include the peak of the parent process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(lines[name].split()[0]) * 1024 / 1e6


def strings(path: str) -> np.ndarray:
    """object [n], bytes: the records of a TFRecord."""
    return np.array(list(tf.data.TFRecordDataset(path).as_numpy_iterator()), object)


def constants(inputs: dict[str, np.ndarray], batch: int | None = None) -> dict[str, tf.Tensor]:
    """All probes, or a batch of them, repeated if there are too few."""
    return {
        name: tf.constant(each if batch is None else each[np.arange(batch) % len(each)])
        for name, each in inputs.items()
    }


def latency(call: Any, inputs: dict[str, tf.Tensor]) -> dict[str, float]:
    """Percentiles by nearest rank, after one call to warm up."""
    call(**inputs)
    times_ms: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(times_ms) < MIN_CALLS or (len(times_ms) < MAX_CALLS and time.perf_counter() < until):
        started = time.perf_counter()
        call(**inputs)
        times_ms.append(1000 * (time.perf_counter() - started))
    times_ms.sort()
    return {
        "calls": len(times_ms),
        **{f"p{q}_ms": times_ms[math.ceil(q / 100 * len(times_ms)) - 1] for q in (50, 95, 99)},
    }


def signatures(path: str) -> dict[str, dict[str, dict[str, list[object]]]]:
    """The signatures of a SavedModel, read without running it."""
    (graph, *_) = saved_model_pb2.SavedModel.FromString(Path(path, "saved_model.pb").read_bytes()).meta_graphs
    return {
        name: {"inputs": tensors(signature.inputs), "outputs": tensors(signature.outputs)}
        for name, signature in sorted(graph.signature_def.items())
        if not name.startswith("__")  # TensorFlow's own
    }


def tensors(infos: Any) -> dict[str, list[object]]:
    return {
        name: [
            tf.dtypes.as_dtype(info.dtype).name,
            None if info.tensor_shape.unknown_rank else [each.size for each in info.tensor_shape.dim],
        ]
        for name, info in sorted(infos.items())
    }


if __name__ == "__main__":
    try:
        answer = main()
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {cause(error)}"}
    print(json.dumps(answer), flush=True)
    atexit._run_exitfuncs()
    os._exit(0)  # the result is written; TensorFlow takes a second to shut down
