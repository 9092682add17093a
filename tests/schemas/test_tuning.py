"""Hyperparameter spaces: every value that can be sampled gives valid training settings."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import FiniteFloat, PositiveInt, ValidationError

from schemas.settings.train import Cnn, Mlp, Train
from schemas.settings.tune import SPACES, LogRange, Range, Space, Tune, with_values

RATES = st.floats(1e-6, 10.0)
SHARES = st.floats(0.0, 0.99)


def choices(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, min_size=1, max_size=4, unique=True)


def ranges(kind: type[Range], values: st.SearchStrategy, **options: st.SearchStrategy) -> st.SearchStrategy:
    ends = st.tuples(values, values).filter(lambda pair: pair[0] < pair[1])
    return st.builds(
        lambda pair, extra: kind(min=pair[0], max=pair[1], **extra), ends, st.fixed_dictionaries({}, optional=options)
    )


def counts(limit: int) -> st.SearchStrategy:
    integers = st.integers(1, limit)
    return choices(integers) | ranges(Range[PositiveInt], integers, step=st.integers(2, 50), log=st.booleans())


def spaces(kind: str) -> st.SearchStrategy[Space]:
    """Any valid space for an MLP or a CNN."""
    named = {
        "layers": counts(20 if kind == "mlp" else 6),
        "units": counts(1000),
        "activation": choices(st.sampled_from(["relu", "gelu", "silu", "elu", "tanh"])),
        "dropout": choices(SHARES) | ranges(Range[FiniteFloat], SHARES, step=st.floats(0.01, 1)),
        "optimizer": choices(st.sampled_from(["adam", "adamw", "sgd", "rmsprop"])),
        "learning_rate": choices(RATES) | ranges(LogRange, RATES, step=st.floats(1.1, 20)),
        "batch_size": counts(512),
    }
    named |= {"filters": counts(64)} if kind == "cnn" else {}
    return st.fixed_dictionaries({}, optional=named).filter(bool).map(lambda options: Space(**options))


def value_of(values: list | Range) -> st.SearchStrategy:
    if isinstance(values, list):
        return st.sampled_from(values)
    if listed := values.listed():
        return st.sampled_from(listed)
    distribution = st.integers if isinstance(values.min, int) else st.floats
    return distribution(values.min, values.max)


TRAINS = {"mlp": Train(model=Mlp(layers=[48, 24, 12])), "cnn": Train(model=Cnn(filters=[4, 8], dense=24))}


@given(st.data(), st.sampled_from(["mlp", "cnn"]))
def test_every_sampled_value_gives_valid_training_settings(data: st.DataObject, kind: str) -> None:
    train, space = TRAINS[kind], data.draw(spaces(kind))
    space.check(train)
    values = {name: data.draw(value_of(each)) for name, each in space.named().items()}
    settings = with_values(train, values)
    assert Train.model_validate_json(settings.model_dump_json()) == settings
    assert with_values(train, {}) == train
    assert settings.batch_size == values.get("batch_size", train.batch_size)
    assert settings.optimizer.name == values.get("optimizer", train.optimizer.name)
    assert settings.optimizer.learning_rate == values.get("learning_rate", train.optimizer.learning_rate)
    assert (settings.model.activation, settings.model.dropout) == (
        values.get("activation", "relu"),
        values.get("dropout", 0.0),
    )
    assert (settings.epochs, settings.loss, settings.seed) == (train.epochs, train.loss, train.seed)
    widths = settings.model.layers if kind == "mlp" else settings.model.filters
    assert len(widths) == values.get("layers", len(train.model.layers if kind == "mlp" else train.model.filters))


@given(st.data())
def test_a_range_lists_its_values_in_equal_steps(data: st.DataObject) -> None:
    values = data.draw(counts(1000) | ranges(Range[FiniteFloat], SHARES, step=st.floats(0.01, 1)))
    if isinstance(values, list) or values.step is None:
        return
    listed = values.listed()
    assert listed[0] == values.min
    assert all(type(value) is type(values.min) for value in listed)
    assert values.max * (1 + 1e-6) >= listed[-1]
    next_value = listed[-1] * values.step if values.log else listed[-1] + values.step
    assert next_value > values.max
    for one, other in itertools.pairwise(listed):
        assert (other / one if values.log else other - one) == pytest.approx(values.step, rel=1e-6)


def test_a_range_includes_its_end_despite_rounding() -> None:
    assert Range[FiniteFloat](min=0.0, max=0.5, step=0.1).listed() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert LogRange(min=0.001, max=1.0, step=10.0).listed() == [0.001, 0.01, 0.1, 1.0]
    assert Range[PositiveInt](min=2, max=40, step=2, log=True).listed() == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    ("values", "layers"),
    [
        ({"layers": 1}, [48]),
        ({"layers": 5}, [48, 24, 12, 12, 12]),
        ({"units": 7}, [7, 7, 7]),
        ({"layers": 2, "units": 7}, [7, 7]),
        ({"dropout": 0.5}, [48, 24, 12]),
    ],
)
def test_hidden_layers_have_the_sampled_or_configured_width(values: dict, layers: list[int]) -> None:
    assert with_values(TRAINS["mlp"], values).model.layers == layers


def test_filters_double_from_block_to_block() -> None:
    assert with_values(TRAINS["cnn"], {"filters": 3, "layers": 3}).model.filters == [3, 6, 12]
    assert with_values(TRAINS["cnn"], {"units": 7}).model.dense == 7


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_each_kind_of_model_has_a_default_space(kind: str) -> None:
    assert Tune().over(TRAINS[kind]) is SPACES[kind]
    SPACES[kind].check(TRAINS[kind])
    assert Tune(space=Space(units=[3])).over(TRAINS[kind]).named() == {"units": [3]}


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(ValidationError, match="space is empty"):
        Space()
