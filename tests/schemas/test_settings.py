"""What the types of the settings allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.errors import ConfigurationError
from schemas.settings import Cnn, Gates, Mlp, Train


@given(st.floats())
def test_a_floor_is_over_0_and_at_most_1(floor: float) -> None:
    if 0 < floor <= 1:
        assert Gates(accuracy=floor, per_class=floor, drop=0.0).accuracy == floor
    else:
        with pytest.raises(ValidationError, match="accuracy"):
            Gates(accuracy=floor, per_class=0.5, drop=0.0)


@given(st.floats())
def test_a_drop_is_at_least_0_and_under_1(drop: float) -> None:
    if 0 <= drop < 1:
        assert Gates(accuracy=0.9, per_class=0.8, drop=drop).drop == drop
    else:
        with pytest.raises(ValidationError, match="drop"):
            Gates(accuracy=0.9, per_class=0.8, drop=drop)


def test_every_gate_must_be_stated() -> None:
    with pytest.raises(ValidationError, match="3 validation errors"):
        Gates()


@pytest.mark.parametrize(("given_", "kind"), [({"kind": "mlp"}, Mlp), ({"kind": "cnn"}, Cnn)])
def test_the_kind_of_a_model_chooses_its_settings(given_: dict[str, str], kind: type) -> None:
    assert isinstance(Train(model=given_).model, kind)


def test_settings_survive_their_json() -> None:
    train = Train(model=Cnn(filters=[8]), epochs=3, early_stopping={"patience": 2})
    assert Train.model_validate_json(train.model_dump_json()) == train


def test_a_gate_that_guessing_would_pass_is_refused():
    Gates(accuracy=0.9, per_class=0.2, drop=0.1).check(10)
    with pytest.raises(ConfigurationError) as refused:
        Gates(accuracy=0.9, per_class=0.1, drop=0.1).check(10)
    assert refused.value.cause == "gates.per_class is 0.1; guessing among 10 classes reaches 0.1"
