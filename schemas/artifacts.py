"""What each stage leaves: a directory and the few facts that other stages need.

examples = Examples(path, splits={"train": Split(shards=("train-00000-of-00001.tfrecord",), counts=(4000,))})
examples.splits["train"].count  # 4000
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from schemas.errors import DataError, GatelineError, Refused, Waiting

WARMUP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks for requests to warm a version up


@dataclass(frozen=True)
class Artifact:
    """A directory that is complete. `digest` is over the SHA-256 of its files; the store fills it in."""

    interpreted: ClassVar[tuple[str, ...]] = ()  # folders whose bytes may differ where what they mean, a fact, does not

    path: Path
    digest: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Gate(Artifact):
    """An artifact that may refuse: no stage receives one that did not pass."""

    refusal: ClassVar[type[GatelineError]] = Refused

    passed: bool = field(kw_only=True)
    reasons: tuple[str, ...] = field(default=(), kw_only=True)  # a sentence for each refusal
    remedy: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Split:
    """The shards of one split, in order, with the number of records in each."""

    shards: tuple[str, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in self.shards:
            if Path(name).name != name or name == "..":  # names come from manifests, too
                raise DataError(f"shard {name} leads out of its directory", "Run again with --no-cache.")

    @property
    def count(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Sharded(Artifact):
    """Splits in TFRecord shards. Files: `<split>-<i>-of-<n>.tfrecord`."""

    splits: dict[str, Split]

    def shards(self, *splits: str) -> Iterator[tuple[str, Path, int]]:
        """(split, path, records) of each shard that has records; all splits if none is named."""
        for split in splits or self.splits:
            for name, count in zip(self.splits[split].shards, self.splits[split].counts, strict=True):
                if count:
                    yield split, self.path / name, count


@dataclass(frozen=True)
class Examples(Sharded):
    """Raw labelled images, as `schemas.example` records."""

    source: str  # data set and version, e.g. "mnist:3.0.1"
    test: str = ""  # digest of the test split alone


@dataclass(frozen=True)
class Statistics(Artifact):
    """Statistics of every split.

    Files: `stats.tfrecord`, one `DatasetFeatureStatisticsList` with a data set per split; `leaked.json`, positions (`source/index`)
    of test images that also stand in another split; `parts/`, the same of each shard, to be merged with others.
    """

    counts: dict[str, int]  # records in each split


@dataclass(frozen=True)
class Arrivals(Artifact):
    """The directory of spans, and those that are complete, in the order of their names."""

    spans: dict[str, str]  # what tells each from the same span altered
    dates: dict[str, str]  # ISO


@dataclass(frozen=True)
class Span:
    """New images that came together: records in splits train, validation and fresh, or the reason why they cannot be read."""

    date: str
    splits: dict[str, Split] = field(default_factory=dict)
    broken: str = ""

    @property
    def count(self) -> int:
        return sum(split.count for split in self.splits.values())


@dataclass(frozen=True)
class Collected(Artifact):
    """Every span that is complete. Files: `<span>/<split>-<i>-of-<n>.tfrecord` and `<span>/parts/`, statistics of each shard."""

    spans: dict[str, Span]

    def parts(self, span: str, *splits: str) -> list[Path]:
        """The statistics of a span's shards that have records."""
        found = self.spans[span].splits
        shards = [(shard, n) for s in splits or found for shard, n in zip(found[s].shards, found[s].counts, strict=True)]
        return [self.path / span / "parts" / Path(shard).stem for shard, count in shards if count]


@dataclass(frozen=True)
class Admission(Gate):
    """Each span judged on its own. Files: `spans.json`, a row for each: what was found, and how far it lies from what was learnt."""

    refusal: ClassVar[type[GatelineError]] = DataError

    admitted: tuple[str, ...]
    quarantined: dict[str, str]  # the reason
    drifted: dict[str, str]  # the measure that is over its limit, in words


@dataclass(frozen=True)
class Mixture(Examples, Statistics):
    """The base data set and the spans in the window: records as those of ingest, and statistics as those of describe.

    A shard whose images count twice is named twice. Split `fresh`: a share of the newest span, beside the fixed test split.
    """

    spans: tuple[str, ...] = ()  # those learnt from
    fresh: str = ""  # the span that `fresh` is of


@dataclass(frozen=True)
class Verdict(Gate):
    """The data against its contract. Files: `anomalies.pbtxt` (an `Anomalies` proto), `anomalies.json`."""

    refusal: ClassVar[type[GatelineError]] = DataError

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features(Sharded):
    """Transformed examples of train and validation, and the graph that made them.

    Files: `transform_fn/`, `transformed_metadata/` and `metadata/` (a tf.Transform output), and the shards.
    """

    interpreted: ClassVar[tuple[str, ...]] = ("transform_fn/",)

    shape: tuple[int, int, int]  # height, width, channels
    classes: int
    one_hot: bool
    graph: str = ""  # digest of what `transform_fn/` computes


@dataclass(frozen=True)
class Search(Artifact):
    """The hyperparameters that did best on the validation split.

    Files: `hyperparameters.json` (settings of training, the best values among them), `trials.json` (a row for each trial:
    values, score, epochs, seconds, state), `logs/` (TensorBoard's HParams).
    """

    trials: int
    best: str  # the trial that won
    accuracy: float  # its validation accuracy, in [0, 1]


@dataclass(frozen=True)
class Hyperparameters(Artifact):
    """The settings that training uses. Files: `hyperparameters.json`."""

    origin: str  # "configured", or the search that found them


@dataclass(frozen=True)
class Model(Artifact):
    """A trained classifier.

    Files: `saved_model/` (signatures `serving_default` and `images`), `model.keras`, `history.json`, `curves.svg`,
    `logs/` (TensorBoard).
    """

    epochs: int
    validation_accuracy: float  # of the weights that were kept, in [0, 1]
    identity: str = ""  # digest of what it computes: equal for models that differ in their bytes alone


@dataclass(frozen=True)
class Served(Artifact):
    """A version that stands in the serving directory."""

    version: int


@dataclass(frozen=True)
class Best(Artifact):
    """The most accurate version ever served. `path` is there only if it is still kept."""

    version: int
    accuracy: float  # as recorded when it was pushed
    kept: bool
    same_test: bool  # recorded on the test split that is in use


@dataclass(frozen=True)
class Evaluation(Gate):
    """What the accuracy gates saw and said.

    Files: `tfma/` (a complete TFMA output), `predictions/*.parquet` (index, label, probabilities, and those of the models it
    was compared with), `metrics.json`, `comparisons.json`, `gates.json`, `gallery.json` and `gallery.npy` (images worth seeing),
    `probes.tfrecord` and `probes.npy` (a few raw records and the probabilities given to them).
    """

    accuracy: float  # on the test split, in [0, 1]
    loss: float
    saved_model: str  # digest of the SavedModel that was evaluated
    test: str = ""  # digest of the test split
    baseline: int | None = None  # the version it was compared with


@dataclass(frozen=True)
class ServingCheck(Gate):
    """The model loaded by a process that has nothing of this project.

    Files: `serving.json`, the measurements; `assets.extra/tf_serving_warmup_requests`, which go with the model if it passed.
    """

    load_seconds: float = 0.0
    latency_ms: float = 0.0  # of one image, median
    p99_ms: float = 0.0
    memory_mb: float = 0.0  # most that it held beside TensorFlow itself, in 10^6 bytes
    difference: float = 0.0  # largest difference to the evaluator's probabilities


@dataclass(frozen=True)
class Approval(Gate):
    """What persons said of a model that passed every other gate. `by` is empty where nobody was asked."""

    model: str  # the model's identity
    evaluation: str  # digest of the evaluation that was shown
    evaluated: str  # when it was made
    baseline: str | None  # digest of the served model that it was compared with
    shelf: str  # where the model is to go
    waiting: bool = False  # nobody has decided yet
    by: str = ""
    reason: str = ""
    at: str = ""

    @property
    def refusal(self) -> type[GatelineError]:  # type: ignore[override]
        return Waiting if self.waiting else Refused


@dataclass(frozen=True)
class Decision:
    """What a person said of a model, for good."""

    run: int  # the run that asked
    approved: bool
    by: str
    reason: str
    at: str
    evaluation: str  # digest of the evaluation that was shown


@dataclass(frozen=True)
class Pushed(Artifact):
    """A version in the serving directory; `path` is that version. `new` is false where the same model already stood there."""

    version: int
    new: bool
