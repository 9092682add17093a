"""The model and its training."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from schemas.settings.base import Positive, Settings


class Mlp(Settings):
    """Flatten, dense layers, softmax."""

    kind: Literal["mlp"] = Field("mlp", description="mlp or cnn; the other settings depend on it")
    layers: Annotated[list[PositiveInt], Field(max_length=20)] = Field(
        [128, 64], description="units of each hidden layer"
    )
    activation: Literal["relu", "gelu", "silu", "elu", "tanh", "sigmoid"] = Field(
        "relu", description="activation after each hidden layer"
    )
    dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.0, description="share of units dropped after each hidden layer"
    )


class Cnn(Settings):
    """Blocks of a 3x3 convolution, batch normalisation and max pooling, then a dense layer and softmax."""

    kind: Literal["cnn"] = Field("cnn", description="mlp or cnn; the other settings depend on it")
    filters: Annotated[list[PositiveInt], Field(min_length=1, max_length=6)] = Field(
        [32, 64], description="filters of each block"
    )
    dense: PositiveInt = Field(128, description="units of the dense layer")
    activation: Literal["relu", "gelu", "silu", "elu", "tanh"] = Field(
        "relu", description="activation after each layer"
    )
    dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.0, description="share of units dropped after each block and the dense layer"
    )
    pooling: Literal["flatten", "average"] = Field(
        "flatten", description="before the dense layer; average: global average pooling, for photos"
    )
    batch_norm_momentum: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.9, description="momentum of the moving averages used outside of training; 0.99 needs hundreds of steps"
    )
    shift: NonNegativeInt = Field(0, description="largest random shift, in pixels, of each training image")
    flip: bool = Field(False, description="mirror half of the training images, left to right")
    zoom: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(0.0, description="largest random zoom, in and out")


class Optimizer(Settings):
    """A Keras optimizer."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = Field("adam", description="name of the optimizer")
    learning_rate: Positive = Field(0.001, description="initial learning rate")
    schedule: Literal["constant", "cosine"] = Field("constant", description="cosine decays to 0 at the last step")
    momentum: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(0.0, description="momentum of sgd and rmsprop")

    @model_validator(mode="after")
    def _momentum_has_an_optimizer(self) -> "Optimizer":
        if self.momentum and self.name not in ("sgd", "rmsprop"):
            raise ValueError(f"momentum applies to sgd and rmsprop, not to {self.name}")
        return self


class EarlyStopping(Settings):
    """Stops when validation accuracy no longer rises, and keeps the best weights."""

    patience: PositiveInt = Field(3, description="epochs without improvement before training stops")
    min_delta: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.0, description="smallest improvement of validation accuracy that counts"
    )


class Train(Settings):
    """How the model is trained."""

    model: Annotated[Mlp | Cnn, Field(discriminator="kind")] = Field(Mlp(), description="the architecture")
    optimizer: Optimizer = Field(Optimizer(), description="how weights change")
    loss: Literal["sparse_categorical_crossentropy", "categorical_crossentropy"] = Field(
        "sparse_categorical_crossentropy", description="categorical_crossentropy requires transform.label: one_hot"
    )
    label_smoothing: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.0, description="label smoothing of categorical_crossentropy"
    )
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(10, description="passes over train")
    batch_size: PositiveInt = Field(32, description="images per training step")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="random seed for weights, image order and dropout"
    )
    early_stopping: EarlyStopping | None = Field(
        None, description="default: train all epochs and keep the last weights"
    )
    warm_start: bool = Field(
        False, description="start from the weights of the served model, if its layers are the same"
    )
    memory_mb: PositiveInt = Field(
        1024, description="a train split up to this size is kept in memory, a larger one is streamed"
    )

    @model_validator(mode="after")
    def _smoothing_has_a_loss(self) -> "Train":
        if self.label_smoothing and self.loss != "categorical_crossentropy":
            raise ValueError("label_smoothing needs loss: categorical_crossentropy")
        return self
