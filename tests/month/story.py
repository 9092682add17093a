"""Events by day: spans of real digits, a broken one, one that drifts, mixed-up labels, and a day of crashes."""

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
IMAGES = 40  # that arrive each day
FORMS = ("images", "idx", "records")
MIXED_UP = 700  # images with the wrong labels: enough to spoil a model


@dataclass(frozen=True)
class Story:
    """Days, counted from 0; -1: never."""

    days: int = 30
    broken: int = 7  # an image in that day's span cannot be decoded
    drifting: int = 11  # that day's images are brighter than any before
    crashes: int = 14  # every try of that day's run is killed, but the last
    mixed_up: int = 19  # that day's span has wrong labels; somebody takes it away
    fixed: int = 21  # on this day
    kills: int = 4  # on the day of crashes

    @classmethod
    def short(cls) -> "Story":
        return cls(days=4, broken=0, drifting=-1, crashes=1, mixed_up=2, fixed=3, kills=2)


@dataclass
class World:
    """A host with a clock of its own, on which the scheduler of the product runs the line of the product."""

    folder: Path
    data_dir: str
    story: Story = Story()
    clock: datetime = START
    seed: int = 0
    delivered: dict[str, int] = field(default_factory=dict)  # span: day
    runs: list[tuple[datetime, datetime, int]] = field(default_factory=list)  # began, ended, exit code
    state: State | None = None

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.spans, self.root, self.serving = self.folder / "data", self.folder / "root", self.folder / "serving"
        self.spans.mkdir(parents=True)
        self.images, self.labels = spans.digits(self.data_dir, 0, 1600)

    @property
    def day(self) -> int:
        return (self.clock - START).days

    def config(self) -> Path:
        """The configuration that the month runs with."""
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
        """The day's span, and what a person does that day."""
        day = self.day
        spoilt = self.spans / f"span-{self.story.mixed_up:04d}"
        if day == self.story.fixed and spoilt.exists():
            shutil.move(spoilt, self.folder)
        name = f"span-{day:04d}"
        if name in self.delivered or day >= self.story.days:
            return
        self.delivered[name] = day
        some = slice(day * IMAGES, (day + 1) * IMAGES)
        images, labels = self.images[some], self.labels[some]
        if day == self.story.drifting:
            images = np.minimum(images.astype(int) * 3 + 30, 255).astype(np.uint8)
        if day == self.story.mixed_up:
            images, labels = self.images[-MIXED_UP:], (self.labels[-MIXED_UP:] + 1 + self.chance.randrange(8)) % 10
        span = spans.deliver(
            self.spans, name, images, labels, "images" if day == self.story.broken else FORMS[day % 3], ready=False
        )
        if day == self.story.broken:
            image = min(span.glob("*/*.png"))
            image.write_bytes(image.read_bytes()[:70])
        (span / spans.READY).touch()

    def live(self) -> None:
        """The whole month; the scheduler itself is killed, too, on the day of crashes."""
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
                    self.news,
                ).forever()
            except (Crash, Over):
                pass

    def news(self) -> NewData | None:
        from components.resolvers.arrived import arrived
        from schemas.settings.spans import Spans

        found = arrived.function(spans=Spans(directory=str(self.spans)))
        return NewData(found.digest, f"new span {list(found.spans)[-1]}") if found.spans else None

    def save(self, state: State) -> None:
        self.state = State.model_validate_json(state.model_dump_json())

    def sleep(self, seconds: float) -> None:
        """Time passes quickly while nothing happens: an hour for each minute."""
        self.clock += timedelta(hours=1)
        self.arrive()
        if self.day >= self.story.days:
            raise Over

    def run(self, running: Running) -> Ended:
        """A real run in a real process. On the day of crashes it is killed at a random moment."""
        began = datetime.now(UTC)
        with (self.folder / "runs.log").open("ab") as log:
            process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
            if self.day == self.story.crashes and running.tries <= self.story.kills:
                try:
                    process.wait(self.chance.uniform(1, 12))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
            printed, _ = process.communicate()
        self.runs.append((began, datetime.now(UTC), process.returncode))
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


class Over(BaseException):
    """The month is over."""
