"""The settings that configuration and stages share, typed: what is allowed stands in the type.

Train(epochs=3, loss="sparse_categorical_crossentropy").batch_size  # 32
"""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from schemas.errors import ConfigurationError


def _rising(edges: list[float]) -> list[float]:
    if sorted(set(edges)) != edges:
        raise ValueError("edges must rise")
    return edges


Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Floor = Annotated[FiniteFloat, Field(gt=0, le=1)]  # a gate of 0 would pass anything
Split = Annotated[str, Field(min_length=1)]
Severity = Literal["ignore", "warning", "error"]
Policy = Literal["pass", "refuse"]
Measure = Literal["ink", "stroke"]
Corruption = Literal["shift", "rotation", "noise", "blur", "contrast"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
FEATURES = ("label", "image/height", "image/width", "image/channels", "source/dataset", "source/version", "source/split")
Edges = Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=1, max_length=9), AfterValidator(_rising)]
Slice = Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=2, max_length=3)]


def bins(edges: Sequence[float]) -> list[str]:
    """What lies between edges, in words, from the lowest to the highest."""
    return [f"below {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges)), f"from {edges[-1]:g}"]


def data_set_name(tfds: str) -> str:
    """A TFDS name without its version, as a file may be called: mnist of mnist:3.0.1, cifar10_1_v6 of cifar10_1/v6."""
    return tfds.split(":", maxsplit=1)[0].replace("/", "_")


class Settings(BaseModel):
    """Unknown keys are refused; values are not coerced from other types, and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Settings):
    """A TFDS image-classification data set."""

    tfds: str = Field(min_length=1, description="name of the TFDS data set, e.g. mnist or mnist:3.0.1")
    module: str | None = Field(None, description="Python module to import first, where it registers the builder")
    data_dir: str | None = Field(None, description="where TFDS keeps prepared data; TFDS's own default if absent")
    manual_dir: str | None = Field(None, description="folder of the original files, for machines without network")
    train: Split = Field("train", description="the split to learn from; validation is cut from it")
    test: Split = Field("test", description="the split that the evaluator alone reads")
    validation: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(0.1, description="share of train that becomes validation")
    shard_size: PositiveInt = Field(10_000, description="records of a source split that become one shard")

    @property
    def name(self) -> str:
        """The data set's name without its version, as a file may be called."""
        return data_set_name(self.tfds)

    @model_validator(mode="after")
    def _test_is_not_train(self) -> "Source":
        if self.train == self.test:
            raise ValueError(f"train and test are both {self.test}: a model must be tested on images that it did not see")
        return self


class Validate(Settings):
    """How bad each finding is that the schema itself does not judge."""

    skew: Severity = Field("error", description="a split differs from train by more than the schema's skew_comparator")
    drift: Severity = Field("warning", description="train differs from the served model's by more than the schema's drift_comparator")
    leakage: Severity = Field("warning", description="the same image in train or validation and in test")
    duplicates: Severity = Field("warning", description="the same image twice in one split")
    constant: Severity = Field("warning", description="images of one colour")


class Transform(Settings):
    """What tf.Transform does to image and label."""

    scale: Literal["unit", "standardize"] = Field("unit", description="divide by 255, or mean 0 and variance 1 per channel over train")
    label: Literal["index", "one_hot"] = Field("index", description="what the loss wants")


class Mlp(Settings):
    """Flatten, dense layers, softmax."""

    kind: Literal["mlp"] = Field("mlp", description="mlp or cnn; what else may stand here depends on it")
    layers: Annotated[list[PositiveInt], Field(max_length=20)] = Field([128, 64], description="units of each hidden layer")
    activation: Literal["relu", "gelu", "silu", "elu", "tanh", "sigmoid"] = Field("relu", description="after each hidden layer")
    dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(0.0, description="share of units dropped after each hidden layer")


class Cnn(Settings):
    """Blocks of a 3x3 convolution, batch normalisation and max pooling, then a dense layer and softmax."""

    kind: Literal["cnn"] = Field("cnn", description="mlp or cnn; what else may stand here depends on it")
    filters: Annotated[list[PositiveInt], Field(min_length=1, max_length=6)] = Field([32, 64], description="filters of each block")
    dense: PositiveInt = Field(128, description="units of the dense layer")
    activation: Literal["relu", "gelu", "silu", "elu", "tanh"] = Field("relu", description="after each layer")
    dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.0, description="share of units dropped after each block and the dense layer"
    )
    shift: NonNegativeInt = Field(0, description="largest random shift, in pixels, of each training image")


class Optimizer(Settings):
    """A Keras optimizer."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = Field("adam", description="which one")
    learning_rate: Positive = Field(0.001, description="at the start")
    schedule: Literal["constant", "cosine"] = Field("constant", description="cosine decays to 0 at the last step")
    momentum: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(0.0, description="of sgd and rmsprop")

    @model_validator(mode="after")
    def _momentum_has_an_optimizer(self) -> "Optimizer":
        if self.momentum and self.name not in ("sgd", "rmsprop"):
            raise ValueError(f"momentum is of sgd and rmsprop, not of {self.name}")
        return self


class EarlyStopping(Settings):
    """Stop when validation accuracy no longer rises, and keep the best weights."""

    patience: PositiveInt = Field(3, description="epochs without a rise")
    min_delta: Annotated[FiniteFloat, Field(ge=0)] = Field(0.0, description="the smallest rise that counts")


class Train(Settings):
    """How the model is trained."""

    model: Annotated[Mlp | Cnn, Field(discriminator="kind")] = Field(Mlp(), description="the architecture")
    optimizer: Optimizer = Field(Optimizer(), description="how weights change")
    loss: Literal["sparse_categorical_crossentropy", "categorical_crossentropy"] = Field(
        "sparse_categorical_crossentropy", description="categorical_crossentropy wants transform.label: one_hot"
    )
    label_smoothing: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(0.0, description="of categorical_crossentropy")
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(10, description="passes over train")
    batch_size: PositiveInt = Field(32, description="images a step")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(1, description="of weights, order and dropout")
    early_stopping: EarlyStopping | None = Field(None, description="absent: train all epochs and keep the last weights")
    warm_start: bool = Field(False, description="start from the weights of the model now served, where its layers are the same")
    memory_mb: PositiveInt = Field(1024, description="a train split up to this size is kept in memory, a larger one is streamed")

    @model_validator(mode="after")
    def _smoothing_has_a_loss(self) -> "Train":
        if self.label_smoothing and self.loss != "categorical_crossentropy":
            raise ValueError("label_smoothing needs loss: categorical_crossentropy")
        return self


class Evaluate(Settings):
    """What is looked at beside the whole test split and each class. Cheap: it costs a second or two."""

    slices: list[Slice] = Field([], description="features to slice by, e.g. ink, source/dataset; [label, ink] crosses two")
    derived: dict[Measure, Edges] = Field({}, description="features measured on the image: edges between slices, e.g. ink: [0.1, 0.16]")
    corruptions: list[Corruption] = Field(list(CORRUPTIONS), description="how test images are corrupted, to see what a model bears")
    corrupted: NonNegativeInt = Field(1000, description="how many test images are corrupted, each in every way")

    @property
    def features(self) -> list[tuple[str, ...]]:
        """The features of each slicing, label first."""
        return [("label",), *((s,) if isinstance(s, str) else tuple(s) for s in self.slices)]

    @model_validator(mode="after")
    def _nothing_is_counted_twice(self) -> "Evaluate":
        seen = [frozenset(features) for features in self.features]
        for features, found in zip(self.features, seen, strict=True):
            if len(found) < len(features) or seen.count(found) > 1:
                raise ValueError(f"slices names {', '.join(features)} twice" + (" (label always is one)" if features == ("label",) else ""))
        if len(set(self.corruptions)) < len(self.corruptions):
            raise ValueError("corruptions names one twice")
        return self

    @model_validator(mode="after")
    def _slices_are_known(self) -> "Evaluate":
        known = (*FEATURES, *self.derived)
        for feature in (feature for features in self.features for feature in features):
            if feature in get_args(Measure) and feature not in self.derived:
                raise ValueError(f"slices names {feature}, whose edges are not stated; add derived: {{{feature}: [edge, edge]}}")
            if feature not in known:
                close = get_close_matches(feature, known, 1)
                raise ValueError(
                    f"slices names {feature}, which no record has; {'did you mean ' + close[0] if close else ', '.join(known)}"
                )
        return self


class Paired(Settings):
    """The candidate beside the served model, on the same images: McNemar's test, and what follows from its verdict."""

    margin: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(
        0.0041, description="the largest loss of accuracy that counts as equivalent"
    )  # with 10,000 images, what keeps both errors in bounds up to 1.6 % of images on which one is right
    alpha: Annotated[FiniteFloat, Field(gt=0, le=0.2)] = Field(0.05, description="level of the test; the interval covers 1 - 2 alpha")
    better: Policy = Field("pass", description="what follows from this verdict")
    equivalent: Policy = Field("pass", description="no worse than the margin, at this level")
    worse: Policy = Field("refuse", description="what follows from this verdict")
    undecided: Policy = Field("refuse", description="too few test images to tell")


class Budget(Settings):
    """The candidate beside the best model ever served. Each candidate of a long line is one more try on the same test images, so
    the level of this test is far stricter than that of the paired one: with the defaults, 50 tries stay within the margin."""

    margin: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(
        0.01, description="the largest loss of accuracy, however many versions it took"
    )
    alpha: Annotated[FiniteFloat, Field(gt=0, le=0.2)] = Field(0.0005, description="level of the test")


class Gates(Settings):
    """What a model must reach on the test split. Two must be stated, accuracy and per_class: there is no default that passes."""

    accuracy: Floor = Field(description="smallest accuracy overall")
    per_class: Floor = Field(description="smallest accuracy on each class: refused if even the upper confidence bound lies below")
    slices: dict[str, Floor] = Field({}, description="the same for other slices: ink, or one of them: ink=below 0.1")
    corruptions: dict[Corruption, Floor] = Field({}, description="smallest accuracy on images corrupted so")
    fresh: Floor | None = Field(None, description="smallest accuracy on the fresh slice of the newest span, judged as slices are")
    ece: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = Field(None, description="largest expected calibration error")
    brier: Annotated[FiniteFloat, Field(gt=0, lt=2)] | None = Field(None, description="largest Brier score, 0 to 2")
    paired: Paired = Field(Paired(), description="the comparison with the model now served")
    budget: Budget = Field(Budget(), description="what may be lost against the best model ever served")
    drop: Annotated[FiniteFloat, Field(ge=0, lt=1)] | None = Field(
        None, description="largest drop of accuracy against the served model, luck included; absent: paired alone decides"
    )
    confidence: Annotated[FiniteFloat, Field(gt=0.5, le=0.9999)] = Field(
        0.95, description="of the bounds of slices and corruptions, one-sided"
    )
    min_examples: Annotated[int, Field(ge=1, le=1000)] = Field(
        30, description="a slice of fewer images is shown, not judged; a test split of fewer is refused"
    )

    @model_validator(mode="after")
    def _budget_can_be_met(self) -> "Gates":
        if self.budget.margin < self.paired.margin:
            cause = f"budget.margin {self.budget.margin:g} is smaller than paired.margin {self.paired.margin:g}"
            raise ValueError(f"{cause}: one equivalent model would use it up")
        return self

    def check(self, classes: int, evaluate: Evaluate) -> None:
        """Raises ConfigurationError if guessing among so many classes would pass, or if a gate is on what is not evaluated."""
        self._check_bounds(classes)
        self._check_slices(classes, evaluate)
        for corruption in self.corruptions:
            if corruption not in evaluate.corruptions or not evaluate.corrupted:
                hint = "Add it to evaluate.corruptions, or remove the gate."
                raise ConfigurationError(f"gates.corruptions names {corruption}, but test images are not corrupted so", hint)
        if self.corruptions and evaluate.corrupted < self.min_examples:
            cause = f"gates.corruptions is judged on {evaluate.corrupted} images (evaluate.corrupted)"
            raise ConfigurationError(f"{cause}; gates.min_examples asks for {self.min_examples}", "Corrupt more of them.")

    def _check_bounds(self, classes: int) -> None:
        """Who guesses gives each class the same probability: its accuracy is 1 / classes, its Brier score the rest. One who is sure
        of his guess is as far off in calibration."""
        guessed, rest = 1 / classes, 1 - 1 / classes
        floors = {"accuracy": self.accuracy, "per_class": self.per_class}
        floors |= {f"slices.{name}": floor for name, floor in self.slices.items()}
        floors |= {f"corruptions.{name}": floor for name, floor in self.corruptions.items()}
        floors |= {"fresh": self.fresh} if self.fresh is not None else {}
        ceilings = {name: bound for name, bound in (("ece", self.ece), ("brier", self.brier)) if bound is not None}
        margins = {"paired.margin": self.paired.margin, "budget.margin": self.budget.margin, "drop": self.drop or 0.0}
        among, allowing = f"guessing among {classes} classes", f"below gates.accuracy {self.accuracy:g} that allows a model that guesses"
        wrong = [f"{name} is {bound:g}; {among} reaches {guessed:.3g}" for name, bound in floors.items() if bound <= guessed]
        wrong += [f"{name} is {bound:g}; {among} stays at {rest:.3g}" for name, bound in ceilings.items() if bound >= rest]
        wrong += [f"{name} is {bound:g}; {allowing}" for name, bound in margins.items() if bound >= self.accuracy - guessed]
        if wrong:
            raise ConfigurationError(f"gates.{wrong[0]}", "Ask for more: a gate must be able to refuse.")

    def _check_slices(self, classes: int, evaluate: Evaluate) -> None:
        slicings = [", ".join(features) for features in evaluate.features]
        for name in self.slices:
            features = ", ".join(part.split("=")[0] for part in name.split(", "))
            if features not in slicings:
                hint = f"evaluate.slices knows {'; '.join(slicings)}. Add it there, or correct the gate."
                raise ConfigurationError(f"gates.slices names {name}, but the evaluation has no such slice", hint)
            for part in name.split(", "):
                feature, _, value = part.partition("=")
                if feature == "label" and "=" in part and value not in map(str, range(classes)):
                    raise ConfigurationError(f"gates.slices names {name}; labels are 0 to {classes - 1}", "Correct the gate.")
                if feature in evaluate.derived and "=" in part and value not in (known := bins(evaluate.derived[feature])):
                    hint = f"Its values are {'; '.join(known)}. Correct the gate."
                    raise ConfigurationError(f"gates.slices names {name}, but {feature} has no such slice", hint)
