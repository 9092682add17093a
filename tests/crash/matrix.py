"""The kill points, and the result of each.

states = prepare(folder, data_dir, 500, log)     # a line with two served models, copied for every point
points = spread(states, seed=1)
result = kill(points[0], states, folder / "0", data_dir)     # Result(stage="push", kind="rename", findings=[])
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
from tests.crash import checks, forked_run

MODEL = "mnist_sample"
SAMPLE = Path(mnist_sample.__file__).parent
SETTINGS = (
    "source.train=train[:300]", "source.test=test[:100]", "train.epochs=1", "train.batch_size=8",
    "train.optimizer.learning_rate=0.01", "train.model.layers=[16]", "evaluate.corruptions=[]",
    "validate.skew=ignore", "gates.accuracy=0.4", "gates.per_class=0.11", "gates.paired.margin=0.28",
    "gates.budget.margin=0.29", "gates.paired.undecided=pass", "gates.min_examples=5", "spans.fresh=0",
)  # fmt: skip
# Shares of all points. Pushes get most because others read what they write; other stages share the rest equally.
SHARES = {"push": 0.5, "train": 0.06, "cold": 0.04}
BY_TIME = 0.25  # share of the points of each state that are random times and not writes


@dataclass(frozen=True)
class Point:
    """The point where a run is killed: its write number `write`, or after `seconds`."""

    state: str
    write: int | None = None
    seconds: float | None = None

    def earlier(self) -> "Point":
        if self.write is not None:
            return Point(self.state, write=self.write - 1)
        return Point(self.state, seconds=(self.seconds or 0) * 0.9)


@dataclass(frozen=True)
class Result:
    """The result of a point or fault. `findings`: violated invariants."""

    state: str
    stage: str
    kind: str
    findings: list[str]
    polls: int
    seconds: float


@dataclass(frozen=True)
class State:
    """A ROOT in which one stage has not run (`cold`: none has), and the number of writes of its run."""

    root: Path
    seed: int
    writes: int
    seconds: float
    models: int  # number of models served at the end
    points: int  # number of runs from this state that are killed


def command(root: Path, data_dir: Path, seed: int) -> list[str]:
    """The command that is killed: a run on the sample and one span."""
    sets = (*SETTINGS, f"source.data_dir={data_dir}", f"spans.directory={_spans(data_dir)}", f"train.seed={seed}")
    return ["run", "--root", str(root), *(argument for setting in sets for argument in ("--set", setting))]


def _spans(data_dir: Path) -> Path:
    """A directory with one span of fifty images, next to the data that TFDS prepares."""
    directory = data_dir / "spans"
    if not directory.exists():
        images, labels = (idx.array(SAMPLE / f"train-{what}-ubyte.gz")[-50:] for what in ("images-idx3", "labels-idx1"))
        spans.deliver(temporary := data_dir / f".spans-{os.getpid()}", "span-1", images, labels, layout="idx")
        temporary.rename(directory)
    return directory


def prepare(
    folder: Path, data_dir: Path, number: int, log: Callable[[str], None], only: Sequence[str] = ()
) -> dict[str, State]:
    """Trains and serves two models, and derives a state for each stage to kill, with its share of `number`.

    `only`: restricts the stages; empty: all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    complete_root, first = folder / "whole", folder / "first"
    log("training and serving two models")
    for seed, after in ((1, first), (2, None)):
        code = forked_run.run(command(complete_root, data_dir, seed), folder / "log", None, lambda: None)
        if code:
            raise SystemExit(
                f"the line itself ends with {code}:\n{(folder / 'log').read_text(encoding='utf-8')[-2000:]}"
            )
        if after:
            shutil.copytree(complete_root, after)
    keys = _keys(complete_root)
    roots = {stage: _without(complete_root, stage, key, folder / stage) for stage, key in keys.items()}
    roots["push"] = _copied(complete_root, folder / "push")
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
    """The number of points of each state, by its share; states without points are omitted."""
    given_shares = {
        "push": SHARES["push"] / 2,
        "first push": SHARES["push"] / 2,
        "train": SHARES["train"],
        "cold": SHARES["cold"],
    }
    others = [name for name in names if name not in given_shares]
    shares = {name: share for name, share in given_shares.items() if name in names}
    shares |= dict.fromkeys(others, (1 - sum(given_shares.values())) / max(1, len(others)))
    total = sum(shares.values())
    bounds = [0, *(round(number * share / total) for share in itertools.accumulate(shares.values()))]
    return {
        name: end - start for name, (start, end) in zip(shares, itertools.pairwise(bounds), strict=True) if end > start
    }


def _measured(name: str, root: Path, folder: Path, data_dir: Path, points: int) -> State:
    """The state with the number of writes and the duration of its run."""
    seed = 1 if name in ("first push", "cold") else 2
    trial, events_file, started = folder / "trial", folder / f"{name}.writes", time.monotonic()
    _copied(root, trial)
    code = forked_run.run(
        command(trial, data_dir, seed), folder / "log", forked_run.Hooks(trial, events_file), lambda: None
    )
    if code:
        raise SystemExit(
            f"the line from state {name} ends with {code}:\n{(folder / 'log').read_text(encoding='utf-8')[-2000:]}"
        )
    seconds, served = time.monotonic() - started, trial / "serving" / MODEL
    models = len({checks.identity(path) for path in served.iterdir() if path.name.isdigit()})
    shutil.rmtree(trial)
    return State(root, seed, len(events_file.read_text(encoding="utf-8").splitlines()), seconds, models, points)


def spread(states: dict[str, State], seed: int) -> list[Point]:
    """The kill points of each state: evenly over its writes, with a share at random times."""
    rng, points = random.Random(seed), []
    for name, state in states.items():
        timed = round(state.points * BY_TIME)
        writes = state.points - timed
        step = state.writes / writes
        points += [Point(name, write=min(state.writes - 1, int((i + rng.random()) * step))) for i in range(writes)]
        points += [Point(name, seconds=rng.random() * state.seconds) for _ in range(timed)]
    rng.shuffle(points)
    return points


def kill(point: Point, states: dict[str, State], folder: Path, data_dir: Path) -> Result:
    """Kills a run at a point, and checks the invariants before and after the next run."""
    started, root, events_file, log = time.monotonic(), folder / "root", folder / "events", folder / "log"
    state = states[point.state]
    folder.mkdir(parents=True)
    _copied(state.root, root)
    model_directory = root / "serving" / MODEL
    poller, arguments = checks.Poller(model_directory), command(root, data_dir, state.seed)
    hooks = forked_run.Hooks(root, events_file, kill_at=-1 if point.write is None else point.write)
    code = forked_run.run(arguments, log, hooks, poller, point.seconds)
    if code == 0 and not poller.findings:  # it ended before the point: durations and numbers of writes vary
        shutil.rmtree(folder)
        return kill(point.earlier(), states, folder, data_dir)
    stage, kind = (
        json.loads(events_file.read_text(encoding="utf-8"))
        if events_file.exists() and events_file.stat().st_size
        else (_stage_in_log(log), "random time")
    )
    findings = checks.after_a_kill(root) if code == -9 else [f"it ended with {code} before it was killed"]
    complete_before = checks.complete(root)
    if (code_again := forked_run.run(arguments, log, None, poller)) != 0:
        findings.append(f"the next run ended with {code_again}: {log.read_text(encoding='utf-8')[-300:]}")
    else:
        findings += checks.after_the_next_run(root, model_directory, complete_before, state.models)
    findings = poller.findings + findings
    if not findings:
        shutil.rmtree(folder)
    return Result(point.state, stage, kind, findings, poller.polls, time.monotonic() - started)


def _stage_in_log(log: Path) -> str:
    """The stage of a killed run, by the last line of its progress."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    stages = [match[1] for match in map(re.compile(r"(\w+)  ").match, lines) if match]
    return stages[-1] if stages else "store"


def _keys(root: Path) -> dict[str, str]:
    """The key of each stage of the last run that has an artifact, in order."""
    keys = {e["stage"]: e["key"] for e in Lineage.at(root, None).executions(2)}
    return {stage: key for stage, key in keys.items() if key and (root / "artifacts" / stage / key).exists()}


def _without(root: Path, stage: str, key: str, target: Path) -> Path:
    _copied(root, target)
    shutil.rmtree(target / "artifacts" / stage / key)
    return target


def _copied(root: Path, target: Path) -> Path:
    if root.exists():
        shutil.copytree(root, target)
    return target
