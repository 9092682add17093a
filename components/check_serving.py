"""check_serving: a clean process without gateline loads the model and calls it."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epy

from components._serving_check import odd_inputs, signatures, warmup
from pipeline.engine.component import StageRun, component
from schemas.artifacts import WARMUP, Evaluation, Model, Served, ServingCheck
from schemas.artifacts.evaluation import ENCODED, PIXELS, PROBABILITIES, PROBES
from schemas.settings.check_serving import Serving

with epy.lazy_imports():
    import numpy as np

PROGRAM = "components._serving_check.clean_process"  # run as a file, never imported here: it sets its environment
POLL = 0.02  # seconds between two measurements of the process's memory


@contextlib.contextmanager
def started_process() -> Iterator["subprocess.Popen[str]"]:
    """An interpreter in isolated mode, in an empty directory, that imports TensorFlow and waits for a request."""
    script = Path(__file__).parents[1].joinpath(*PROGRAM.split(".")).with_suffix(".py")
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
        if name in os.environ
    }
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


@component(prefetch=started_process)
def check_serving(
    model: Model, evaluation: Evaluation, baseline: Served | None, *, model_name: str, budgets: Serving, run: StageRun
) -> ServingCheck:
    """Passes if all signatures give the evaluator's probabilities within the budgets of time and memory, if each odd
    input has exactly one answer or fails, and if the clients of the served model can call this one. Also writes the
    warm-up requests.
    """
    with contextlib.nullcontext(run.prefetched) if run.prefetched else started_process() as process:
        measured = _request(process, model, evaluation, baseline, budgets, run.scratch / "odd_inputs.json")
    ServingCheck.write_measurements(run.out, measured)
    if "error" in measured:
        return _verdict(run, [measured["error"]])
    loads, latency, p99 = measured["load_seconds"], _slowest(measured, "p50_ms"), _slowest(measured, "p99_ms")
    memory = measured["memory"]["peak_mb"]
    run.log(f"loads in {loads:.2f} s, answers in {latency:.2f} ms (p99 {p99:.2f}), takes {memory:,.0f} MB")
    warmup.write(run.out / WARMUP, model_name, evaluation.path, budgets.batches)
    facts = {
        "load_seconds": loads,
        "latency_ms": latency,
        "p99_ms": p99,
        "memory_mb": memory,
        "difference": measured["difference"],
    }
    return _verdict(run, [*_over(measured, budgets), *_incompatible(measured, baseline, budgets)], **facts)


def _verdict(run: StageRun, reasons: list[str], **facts: Any) -> ServingCheck:
    return ServingCheck(
        run.out,
        passed=not reasons,
        reasons=tuple(f"serving check: {reason}" for reason in reasons),
        remedy="The limits are set in check_serving of the configuration. Nothing was pushed.",
        **facts,
    )


def _request(
    process: "subprocess.Popen[str]",
    model: Model,
    evaluation: Evaluation,
    baseline: Served | None,
    budgets: Serving,
    odd: Path,
) -> dict[str, Any]:
    """The result of the clean process, or {"error"}, also where it had to be stopped."""
    probes = evaluation.path.absolute()
    encoded = (probes / ENCODED).exists()
    odd_inputs.write(odd, np.load(probes / PIXELS, mmap_mode="r").shape[1:], encoded=encoded)
    task = {
        "saved_model": str((model.path / "saved_model").absolute()),
        "served": str(baseline.path.absolute()) if baseline else None,
        "records": str(probes / PROBES),
        "encoded": str(probes / ENCODED) if encoded else None,
        "pixels": str(probes / PIXELS),
        "probabilities": str(probes / PROBABILITIES),
        "batches": sorted({1, *budgets.batches}),
        "tolerance": budgets.tolerance,
        "odd": str(odd.absolute()),
    }
    request: str | None = json.dumps(task) + "\n"
    until = time.monotonic() + budgets.timeout_seconds
    while True:
        try:
            answer, _ = process.communicate(request, timeout=max(0.0, min(POLL, until - time.monotonic())))
            break
        except subprocess.TimeoutExpired as waiting:
            request = None
            if time.monotonic() > until:
                return {"error": f"the model did not answer within {budgets.timeout_seconds:g} s"}
            # Resident memory, not a limit of the kernel: that counts reserved memory, and TensorFlow reserves far more.
            if (held := _above_tensorflow(process.pid, waiting.output or b"")) > budgets.memory_mb:
                return {"error": f"{_memory(held, budgets)}; it was stopped"}
    if not answer.strip():
        return {"error": f"the process that loaded the model exited with code {process.returncode} and no output"}
    result: dict[str, Any] = json.loads(answer.strip().splitlines()[-1])
    return result


def _above_tensorflow(pid: int, printed: bytes) -> float:
    """Memory of the process above what TensorFlow alone takes, in 10^6 bytes; 0 until the process reported that."""
    if b"\n" not in printed:
        return 0.0
    with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
        resident = (
            int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        )
        return resident - float(json.loads(printed.splitlines()[0])["tensorflow_mb"])
    return 0.0


def _over(measured: dict[str, Any], budgets: Serving) -> Iterator[str]:
    """A sentence for each measurement over its budget, and for each odd input that is not answered as it must be."""
    if not math.isfinite(measured["difference"]) or measured["difference"] > budgets.tolerance:
        differ = f"probabilities differ from the evaluator's by {measured['difference']:.2g}"
        yield f"{differ}; check_serving.tolerance allows {budgets.tolerance:g}"
    yield from measured["odd"]
    if measured["load_seconds"] > budgets.load_seconds:
        loading = f"loading took {measured['load_seconds']:.2f} s"
        yield f"{loading}; check_serving.load_seconds allows {budgets.load_seconds:g}"
    if (median := _slowest(measured, "p50_ms")) > budgets.latency_ms:
        yield f"one image took {median:.2f} ms; check_serving.latency_ms allows {budgets.latency_ms:g}"
    if (p99 := _slowest(measured, "p99_ms")) > budgets.p99_ms:
        yield f"the 99th percentile for one image is {p99:.2f} ms; check_serving.p99_ms allows {budgets.p99_ms:g}"
    if (peak := measured["memory"]["peak_mb"]) > budgets.memory_mb:
        yield _memory(peak, budgets)


def _memory(held: float, budgets: Serving) -> str:
    taken = f"the model took {held:,.0f} MB in addition to TensorFlow itself"
    return f"{taken}; check_serving.memory_mb allows {budgets.memory_mb:g}"


def _slowest(measured: dict[str, Any], percentile: str) -> float:
    """Of one image, by the slowest of the signatures."""
    return float(max(row[percentile] for row in measured["latency"] if row["batch"] == 1))


def _incompatible(measured: dict[str, Any], baseline: Served | None, budgets: Serving) -> Iterator[str]:
    if baseline and not budgets.allow_incompatible:
        for incompatibility in signatures.broken(measured["served"], measured["signatures"]):
            broken = f"{incompatibility}. Clients of version {baseline.version} could not call it"
            yield f"{broken}; check_serving.allow_incompatible is false"
