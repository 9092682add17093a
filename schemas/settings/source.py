"""Where labelled images come from: one class for each kind of source."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, FiniteFloat, PositiveInt, Tag, model_validator

from schemas.settings.base import UNKEYED, FilePath, Fraction, Settings

Split = Annotated[str, Field(min_length=1)]
Share = Annotated[FiniteFloat, Field(gt=0, lt=1)]
SHARD = "records of a source split per shard"
# Chosen by the type, so that an error names one of the two.
SplitOrShare = Annotated[
    Annotated[Split, Tag("named split")] | Annotated[Share, Tag("share of train")],
    Discriminator(lambda value: "named split" if isinstance(value, str) else "share of train"),
]


def data_set_name(tfds: str) -> str:
    """A TFDS name without its version, valid as a file name: mnist of mnist:3.0.1, cifar10_1_v6 of cifar10_1/v6."""
    return tfds.split(":", maxsplit=1)[0].replace("/", "_")


class Unreadable(Settings):
    """Images that cannot be decoded."""

    then: Literal["set_aside", "error"] = Field(
        "set_aside", description="set_aside: name each in the report and go on; error: refuse the data"
    )
    at_most: Fraction = Field(0.01, description="largest share of unreadable images; above it, the data is refused")


class Tfds(Settings):
    """A TFDS image-classification dataset."""

    tfds: str = Field(min_length=1, description="name of the TFDS dataset, e.g. mnist or mnist:3.0.1")
    module: str | None = Field(None, description="Python module to import first, where it registers the builder")
    data_dir: Annotated[FilePath | None, UNKEYED] = Field(
        None, description="folder of TFDS's prepared data; default: TFDS's default"
    )
    manual_dir: Annotated[FilePath | None, UNKEYED] = Field(
        None, description="folder of the original files, for machines without network"
    )
    image: str | None = Field(None, description="feature that contains the image; default: as the dataset states")
    label: str | None = Field(None, description="feature that contains the label; default: as the dataset states")
    train: Split = Field("train", description="the split to train on")
    test: SplitOrShare = Field(
        "test", description="the split that only evaluate reads; or the share of train that becomes it"
    )
    validation: SplitOrShare = Field(
        0.1, description="share of train that becomes validation; or the split that is delivered for it"
    )
    unreadable: Unreadable = Field(Unreadable(), description="images that cannot be decoded")
    shard_size: PositiveInt = Field(10_000, description=SHARD)

    @property
    def name(self) -> str:
        """The dataset's name without its version, valid as a file name."""
        return data_set_name(self.tfds)

    @property
    def title(self) -> str:
        """The dataset as the configuration names it."""
        return self.tfds

    def ordered(self, names: Sequence[str]) -> list[str] | None:
        """The names by which records are labelled, given those of the contract. None: the source has numbers."""
        return None

    @model_validator(mode="after")
    def _test_is_not_train(self) -> "Tfds":
        if self.train == self.test:
            raise ValueError(
                f"train and test are both {self.test}: a model must be tested on images that it was not trained on"
            )
        for name, split in (("train", self.train), ("test", self.test)):
            if self.validation == split and isinstance(split, str):
                raise ValueError(f"{name} and validation are both {split}: name splits that do not overlap")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The shares of train that become other splits: of what the splits before them leave."""
        stated = {"test": self.test, "validation": self.validation}
        return {split: share for split, share in stated.items() if not isinstance(share, str)}

    @property
    def delivered(self) -> dict[str, str]:
        """The names of the dataset's splits by the split that each is read as."""
        stated = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: name for split, name in stated.items() if isinstance(name, str)}


class Files(Settings):
    """Images in files of the user's own. `key`: the setting that names them, which no other kind of source has."""

    key: ClassVar[str]

    test: Share = Field(0.2, description="share of the images that becomes the test split, if none is delivered")
    validation: Share = Field(0.1, description="share of train that becomes validation, if none is delivered")
    unreadable: Unreadable = Field(Unreadable(), description="images that cannot be decoded")
    shard_size: PositiveInt = Field(10_000, description=SHARD)

    @property
    def path(self) -> str:
        """Where the data is on this machine."""
        return str(getattr(self, self.key))

    @property
    def name(self) -> str:
        """The name of the folder or file; "images" if the path does not state it."""
        name = PurePath(self.path).name
        return name if name not in ("", "..") else "images"

    @property
    def title(self) -> str:
        """The dataset as the configuration names it."""
        return self.path

    def ordered(self, names: Sequence[str]) -> list[str] | None:
        """The names by which records are labelled, given those of the contract. None: alphabetical order."""
        return list(names) or None


class Folder(Files):
    """A folder of images: <label>/*, or train/<label>/*, validation/<label>/* and test/<label>/*."""

    key = "folder"

    folder: Annotated[FilePath, UNKEYED] = Field(description="folder of images, in a folder for each label")


class Table(Files):
    """A table with a row for each image: CSV, JSON Lines or Parquet."""

    key = "table"

    table: Annotated[FilePath, UNKEYED] = Field(description="a .csv, .jsonl or .parquet file")
    image: str = Field(
        "image", description="column of image files, relative to the table's folder, or of their content"
    )
    label: str = Field("label", description="column of labels: names, or numbers from 0")
    split: str = Field("split", description="column of train, validation and test, if there is one")
    group: str = Field("group", description="group column; a group is never split")
    metadata: list[str] | None = Field(
        None, description="additional columns stored for slicing; default: all other text and number columns"
    )

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """The columns that have a meaning of their own."""
        return self.image, self.label, self.split, self.group

    @property
    def name(self) -> str:
        """The name of the file without its suffix."""
        return PurePath(self.table).stem


class Tfrecord(Files):
    """TFRecord files of `tf.Example`s, which hold encoded images."""

    key = "tfrecord"

    tfrecord: Annotated[FilePath, UNKEYED] = Field(description="the files, e.g. data/*.tfrecord")
    image: str = Field("image", description="feature of encoded images")
    label: str = Field("label", description="feature of labels: names, or numbers from 0")

    @property
    def name(self) -> str:
        """The name of the files' folder, valid as a file name."""
        return PurePath(self.tfrecord).parent.name or "images"


class Idx(Files):
    """Files in the format of MNIST."""

    key = "idx"

    idx: Annotated[FilePath, UNKEYED] = Field(description="folder of *-images-idx3-ubyte and *-labels-idx1-ubyte files")


class Custom(Files):
    """A class of your own that lists images and reads them."""

    key = "custom"

    custom: str = Field(pattern=r"^[\w.]+:\w+$", description="the class, as module:Class")
    options: dict[str, Any] = Field({}, description="keyword arguments of the class")

    @property
    def name(self) -> str:
        """The class."""
        return self.custom.rpartition(":")[2]


SourceSettings = Tfds | Folder | Table | Tfrecord | Idx | Custom
OF_FILES: tuple[type[Files], ...] = (Folder, Table, Tfrecord, Idx, Custom)
KINDS: dict[str, type[Tfds] | type[Files]] = {"tfds source": Tfds} | {f"{kind.key} source": kind for kind in OF_FILES}


def _kind(value: Any) -> str:
    """The tag of a kind, by the key that only this kind has."""
    stated = value if isinstance(value, dict) else dict(value)
    return next((f"{kind.key} source" for kind in OF_FILES if kind.key in stated), "tfds source")


Source = Annotated[
    Annotated[Tfds, Tag("tfds source")]
    | Annotated[Folder, Tag("folder source")]
    | Annotated[Table, Tag("table source")]
    | Annotated[Tfrecord, Tag("tfrecord source")]
    | Annotated[Idx, Tag("idx source")]
    | Annotated[Custom, Tag("custom source")],
    Discriminator(_kind),
]


def source_name(config: dict[str, Any]) -> str:
    """The name of the dataset of a recorded configuration's `source`."""
    return KINDS[_kind(config)].model_construct(**config).name


def source_title(config: dict[str, Any]) -> str:
    """The dataset of a recorded configuration's `source`, as the configuration names it."""
    return KINDS[_kind(config)].model_construct(**config).title
