"""What a model must reach on the test split."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from schemas.errors import ConfigurationError
from schemas.settings.base import Floor, Settings
from schemas.settings.evaluate import Corruption, Evaluate, bins

Policy = Literal["pass", "refuse"]


class Paired(Settings):
    """The candidate beside the served model, on the same images: McNemar's test, and what follows from its verdict."""

    margin: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(
        0.0041, description="the largest loss of accuracy that counts as equivalent"
    )  # with 10,000 images, what keeps both errors in bounds up to 1.6 % of images on which one is right
    alpha: Annotated[FiniteFloat, Field(gt=0, le=0.2)] = Field(
        0.05, description="level of the test; the interval covers 1 - 2 alpha"
    )
    better: Policy = Field("pass", description="what follows from this verdict")
    equivalent: Policy = Field("pass", description="no worse than the margin, at this level")
    worse: Policy = Field("refuse", description="what follows from this verdict")
    undecided: Policy = Field("refuse", description="too few test images to tell")


class Budget(Settings):
    """The candidate against the best model ever served. Each candidate is one more try on the same test images, so the
    level of this test is far stricter than that of the paired one: with the defaults, 50 tries stay within the margin.
    """

    margin: Annotated[FiniteFloat, Field(gt=0, lt=1)] = Field(
        0.01, description="the largest loss of accuracy, however many versions it took"
    )
    alpha: Annotated[FiniteFloat, Field(gt=0, le=0.2)] = Field(0.0005, description="level of the test")


class Gates(Settings):
    """What a model must reach on the test split. accuracy and per_class are required: no default passes a model."""

    accuracy: Floor = Field(description="smallest accuracy overall")
    per_class: Floor = Field(
        description="smallest accuracy on each class: refused if even the upper confidence bound lies below"
    )
    slices: dict[str, Floor] = Field({}, description="the same for other slices: ink, or one of them: ink=below 0.1")
    corruptions: dict[Corruption, Floor] = Field({}, description="smallest accuracy on images corrupted so")
    fresh: Floor | None = Field(
        None, description="smallest accuracy on the fresh slice of the newest span, judged as slices are"
    )
    ece: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = Field(
        None, description="largest expected calibration error"
    )
    brier: Annotated[FiniteFloat, Field(gt=0, lt=2)] | None = Field(None, description="largest Brier score, 0 to 2")
    paired: Paired = Field(Paired(), description="the comparison with the model now served")
    budget: Budget = Field(Budget(), description="what may be lost against the best model ever served")
    drop: Annotated[FiniteFloat, Field(ge=0, lt=1)] | None = Field(
        None,
        description="largest drop of accuracy against the served model, luck included; absent: paired alone decides",
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
        """Raises ConfigurationError if guessing among so many classes passes, or if a gate has nothing to judge."""
        self._check_bounds(classes)
        self._check_slices(classes, evaluate)
        for corruption in self.corruptions:
            if corruption not in evaluate.corruptions or not evaluate.corrupted:
                hint = "Add it to evaluate.corruptions, or remove the gate."
                raise ConfigurationError(
                    f"gates.corruptions names {corruption}, but test images are not corrupted so", hint
                )
        if self.corruptions and evaluate.corrupted < self.min_examples:
            cause = f"gates.corruptions is judged on {evaluate.corrupted} images (evaluate.corrupted)"
            raise ConfigurationError(
                f"{cause}; gates.min_examples asks for {self.min_examples}", "Corrupt more of them."
            )

    def _check_bounds(self, classes: int) -> None:
        """Accuracy, Brier score and calibration error of guessing: uniform probabilities, or one class for certain."""
        guessed, rest = 1 / classes, 1 - 1 / classes
        floors = {"accuracy": self.accuracy, "per_class": self.per_class}
        floors |= {f"slices.{name}": floor for name, floor in self.slices.items()}
        floors |= {f"corruptions.{name}": floor for name, floor in self.corruptions.items()}
        floors |= {"fresh": self.fresh} if self.fresh is not None else {}
        ceilings = {name: bound for name, bound in (("ece", self.ece), ("brier", self.brier)) if bound is not None}
        margins = {"paired.margin": self.paired.margin, "budget.margin": self.budget.margin, "drop": self.drop or 0.0}
        among, allowing = (
            f"guessing among {classes} classes",
            f"below gates.accuracy {self.accuracy:g} that allows a model that guesses",
        )
        wrong = [
            f"{name} is {bound:g}; {among} reaches {guessed:.3g}" for name, bound in floors.items() if bound <= guessed
        ]
        wrong += [
            f"{name} is {bound:g}; {among} stays at {rest:.3g}" for name, bound in ceilings.items() if bound >= rest
        ]
        wrong += [
            f"{name} is {bound:g}; {allowing}" for name, bound in margins.items() if bound >= self.accuracy - guessed
        ]
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
                    raise ConfigurationError(
                        f"gates.slices names {name}; labels are 0 to {classes - 1}", "Correct the gate."
                    )
                if (
                    feature in evaluate.derived
                    and "=" in part
                    and value not in (known := bins(evaluate.derived[feature]))
                ):
                    hint = f"Its values are {'; '.join(known)}. Correct the gate."
                    raise ConfigurationError(f"gates.slices names {name}, but {feature} has no such slice", hint)
