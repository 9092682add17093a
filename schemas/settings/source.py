"""Where labelled images come from."""

from typing import Annotated

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from schemas.settings.base import FilePath, Settings

Split = Annotated[str, Field(min_length=1)]


def data_set_name(tfds: str) -> str:
    """A TFDS name without its version, valid as a file name: mnist of mnist:3.0.1, cifar10_1_v6 of cifar10_1/v6."""
    return tfds.split(":", maxsplit=1)[0].replace("/", "_")


class Source(Settings):
    """A TFDS image-classification dataset."""

    tfds: str = Field(min_length=1, description="name of the TFDS dataset, e.g. mnist or mnist:3.0.1")
    module: str | None = Field(None, description="Python module to import first, where it registers the builder")
    data_dir: FilePath | None = Field(None, description="folder of TFDS's prepared data; absent: TFDS's default")
    manual_dir: FilePath | None = Field(None, description="folder of the original files, for machines without network")
    train: Split = Field("train", description="the split to train on; validation is cut from it")
    test: Split = Field("test", description="the split that only evaluate reads")
    validation: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(
        0.1, description="share of train that becomes validation"
    )
    shard_size: PositiveInt = Field(10_000, description="records of a source split per shard")

    @property
    def name(self) -> str:
        """The dataset's name without its version, valid as a file name."""
        return data_set_name(self.tfds)

    @model_validator(mode="after")
    def _test_is_not_train(self) -> "Source":
        if self.train == self.test:
            raise ValueError(
                f"train and test are both {self.test}: a model must be tested on images that it was not trained on"
            )
        return self
