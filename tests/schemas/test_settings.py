"""The values that settings accept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.errors import ConfigurationError
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from schemas.settings.source import Tfds
from schemas.settings.train import Cnn, Mlp, Optimizer, Train


@given(st.floats())
def test_a_floor_is_above_0_and_at_most_1(floor: float) -> None:
    if 0 < floor <= 1:
        assert Gates(accuracy=floor, per_class=floor, drop=0.0).stated()["accuracy"].root == floor
    else:
        with pytest.raises(ValidationError, match="accuracy"):
            Gates(accuracy=floor, per_class=0.5, drop=0.0)


@given(st.floats())
def test_a_drop_is_at_least_0_and_below_1(drop: float) -> None:
    if 0 <= drop < 1:
        assert Gates(accuracy=0.9, per_class=0.8, drop=drop).stated()["drop"].root == drop
    else:
        with pytest.raises(ValidationError, match="drop"):
            Gates(accuracy=0.9, per_class=0.8, drop=drop)


def test_the_two_floors_are_required() -> None:
    with pytest.raises(ValidationError, match="2 validation errors"):
        Gates()


@pytest.mark.parametrize(("model", "kind"), [({"kind": "mlp"}, Mlp), ({"kind": "cnn"}, Cnn)])
def test_the_kind_of_a_model_selects_its_settings(model: dict[str, str], kind: type) -> None:
    assert isinstance(Train(model=model).model, kind)


def test_settings_survive_json() -> None:
    train = Train(model=Cnn(filters=[8]), epochs=3, early_stopping={"patience": 2})
    assert Train.model_validate_json(train.model_dump_json()) == train


def test_momentum_is_refused_for_optimizers_without_it() -> None:
    assert Optimizer(name="rmsprop", momentum=0.9).momentum == 0.9
    with pytest.raises(ValidationError, match="momentum applies to sgd and rmsprop, not to adam"):
        Optimizer(momentum=0.9)


def test_a_gate_that_a_guessing_model_would_pass_is_refused():
    Gates(accuracy=0.9, per_class=0.2).check(range(10), Evaluate())
    with pytest.raises(ConfigurationError) as refused:
        Gates(accuracy=0.9, per_class=0.1).check(range(10), Evaluate())
    assert refused.value.cause == "gates.per_class is 0.1; guessing among 10 classes gives 0.1"


GUESSING_PASSES = "gates.{}.margin is {}; below gates.accuracy 0.9 that allows a model that guesses"


@pytest.mark.parametrize(
    ("gates", "cause"),
    [
        ({"slices": {"ink": 0.5}}, "gates.slices names ink, but the evaluation has no such slice"),
        (
            {"slices": {"label=3, stroke": 0.5}},
            "gates.slices names label=3, stroke, but the evaluation has no such slice",
        ),
        ({"slices": {"label=10": 0.5}}, "gates.slices names label=10; labels are 0 to 9"),
        ({"slices": {"label=three": 0.5}}, "gates.slices names label=three; labels are 0 to 9"),
        ({"slices": {"label=03": 0.5}}, "gates.slices names label=03; labels are 0 to 9"),
        ({"slices": {"label=": 0.5}}, "gates.slices names label=; labels are 0 to 9"),
        ({"slices": {"stroke=below 9": 0.5}}, "gates.slices names stroke=below 9, but stroke has no such slice"),
        ({"paired": {"margin": 0.85}, "budget": {"margin": 0.9}}, GUESSING_PASSES.format("budget", 0.9)),
        ({"budget": {"margin": 0.8}}, GUESSING_PASSES.format("budget", 0.8)),
        ({"drop": 0.8}, "gates.drop is 0.8; below gates.accuracy 0.9 that allows a model that guesses"),
        ({"corruptions": {"shift": 0.1}}, "gates.corruptions.shift is 0.1; guessing among 10 classes gives 0.1"),
        ({"fresh": 0.05}, "gates.fresh is 0.05; guessing among 10 classes gives 0.1"),
        ({"brier": 0.9}, "gates.brier is 0.9; guessing among 10 classes gives 0.9"),
        ({"ece": 0.95}, "gates.ece is 0.95; guessing among 10 classes gives 0.9"),
        (
            {"corruptions": {"shift": 0.5}, "min_examples": 401},
            "gates.corruptions is judged on 400 images (evaluate.corrupted); gates.min_examples requires 401",
        ),
        ({"slices": {"stroke": 0.05}}, "gates.slices.stroke is 0.05; guessing among 10 classes gives 0.1"),
        ({"corruptions": {"blur": 0.5}}, "gates.corruptions names blur, but evaluate.corruptions does not include it"),
    ],
)
def test_a_gate_on_a_slice_or_corruption_that_is_not_evaluated_is_refused(gates, cause):
    evaluate = Evaluate(slices=["stroke"], derived={"stroke": [2.0, 3.0]}, corruptions=["shift"], corrupted=400)
    with pytest.raises(ConfigurationError) as refused:
        Gates(accuracy=0.9, per_class=0.8, **gates).check(range(10), evaluate)
    assert refused.value.cause == cause
    Gates(accuracy=0.9, per_class=0.8, slices={"stroke": 0.5, "label=3": 0.5}, corruptions={"shift": 0.5}).check(
        range(10), evaluate
    )


@pytest.mark.parametrize(
    ("tfds", "name"), [("mnist", "mnist"), ("mnist:3.0.1", "mnist"), ("cifar10_1/v6:1.1.0", "cifar10_1_v6")]
)
def test_a_tfds_source_has_the_name_of_its_dataset(tfds, name):
    assert Tfds(tfds=tfds).name == name
