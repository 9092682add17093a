"""The crash matrix and other faults: `python -m tests.crash --points 500 --faults 121`.

Exit code 1 if anything partial or lost was found.
"""

import argparse
import collections
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.crash import faults, forked_run, matrix

EVERY_STATE = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--points", type=int, default=0, help="number of runs to kill")
    parser.add_argument("--faults", type=int, default=0, help="number of runs with another fault")
    parser.add_argument("--seed", type=int, default=1, help="seed of the points and faults")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes")
    parser.add_argument("--data-dir", type=Path, help="the data directory of TFDS; mnist_sample is prepared if absent")
    parser.add_argument("--keep", type=Path, help="a folder for all files; those with findings are kept")
    parser.add_argument(
        "--stages", nargs="*", default=(), help="only states before these stages, or push, first push, cold"
    )
    options = parser.parse_args()
    if not options.points + options.faults:
        parser.error("state a number with --points, --faults, or both")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="crash-"))
    began = time.monotonic()
    forked_run.warm_up()
    log(f"imported in {time.monotonic() - began:.0f} s")
    data_dir = options.data_dir or folder / "data"
    states = matrix.prepare(folder / "states", data_dir, options.points or EVERY_STATE, log, options.stages)
    for name, state in states.items():
        log(f"{name:14} {state.writes:4} writes in {state.seconds:.1f} s")
    kills = (
        [functools.partial(matrix.kill, point, states) for point in matrix.spread(states, options.seed)]
        if options.points
        else []
    )
    others = [
        functools.partial(faults.inject, task, states) for task in faults.spread(states, options.faults, options.seed)
    ]
    tasks = [functools.partial(task, folder / f"{i}", data_dir) for i, task in enumerate([*kills, *others])]
    results = do_all(tasks, folder, options.workers)
    stage_table([result for result in results if result.kind not in faults.FAULTS])
    fault_table([result for result in results if result.kind in faults.FAULTS])
    with_findings = [result for result in results if result.findings]
    for result in with_findings:
        print(f"{result.state}, {result.kind} in {result.stage}: {'; '.join(result.findings)}")
    print(
        f"{len(kills)} runs killed, {len(others)} with another fault: "
        f"{sum(r.polls for r in results):,} looks at the serving directory,"
        f" {len(with_findings)} findings, {(time.monotonic() - began) / 60:.1f} minutes (seed {options.seed})"
    )
    if not with_findings and not options.keep:
        shutil.rmtree(folder)
    return int(bool(with_findings) or len(results) != len(tasks))


def do_all(tasks: list[Callable[[], matrix.Result]], folder: Path, workers: int) -> list[matrix.Result]:
    """Runs all tasks in `workers` processes. Each process writes its results to its own file."""
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            try:
                with (folder / f"results-{worker}").open("w", buffering=1, encoding="utf-8") as out:
                    for i in range(worker, len(tasks), workers):
                        result = tasks[i]()
                        print(json.dumps(asdict(result)), file=out)
                        findings = "; ".join(result.findings)
                        log(
                            f"{i:4} {result.state:14} {result.stage:14} {result.kind:12} {result.seconds:5.1f} s  "
                            f"{findings}"
                        )
            except BaseException as error:
                log(f"worker {worker}: {type(error).__name__}: {error}")
                raise
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lines = [
        line
        for worker in range(workers)
        for line in (folder / f"results-{worker}").read_text(encoding="utf-8").splitlines()
    ]
    return [matrix.Result(**json.loads(line)) for line in lines]


def stage_table(results: list[matrix.Result]) -> None:
    """Prints by stage and kind the number of runs, and the number with findings."""
    if not results:
        return
    kinds = sorted({result.kind for result in results})
    stages = sorted({result.stage for result in results})
    count, with_findings = collections.Counter(), collections.Counter()
    for result in results:
        count[result.stage, result.kind] += 1
        with_findings[result.stage] += bool(result.findings)
    print("| stage | " + " | ".join(kinds) + " | all | found |")
    print("|---" * (len(kinds) + 3) + "|")
    for stage in stages:
        row = [count[stage, kind] for kind in kinds]
        print(f"| {stage} | " + " | ".join(str(n or "") for n in row) + f" | {sum(row)} | {with_findings[stage]} |")
    totals = [sum(count[stage, kind] for stage in stages) for kind in kinds]
    print("| all | " + " | ".join(map(str, totals)) + f" | {sum(totals)} | {sum(with_findings.values())} |", flush=True)


def fault_table(results: list[matrix.Result]) -> None:
    """Prints by fault the number of stages and runs, and the number of runs with findings."""
    if not results:
        return
    print("\n| fault | stages | runs | found |\n|---|---|---|---|")
    for fault in faults.FAULTS:
        of_fault = [result for result in results if result.kind == fault]
        with_findings = sum(bool(r.findings) for r in of_fault)
        print(f"| {fault} | {len({r.stage for r in of_fault})} | {len(of_fault)} | {with_findings} |")
    print(flush=True)


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
