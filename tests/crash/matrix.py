"""Which points there are, and what becomes of each.

states = prepare(folder, data_dir, 500, say)     # a line that served two models, copied for every point
points = spread(states, seed=1)
result = strike(points[0], states, folder / "0", data_dir)     # Result(stage="push", kind="rename", found=[])
"""

import itertools
import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components import mnist_sample
from components.sources import idx
from pipeline.lineage import Lineage
from tests import spans
from tests.crash import checks, victim

MODEL = "mnist_sample"
SAMPLE = Path(mnist_sample.__file__).parent
SETTINGS = (
    "source.train=train[:300]", "source.test=test[:100]", "train.epochs=1", "train.batch_size=8",
    "train.optimizer.learning_rate=0.01", "train.model.layers=[16]", "evaluate.corruptions=[]",
    "validate.skew=ignore", "gates.accuracy=0.4", "gates.per_class=0.11", "gates.paired.margin=0.28",
    "gates.budget.margin=0.29", "gates.paired.undecided=pass", "gates.min_examples=5", "spans.fresh=0",
)  # fmt: skip
# Of all points; pushes write what others read. The rest is equal among the other stages.
SHARES = {"push": 0.5, "train": 0.06, "cold": 0.04}
BY_TIME = 0.25  # of the points of each state: killed at a random time, not at a write


@dataclass(frozen=True)
class Point:
    """Where a run is killed: at its `write`-th write, or after `seconds`."""

    state: str
    write: int | None = None
    seconds: float | None = None

    def earlier(self) -> "Point":
        if self.write is not None:
            return Point(self.state, write=self.write - 1)
        return Point(self.state, seconds=(self.seconds or 0) * 0.9)


@dataclass(frozen=True)
class Result:
    """What became of it. `found`: whatever is not as it must be."""

    state: str
    stage: str
    kind: str
    found: list[str]
    looks: int
    seconds: float


@dataclass(frozen=True)
class State:
    """A ROOT in which one stage is still to be done (`cold`: all are), and what its run writes."""

    root: Path
    seed: int
    writes: int
    seconds: float
    models: int  # that are served in the end
    points: int  # how many runs from here are killed


def command(root: Path, data_dir: Path, seed: int) -> list[str]:
    """The command that is killed: on the sample, and on a span of images beside it."""
    sets = (*SETTINGS, f"source.data_dir={data_dir}", f"spans.directory={_spans(data_dir)}", f"train.seed={seed}")
    return ["run", "--root", str(root), *(argument for each in sets for argument in ("--set", each))]


def _spans(data_dir: Path) -> Path:
    """A directory with one span of fifty images, beside the data that TFDS prepares."""
    directory = data_dir / "spans"
    if not directory.exists():
        images, labels = (idx.array(SAMPLE / f"train-{what}-ubyte.gz")[-50:] for what in ("images-idx3", "labels-idx1"))
        spans.deliver(made := data_dir / f".spans-{os.getpid()}", "span-1", images, labels, form="idx")
        made.rename(directory)
    return directory


def prepare(
    folder: Path, data_dir: Path, number: int, log: Callable[[str], None], only: Sequence[str] = ()
) -> dict[str, State]:
    """Trains and serves two models; from there, a state for each stage to kill, with its part of `number`.

    `only`: no other stages than these; empty: all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole, first = folder / "whole", folder / "first"
    log("two models are trained and served")
    for seed, after in ((1, first), (2, None)):
        code = victim.run(command(whole, data_dir, seed), folder / "log", None, lambda: None)
        if code:
            raise SystemExit(
                f"the line itself ends with {code}:\n{(folder / 'log').read_text(encoding='utf-8')[-2000:]}"
            )
        if after:
            shutil.copytree(whole, after)
    keys = _keys(whole)
    roots = {stage: _without(whole, stage, key, folder / stage) for stage, key in keys.items()}
    roots["push"] = _copied(whole, folder / "push")
    shutil.rmtree(roots["push"] / "serving")
    shutil.copytree(first / "serving", roots["push"] / "serving")
    roots["first push"] = _copied(first, folder / "first push")
    shutil.rmtree(roots["first push"] / "serving")
    roots["cold"] = folder / "cold"
    return {
        name: _measured(name, roots[name], folder, data_dir, points)
        for name, points in shared([name for name in roots if not only or name in only], number).items()
    }


def shared(names: list[str], number: int) -> dict[str, int]:
    """How many points each state gets, by its share; those that would get none are left out."""
    large = {
        "push": SHARES["push"] / 2,
        "first push": SHARES["push"] / 2,
        "train": SHARES["train"],
        "cold": SHARES["cold"],
    }
    others = [name for name in names if name not in large]
    shares = {name: share for name, share in large.items() if name in names}
    shares |= dict.fromkeys(others, (1 - sum(large.values())) / max(1, len(others)))
    whole = sum(shares.values())
    bounds = [0, *(round(number * share / whole) for share in itertools.accumulate(shares.values()))]
    return {
        name: end - start for name, (start, end) in zip(shares, itertools.pairwise(bounds), strict=True) if end > start
    }


def _measured(name: str, root: Path, folder: Path, data_dir: Path, points: int) -> State:
    """The state, with how many writes and how long its run takes."""
    seed = 1 if name in ("first push", "cold") else 2
    trial, told, began = folder / "trial", folder / f"{name}.writes", time.monotonic()
    _copied(root, trial)
    code = victim.run(command(trial, data_dir, seed), folder / "log", victim.Hooks(trial, told), lambda: None)
    if code:
        raise SystemExit(
            f"the line from state {name} ends with {code}:\n{(folder / 'log').read_text(encoding='utf-8')[-2000:]}"
        )
    seconds, served = time.monotonic() - began, trial / "serving" / MODEL
    models = len({checks.identity(path) for path in served.iterdir() if path.name.isdigit()})
    shutil.rmtree(trial)
    return State(root, seed, len(told.read_text(encoding="utf-8").splitlines()), seconds, models, points)


def spread(states: dict[str, State], seed: int) -> list[Point]:
    """Where each state's runs are killed: evenly over its writes, with a share at random times."""
    chance, points = random.Random(seed), []
    for name, state in states.items():
        timed = round(state.points * BY_TIME)
        writes = state.points - timed
        step = state.writes / writes
        points += [Point(name, write=min(state.writes - 1, int((i + chance.random()) * step))) for i in range(writes)]
        points += [Point(name, seconds=chance.random() * state.seconds) for _ in range(timed)]
    chance.shuffle(points)
    return points


def strike(point: Point, states: dict[str, State], folder: Path, data_dir: Path) -> Result:
    """Kill a run there, look, let the next run do its work, and look again."""
    began, root, told, log = time.monotonic(), folder / "root", folder / "told", folder / "log"
    state = states[point.state]
    folder.mkdir(parents=True)
    _copied(state.root, root)
    shelf = root / "serving" / MODEL
    poller, arguments = checks.Poller(shelf), command(root, data_dir, state.seed)
    hooks = victim.Hooks(root, told, kill_at=-1 if point.write is None else point.write)
    code = victim.run(arguments, log, hooks, poller, point.seconds)
    if code == 0 and not poller.found:  # no two runs take as long or write as often: this one had ended
        shutil.rmtree(folder)
        return strike(point.earlier(), states, folder, data_dir)
    stage, kind = (
        json.loads(told.read_text(encoding="utf-8"))
        if told.exists() and told.stat().st_size
        else (_said(log), "random time")
    )
    found = checks.after_a_kill(root) if code == -9 else [f"it ended with {code} before it was killed"]
    stood = checks.complete(root)
    if (again := victim.run(arguments, log, None, poller)) != 0:
        found.append(f"the next run ended with {again}: {log.read_text(encoding='utf-8')[-300:]}")
    else:
        found += checks.after_the_next_run(root, shelf, stood, state.models)
    found = poller.found + found
    if not found:
        shutil.rmtree(folder)
    return Result(point.state, stage, kind, found, poller.looks, time.monotonic() - began)


def _said(log: Path) -> str:
    """The stage that a victim was in, by the last line of its progress."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    seen = [found[1] for found in map(re.compile(r"(\w+)  ").match, lines) if found]
    return seen[-1] if seen else "store"


def _keys(root: Path) -> dict[str, str]:
    """The key of each stage of the last run that left an artifact, in order."""
    found = {e["stage"]: e["key"] for e in Lineage.at(root, None).executions(2)}
    return {stage: key for stage, key in found.items() if key and (root / "artifacts" / stage / key).exists()}


def _without(root: Path, stage: str, key: str, to: Path) -> Path:
    _copied(root, to)
    shutil.rmtree(to / "artifacts" / stage / key)
    return to


def _copied(root: Path, to: Path) -> Path:
    if root.exists():
        shutil.copytree(root, to)
    return to
