"""check_serving: a clean process that has nothing of the project loads the model and calls it."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.component import Run, component
from schemas.artifacts import Evaluation, Model, ServingCheck
from schemas.settings import Serving

CALLS = 50


@contextlib.contextmanager
def clean_process() -> Iterator["subprocess.Popen[str]"]:
    """An interpreter in isolated mode, in an empty directory, that imports TensorFlow and waits to be asked."""
    script = Path(__file__).with_name("_clean_process.py")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    with tempfile.TemporaryDirectory() as empty:
        process = subprocess.Popen(
            [sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=empty,
            env=kept,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@component(ahead=clean_process)
def check_serving(model: Model, evaluation: Evaluation, *, budgets: Serving, run: Run) -> ServingCheck:
    """Passes if both signatures answer as the evaluator heard them answer, within the budgets of time."""
    with contextlib.nullcontext(run.ahead) if run.ahead else clean_process() as process:
        found = _ask(process, model, evaluation, budgets)
    reasons = [found["error"]] if "error" in found else list(_over(found, budgets))
    (run.out / "serving.json").write_text(json.dumps(found, indent=2))
    if not reasons:
        run.say(f"loads in {found['load_seconds']:.2f} s, answers in {found['latency_ms']:.2f} ms")
    return ServingCheck(
        run.out,
        passed=not reasons,
        reasons=tuple(f"serving check: {reason}" for reason in reasons),
        remedy="The budgets stand in check_serving of the configuration. Nothing was pushed.",
        load_seconds=found.get("load_seconds", 0.0),
        latency_ms=found.get("latency_ms", 0.0),
        difference=found.get("difference", 0.0),
    )


def _ask(process: "subprocess.Popen[str]", model: Model, evaluation: Evaluation, budgets: Serving) -> dict[str, Any]:
    task = {
        "saved_model": str((model.path / "saved_model").absolute()),
        "records": str((evaluation.path / "probes.tfrecord").absolute()),
        "probabilities": str((evaluation.path / "probes.npy").absolute()),
        "calls": CALLS,
    }
    try:
        answer, _ = process.communicate(json.dumps(task) + "\n", timeout=budgets.timeout_seconds)
    except subprocess.TimeoutExpired:
        return {"error": f"the model gave no answer in {budgets.timeout_seconds:g} s"}
    if not answer.strip():
        return {"error": f"the process that loaded the model ended with {process.returncode} and said nothing"}
    found: dict[str, Any] = json.loads(answer.strip().splitlines()[-1])
    return found


def _over(found: dict[str, Any], budgets: Serving) -> Iterator[str]:
    """What is over its budget, in words."""
    if not math.isfinite(found["difference"]) or found["difference"] > budgets.tolerance:
        differ = f"probabilities differ from the evaluator's by {found['difference']:.2g}"
        yield f"{differ}; check_serving.tolerance allows {budgets.tolerance:g}"
    if found["load_seconds"] > budgets.load_seconds:
        yield f"loading took {found['load_seconds']:.2f} s; check_serving.load_seconds allows {budgets.load_seconds:g}"
    slowest = max(found["latency_ms"], found["images_latency_ms"])
    if slowest > budgets.latency_ms:
        yield f"one image took {slowest:.2f} ms; check_serving.latency_ms allows {budgets.latency_ms:g}"
