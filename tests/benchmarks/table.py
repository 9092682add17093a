"""The table of `make bench`: metrics with their targets; and the timing of cold processes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = tuple[str, str, str, bool | None]  # metric, measured value, target, and whether the target was reached


def at_most(metric: str, value: float, target: float, unit: str = "") -> Row:
    return metric, _text(value, unit), f"at most {_text(target, unit)}", value <= target


def at_least(metric: str, value: float, target: float, unit: str = "") -> Row:
    return metric, _text(value, unit), f"at least {_text(target, unit)}", value >= target


def _text(value: float, unit: str) -> str:
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}") + (f" {unit}" if unit else "")


def show(rows: list[Row]) -> None:
    table = Table("metric", "measured", "target", "")
    for name, measured, target, reached in rows:
        table.add_row(name, measured, target, "" if reached is None else "reached" if reached else "MISSED")
    Console().print(table)


def timed(command: list[str], cwd: Path | None = None, allowed: tuple[int, ...] = (0,)) -> tuple[float, float, str]:
    """Wall seconds, peak memory in GB of the largest process, and stdout of a cold process.

    `allowed`: exit codes. Another one ends the benchmark.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in allowed:
            sys.exit(f"{' '.join(command)} exited with {process.returncode}:\n{err.read()[-3000:]}")
        return seconds, usage.ru_maxrss / 2**20, out.read()


def result(module: str, *arguments: str) -> Any:
    """What a module of benchmarks prints in its last line, as JSON. It runs in a process of its own."""
    return json.loads(timed([sys.executable, "-m", module, *arguments])[2].splitlines()[-1])
