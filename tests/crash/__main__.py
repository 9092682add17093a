"""The crash matrix, and other faults: `python -m tests.crash --points 500 --faults 121`.

Exit code 1 if anything partial or lost was ever seen.
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

from tests.crash import faults, matrix, victim

EVERY_STATE = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--points", type=int, default=0, help="how many runs are killed")
    parser.add_argument("--faults", type=int, default=0, help="how many runs meet another fault")
    parser.add_argument("--seed", type=int, default=1, help="of where")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many at the same time")
    parser.add_argument("--data-dir", type=Path, help="where TFDS has prepared mnist_sample; it is prepared if absent")
    parser.add_argument("--keep", type=Path, help="a folder for all that is made; what went wrong stays there")
    parser.add_argument(
        "--stages", nargs="*", default=(), help="only while these are still to be done, or push, first push, cold"
    )
    given = parser.parse_args()
    if not given.points + given.faults:
        parser.error("say how many: --points, --faults, or both")
    folder = given.keep or Path(tempfile.mkdtemp(prefix="crash-"))
    began = time.monotonic()
    victim.warm_up()
    say(f"imported in {time.monotonic() - began:.0f} s")
    data_dir = given.data_dir or folder / "data"
    states = matrix.prepare(folder / "states", data_dir, given.points or EVERY_STATE, say, given.stages)
    for name, state in states.items():
        say(f"{name:14} {state.writes:4} writes in {state.seconds:.1f} s")
    kills = (
        [functools.partial(matrix.strike, point, states) for point in matrix.spread(states, given.seed)]
        if given.points
        else []
    )
    others = [
        functools.partial(faults.inflict, task, states) for task in faults.spread(states, given.faults, given.seed)
    ]
    tasks = [functools.partial(task, folder / f"{i}", data_dir) for i, task in enumerate([*kills, *others])]
    results = do_all(tasks, folder, given.workers)
    table([result for result in results if result.kind not in faults.FAULTS])
    listed([result for result in results if result.kind in faults.FAULTS])
    bad = [result for result in results if result.found]
    for result in bad:
        print(f"{result.state}, {result.kind} in {result.stage}: {'; '.join(result.found)}")
    print(
        f"{len(kills)} runs killed, {len(others)} with another fault: "
        f"{sum(r.looks for r in results):,} looks at the serving directory,"
        f" {len(bad)} findings, {(time.monotonic() - began) / 60:.1f} minutes (seed {given.seed})"
    )
    if not bad and not given.keep:
        shutil.rmtree(folder)
    return int(bool(bad) or len(results) != len(tasks))


def do_all(tasks: list[Callable[[], matrix.Result]], folder: Path, workers: int) -> list[matrix.Result]:
    """Every task, by as many processes. Each writes what it found to a file of its own."""
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            try:
                with (folder / f"results-{worker}").open("w", buffering=1, encoding="utf-8") as out:
                    for i in range(worker, len(tasks), workers):
                        result = tasks[i]()
                        print(json.dumps(asdict(result)), file=out)
                        found = "; ".join(result.found)
                        say(
                            f"{i:4} {result.state:14} {result.stage:14} {result.kind:12} {result.seconds:5.1f} s  "
                            f"{found}"
                        )
            except BaseException as error:
                say(f"worker {worker}: {type(error).__name__}: {error}")
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


def table(results: list[matrix.Result]) -> None:
    """By stage and kind: how many, and in how many of them something was found."""
    if not results:
        return
    kinds = sorted({result.kind for result in results})
    stages = sorted({result.stage for result in results})
    count, found = collections.Counter(), collections.Counter()
    for result in results:
        count[result.stage, result.kind] += 1
        found[result.stage] += bool(result.found)
    print("| stage | " + " | ".join(kinds) + " | all | found |")
    print("|---" * (len(kinds) + 3) + "|")
    for stage in stages:
        row = [count[stage, kind] for kind in kinds]
        print(f"| {stage} | " + " | ".join(str(n or "") for n in row) + f" | {sum(row)} | {found[stage]} |")
    totals = [sum(count[stage, kind] for stage in stages) for kind in kinds]
    print("| all | " + " | ".join(map(str, totals)) + f" | {sum(totals)} | {sum(found.values())} |", flush=True)


def listed(results: list[matrix.Result]) -> None:
    """By fault: how many, before how many stages, and in how many of them something was found."""
    if not results:
        return
    print("\n| fault | stages | runs | found |\n|---|---|---|---|")
    for fault in faults.FAULTS:
        mine = [result for result in results if result.kind == fault]
        print(f"| {fault} | {len({r.stage for r in mine})} | {len(mine)} | {sum(bool(r.found) for r in mine)} |")
    print(flush=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
