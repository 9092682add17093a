"""What every artifact is: a complete directory, a digest and a few facts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from schemas.errors import DataError, GatelineError, Refused, StoreError

if TYPE_CHECKING:
    import numpy as np

UNREADABLE = "unreadable.json"
SPLITS = TRAIN, VALIDATION, TEST, FRESH = ("train", "validation", "test", "fresh")  # in the order of the line
T = TypeVar("T")


def write_unreadable(out: Path, images: list[tuple[str, str]]) -> None:
    """Writes (file, reason) of images that were set aside to `unreadable.json`, if there are any."""
    if images:
        (out / UNREADABLE).write_text(json.dumps(images, indent=1), encoding="utf-8")


class DamagedFile(StoreError):
    """A file of an artifact is missing, or cannot be read."""

    def __init__(self, path: Path, file: str, cause: object) -> None:
        shown = f"{type(cause).__name__}: {cause}" if isinstance(cause, Exception) else cause
        super().__init__(f"{path / file} cannot be read: {shown}", "See python -m pipeline store verify.")
        self.file = file


@dataclass(frozen=True)
class Artifact:
    """A directory that is complete. `digest` is over the SHA-256 of its files; the store fills it in."""

    interpreted: ClassVar[tuple[str, ...]] = ()  # folders left out of the digest: a fact states what their files mean

    path: Path
    digest: str = field(default="", kw_only=True)

    def cache_identity(self) -> str | dict[str, str]:
        """Identifies the artifact in the cache keys of later stages: its digest, or named parts that explain it."""
        return self.digest

    @property
    def summary(self) -> str:
        """A short description, for tables of stages."""
        return ""

    def read_json(self, name: str, kind: type[T]) -> T:
        """The content of a JSON file of this artifact: a `list` or a `dict`.

        Raises:
            DamagedFile: the file is missing, is not JSON, or holds another type.
        """
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedFile(self.path, name, error) from None
        if not isinstance(content, kind):
            raise DamagedFile(self.path, name, f"it holds {type(content).__name__}, not {kind.__name__}")
        return content

    def read_rows(self, name: str, of: Callable[[Any], T]) -> list[T]:
        """The rows of a JSON file of this artifact, each read by `of`.

        Raises:
            DamagedFile: the file is missing, is not JSON, or a row lacks a value.
        """
        try:
            return [of(row) for row in self.read_json(name, list)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedFile(self.path, name, error) from None

    def read_array(self, name: str) -> "np.ndarray":
        """The content of a NumPy file of this artifact.

        Raises:
            DamagedFile: the file is missing or cut short.
        """
        import numpy as np

        try:
            array: np.ndarray = np.load(self.path / name, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedFile(self.path, name, error) from None
        return array


@dataclass(frozen=True)
class Gate(Artifact):
    """An artifact that may refuse: no stage receives one that did not pass."""

    refusal: ClassVar[type[GatelineError]] = Refused

    passed: bool = field(kw_only=True)  # False: refused
    reasons: tuple[str, ...] = field(default=(), kw_only=True)  # one sentence for each refusal
    remedy: str = field(default="", kw_only=True)  # what to do after a refusal

    @property
    def summary(self) -> str:
        return "" if self.passed else "refused"

    def require_passed(self, stage: str) -> None:
        """Raises the gate's refusal if it did not pass, for callers without the runner, which checks it before."""
        if not self.passed:
            raise self.refusal(
                f"{stage} received a refused {type(self).__name__}: {'; '.join(self.reasons)}", self.remedy
            )


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
    """Splits in TFRecord shards.

    Files: `<split>-<i>-of-<n>.tfrecord`; of a folder, or a table of files, `<split>-<p>.tfrecord`, where `<p>` is the
    `source/index` of the first image that was read for the shard.
    """

    splits: dict[str, Split]  # shards of each split, in order, with the number of records in each

    def shards(self, *splits: str) -> Iterator[tuple[str, Path, int]]:
        """(split, path, records) of each shard that has records; all splits if none is named."""
        for split in splits or self.splits:
            for name, count in zip(self.splits[split].shards, self.splits[split].counts, strict=True):
                if count:
                    yield split, self.path / name, count
