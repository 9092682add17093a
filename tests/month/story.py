"""Events by day: spans of real digits, one broken, one drifting, one with wrong labels, and a day of crashes."""

import json
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import yaml

from pipeline.schedule.child import pushed
from pipeline.schedule.scheduler import NewData, Rules, Schedule
from pipeline.schedule.state import Ended, Running, State
from tests import spans

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
IMAGES = 40  # per day
LAYOUTS = ("images", "idx", "records")
MIXED_UP = 700  # images with wrong labels: enough to degrade a model


@dataclass(frozen=True)
class Story:
    """The day of each event, counted from 0; -1: never."""

    days: int = 30
    broken: int = 7  # an image in that day's span cannot be decoded
    drifting: int = 11  # that day's images are brighter than any before
    crashes: int = 14  # all attempts of that day's run except the last are killed
    mixed_up: int = 19  # that day's span has wrong labels
    fixed: int = 21  # the day on which the span with wrong labels is removed
    kills: int = 4  # number of kills on the day of crashes

    @classmethod
    def short(cls) -> "Story":
        return cls(days=4, broken=0, drifting=-1, crashes=1, mixed_up=2, fixed=3, kills=2)


@dataclass
class World:
    """A host with a simulated clock, on which the real scheduler runs the real line."""

    folder: Path
    data_dir: str
    story: Story = Story()
    clock: datetime = START
    seed: int = 0
    delivered: dict[str, int] = field(default_factory=dict)  # span: day
    runs: list[tuple[datetime, datetime, int]] = field(default_factory=list)  # start, end, exit code
    state: State | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.spans, self.root, self.serving = self.folder / "data", self.folder / "root", self.folder / "serving"
        self.spans.mkdir(parents=True)
        self.images, self.labels = spans.digits(self.data_dir, 0, 1600)

    @property
    def day(self) -> int:
        return (self.clock - START).days

    def config(self) -> Path:
        """Writes the configuration of the month."""
        settings = {
            "source": {
                "tfds": "mnist_sample",
                "module": "components.mnist_sample",
                "data_dir": self.data_dir,
                "train": "train[:60%]",
            },
            "spans": {
                "directory": str(self.spans),
                "weight": 2.0,
                "fresh": 0.25,
                "drift": {"then": "warning", "brightness": 1.0},
            },
            "schema": "mnist.pbtxt",
            "train": {"model": {"kind": "mlp", "layers": [64]}, "epochs": 8},
            "evaluate": {"corrupted": 0},
            "gates": {
                "accuracy": 0.87,
                "per_class": 0.6,
                "fresh": 0.5,
                "paired": {"margin": 0.04},
                "budget": {"margin": 0.06},
            },
        }
        path = self.folder / "month.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    def arrive(self) -> None:
        """Delivers the span of the day, and removes the span with wrong labels on its day."""
        day = self.day
        mislabelled = self.spans / f"span-{self.story.mixed_up:04d}"
        if day == self.story.fixed and mislabelled.exists():
            shutil.move(mislabelled, self.folder)
        name = f"span-{day:04d}"
        if name in self.delivered or day >= self.story.days:
            return
        self.delivered[name] = day
        of_day = slice(day * IMAGES, (day + 1) * IMAGES)
        images, labels = self.images[of_day], self.labels[of_day]
        if day == self.story.drifting:
            images = np.minimum(images.astype(int) * 3 + 30, 255).astype(np.uint8)
        if day == self.story.mixed_up:
            images, labels = self.images[-MIXED_UP:], (self.labels[-MIXED_UP:] + 1 + self.rng.randrange(8)) % 10
        span = spans.deliver(
            self.spans, name, images, labels, "images" if day == self.story.broken else LAYOUTS[day % 3], ready=False
        )
        if day == self.story.broken:
            image = min(span.glob("*/*.png"))
            image.write_bytes(image.read_bytes()[:70])
        (span / spans.READY).touch()

    def run_month(self) -> None:
        """Runs the whole month; on the day of crashes, the scheduler is killed too."""
        config = self.config()
        self.command = [sys.executable, "-m", "pipeline", "run", "--json", f"--config={config}"]
        self.command += [f"--root={self.root}", f"--serving-dir={self.serving}"]
        self.arrive()
        while self.day < self.story.days:
            try:
                state = State.begin(self.state, "", "UTC", self.clock)
                Schedule(
                    lambda _: None,
                    Rules(retries=5),
                    state,
                    self.save,
                    self.run,
                    lambda: self.clock,
                    self.sleep,
                    self.new_data,
                ).run_forever()
            except (Crash, MonthEnded):
                pass

    def new_data(self) -> NewData | None:
        from components.resolvers.arrived import arrived
        from schemas.settings.spans import Spans

        arrivals = arrived.function(spans=Spans(directory=str(self.spans)))
        return NewData(arrivals.digest, f"new span {list(arrivals.spans)[-1]}") if arrivals.spans else None

    def save(self, state: State) -> None:
        self.state = State.model_validate_json(state.model_dump_json())

    def sleep(self, seconds: float) -> None:
        """Advances the clock by an hour for each minute."""
        self.clock += timedelta(hours=1)
        self.arrive()
        if self.day >= self.story.days:
            raise MonthEnded

    def run(self, running: Running) -> Ended:
        """A real run in a process. On the day of crashes it is killed at a random time."""
        started = datetime.now(UTC)
        with (self.folder / "runs.log").open("ab") as log:
            process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
            if self.day == self.story.crashes and running.tries <= self.story.kills:
                try:
                    process.wait(self.rng.uniform(1, 12))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
            printed, _ = process.communicate()
        self.runs.append((started, datetime.now(UTC), process.returncode))
        self.clock += timedelta(minutes=10)
        print(
            f"day {self.day:2d}  {running.cause or 'again'}: exit code {process.returncode}",
            file=sys.stderr,
            flush=True,
        )
        if process.returncode < 0:
            if running.tries == 2:
                raise Crash
            return Ended(process.returncode, "killed")
        if process.returncode:
            return Ended(process.returncode, "see the index")
        return pushed(json.loads(printed))


class Crash(BaseException):
    """The scheduler is killed."""


class MonthEnded(BaseException):
    """The month is over."""
