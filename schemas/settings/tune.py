"""Settings of hyperparameter search: a space of choices and ranges, and the tuner.

space = Space(units=[64, 128], learning_rate=LogRange(min=1e-4, max=1e-2))
with_values(Train(), {"units": 64, "learning_rate": 0.003}).model.layers  # [64, 64]
"""

from collections.abc import Iterator
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Discriminator, Field, FiniteFloat, PositiveInt, Tag, ValidationError, model_validator

from schemas.settings.base import Settings
from schemas.settings.train import Mlp, Train

Number = TypeVar("Number", int, float)
Value = int | float | str


class Range(Settings, Generic[Number]):
    """From `min` to `max`, both included."""

    min: Number = Field(description="the smallest value")
    max: Number = Field(description="the largest value")
    step: Number | None = Field(
        None, description="distance between values, a factor if log; default: any value between"
    )
    log: bool = Field(False, description="equal factors are equally likely, not equal distances")

    @model_validator(mode="after")
    def _rises(self) -> "Range[Number]":
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} must be below max {self.max:g}")
        if self.log and self.min <= 0:
            raise ValueError(f"min {self.min:g} must be above 0 where log is true")
        if self.step is not None and self.step <= (1 if self.log else 0):
            raise ValueError(f"step {self.step:g} must be above {1 if self.log else 0}")
        return self

    def listed(self) -> list[Number] | None:
        """The values, where a step makes them countable."""
        if self.step is None:
            return None
        values = [self.min]
        while (following := values[-1] * self.step if self.log else values[-1] + self.step) <= self.max * (1 + 1e-9):
            values.append(type(self.min)(f"{following:.12g}"))
        return values


class LogRange(Range[FiniteFloat]):
    """The same for rates, which differ by factors."""

    log: bool = Field(True, description="equal factors are equally likely, not equal distances")


def _kind(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "choices"


Item = TypeVar("Item")
Choices = Annotated[list[Item], Field(min_length=1)]
Counts = Annotated[
    Annotated[Choices[PositiveInt], Tag("choices")] | Annotated[Range[PositiveInt], Tag("range")], Discriminator(_kind)
]
Shares = Annotated[
    Annotated[Choices[FiniteFloat], Tag("choices")] | Annotated[Range[FiniteFloat], Tag("range")], Discriminator(_kind)
]
Rates = Annotated[
    Annotated[Choices[FiniteFloat], Tag("choices")] | Annotated[LogRange, Tag("range")], Discriminator(_kind)
]


class Space(Settings):
    """The search space. Other settings keep their values in train."""

    layers: Counts | None = Field(None, description="number of hidden layers of an mlp, of blocks of a cnn")
    units: Counts | None = Field(None, description="units of each hidden layer of an mlp, of the dense layer of a cnn")
    filters: Counts | None = Field(
        None, description="filters of a cnn's first block; each further block has twice as many"
    )
    activation: Choices[str] | None = Field(None, description="activations, of those that train.model accepts")
    dropout: Shares | None = Field(None, description="shares of units dropped")
    optimizer: Choices[Literal["adam", "adamw", "sgd", "rmsprop"]] | None = Field(
        None, description="names of optimizers"
    )
    learning_rate: Rates | None = Field(None, description="initial learning rates")
    batch_size: Counts | None = Field(None, description="images per training step")

    def named(self) -> dict[str, Any]:
        """The choices or range of each hyperparameter, by name."""
        values_by_name = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: values for name, values in values_by_name.items() if values is not None}

    @model_validator(mode="after")
    def _is_a_space(self) -> "Space":
        if not self.named():
            raise ValueError(
                "space is empty: name hyperparameters, or remove it to use the space that fits train.model"
            )
        for name, values in self.named().items():
            if isinstance(values, list) and len(set(values)) < len(values):
                raise ValueError(f"{name} names a value twice: {', '.join(map(str, values))}")
        return self

    def check(self, train: Train) -> None:
        """Raises ValueError if a value makes invalid training settings."""
        if isinstance(train.model, Mlp) and not train.model.layers and (self.layers is None) != (self.units is None):
            raise ValueError("tune.space: train.model has no hidden layers, so name layers and units both")
        for name, values in self.named().items():
            for value in values if isinstance(values, list) else (values.min, values.max):
                try:
                    with_values(train, {name: value})
                except ValidationError as error:
                    first = error.errors()[0]
                    raise ValueError(
                        f"tune.space.{name}: {value} cannot be: {first['msg'][0].lower()}{first['msg'][1:]}"
                    ) from None
                except ValueError as error:
                    raise ValueError(f"tune.space.{name}: {error}") from None


# The default space: small enough for 30 trials, wide enough to matter.
SPACES = {
    "mlp": Space(
        layers=Range[PositiveInt](min=1, max=3),
        units=[64, 128, 256, 512],
        dropout=Range[FiniteFloat](min=0.0, max=0.5, step=0.1),
        learning_rate=LogRange(min=1e-4, max=1e-2),
        batch_size=[32, 64, 128, 256],
    ),
    "cnn": Space(
        layers=[2, 3],
        filters=[8, 16, 32],
        units=[64, 128, 256],
        dropout=Range[FiniteFloat](min=0.0, max=0.5, step=0.1),
        learning_rate=LogRange(min=1e-4, max=1e-2),
        batch_size=[32, 64, 128],
    ),
}


class Tune(Settings):
    """Settings of the command tune. A run only reads the result."""

    tuner: Literal["hyperband", "bayesian", "random", "grid"] = Field("hyperband", description="how values are chosen")
    trials: Annotated[int, Field(ge=1, le=100_000)] = Field(30, description="largest number of trials")
    max_epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        10, description="epochs of a trial at most; hyperband gives most trials fewer"
    )
    seed: Annotated[int, Field(ge=1, lt=2**31)] = Field(1, description="random seed of the search")
    parameters: PositiveInt | None = Field(
        None, description="largest number of a model's weights: larger ones are not tried"
    )
    space: Space | None = Field(None, description="search space; default: one that fits train.model")

    def over(self, train: Train) -> Space:
        """The space, or the one that fits the model."""
        return self.space or SPACES[train.model.kind]


def with_values(train: Train, values: dict[str, Value]) -> Train:
    """The settings of training with `values` (by names of `Space`) instead of the configured ones.

    Raises:
        ValidationError: a value is invalid for its setting.
        ValueError: this kind of model has no such setting.
    """
    optimizer = {"name": "optimizer", "learning_rate": "learning_rate"}
    changed = train.model_dump()
    changed["model"] |= dict(_model(train, values))
    changed["optimizer"] |= {setting: values[name] for setting, name in optimizer.items() if name in values}
    changed |= {"batch_size": values["batch_size"]} if "batch_size" in values else {}
    return Train.model_validate(changed)


def _model(train: Train, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    model = train.model
    yield from ((name, values[name]) for name in ("activation", "dropout") if name in values)
    if isinstance(model, Mlp):
        if "filters" in values:
            raise ValueError("an mlp has no filters; use units")
        count = values.get("layers", len(model.layers))
        yield "layers", [values["units"]] * count if "units" in values else _cut(model.layers, count)
    else:
        count = values.get("layers", len(model.filters))
        yield (
            "filters",
            [values["filters"] * 2**i for i in range(count)] if "filters" in values else _cut(model.filters, count),
        )
        yield "dense", values.get("units", model.dense)


def _cut(widths: list[int], count: int) -> list[int]:
    """The first `count` widths; the last one repeated where there are fewer."""
    return [*widths, *widths[-1:] * count][:count]
