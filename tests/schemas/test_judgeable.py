"""What gates say before training about too few test images agrees with what they do after it."""

import hypothesis
import pytest
from hypothesis import strategies as st

from schemas.contract import Contract
from schemas.gates import Measured, Planned, family_wise, upper_bound
from schemas.image_counts import ImageCounts
from schemas.judgeable import SliceGates, Unjudgeable, reach, unjudgeable
from schemas.settings.evaluate import Evaluate
from schemas.settings.gates import Gates
from tests.components import pictures

EVALUATE = Evaluate(slices=["site", "ink", ["label", "site"]], derived={"ink": [0.1]})


def found(gates: Gates, counts: ImageCounts, contract: Contract | None = None) -> list[Unjudgeable]:
    return unjudgeable(SliceGates.of(gates, EVALUATE), counts, contract or pictures.contract())


def counts(label: list[int], **options: object) -> ImageCounts:
    values = {"label": {str(i): count for i, count in enumerate(label) if count}} | options.pop("values", {})
    return ImageCounts(sum(label), values=values, **options)


def said(gates: Gates, of: ImageCounts) -> list[str]:
    return [str(each) for each in found(gates, of)]


GATES = Gates(accuracy=0.9, per_class=0.8)


def test_nothing_is_said_of_gates_that_can_judge_every_slice() -> None:
    assert found(GATES, counts([30, 30, 30])) == []


def test_the_number_of_images_a_floor_needs_is_exactly_the_fewest_that_refuse() -> None:
    @hypothesis.given(st.floats(0.01, 1), st.floats(0.51, 0.9999), st.integers(1, 1000))
    def check(floor: float, confidence: float, family: int) -> None:
        level = family_wise(confidence, family)
        fewest = reach(floor, level)
        assert upper_bound(0, fewest, level) < floor + 1e-12
        assert fewest == 1 or upper_bound(0, fewest - 1, level) > floor - 1e-12

    check()


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_what_is_said_before_training_is_what_the_gate_does(right: float) -> None:
    """A model that is always right is refused only where it is said; one that is always wrong passes only there."""

    @hypothesis.given(st.lists(st.integers(0, 60), min_size=3, max_size=3), st.floats(0.4, 0.99), st.integers(1, 40))
    def check(images: list[int], floor: float, min_examples: int) -> None:
        gates = Gates(accuracy=0.9, per_class=floor, min_examples=min_examples)
        known = [each for each in found(gates, counts(images)) if each.gate == "per_class"]
        rows = {f"label={i}": {"count": n, "accuracy": right, "loss": 0.1} for i, n in enumerate(images) if n}
        planned = Planned(
            range(3), sum(images), min_examples=min_examples, values={"label": sum(n >= min_examples for n in images)}
        )
        measured = Measured(planned, {"candidate": {"slices": rows}})
        results = list(gates.stated()["per_class"].evaluate(measured))
        refuses = any("will refuse every model" in each.message for each in known)
        if right:
            assert refuses == (not all(result.passed for result in results))
        else:
            passed = {result.slice for result in results if result.passed}
            assert passed == {slice_ for each in known if each.kind != "absent" for slice_ in each.images}

    check()


def test_a_floor_that_refuses_nothing_states_the_images_it_needs() -> None:
    (message,) = said(Gates(accuracy=0.9, per_class=0.4, min_examples=2), counts([40, 40, 3]))
    assert message == (
        "gates.per_class accepts any model on 1 of 3 classes: at 95% confidence for 3 slices together, a floor of 0.4 "
        "refuses nothing on fewer than 9 test images: 2: 3. Add test images, at least 9 of each, raise the floor to "
        "0.75, or remove the gate"
    )
    assert said(Gates(accuracy=0.9, per_class=0.75, min_examples=2), counts([40, 40, 3])) == []
    assert said(Gates(accuracy=0.9, per_class=0.74, min_examples=2), counts([40, 40, 3])) != []


def test_slices_are_judged_as_classes_are() -> None:
    gates = Gates(accuracy=0.9, per_class=0.5, slices={"site": 0.6, "site=north": 0.6, "ink": 0.6, "label=2, ink": 0.6})
    of = counts([100, 100, 20], values={"site": {"south": 200, "west": 20}})
    assert said(gates, of)[1:] == [
        "gates.slices will refuse every model: no test images of 1 of 4 slices: site=north. "
        "Add test images of it, or remove the gate",
        "gates.slices cannot judge 2 of 4 slices with fewer than 30 test images (gates.min_examples): "
        "site=west: 20, label=2, ink: 20. Add test images, at least 30 of each, or lower gates.min_examples",
    ]


def test_corruptions_and_a_small_test_split() -> None:
    gates = Gates(accuracy=0.9, per_class=0.5, corruptions={"blur": 0.6})
    accuracy, corruptions, per_class = found(gates, counts([9, 9, 9], leaked=7))
    assert str(accuracy) == (
        "gates.accuracy will refuse every model: the test split has 20 usable images, gates.min_examples requires 30. "
        "Add test images, or lower gates.min_examples"
    )
    assert (per_class.images, per_class.needed) == ({"label=0": 7, "label=1": 7, "label=2": 7}, 30)
    assert "(estimated: 7 test images are also in another split, and are excluded)" in per_class.message
    assert corruptions.images == {"corruption=blur": 20}


def test_a_column_of_which_only_the_common_values_are_known_is_not_judged() -> None:
    gates = Gates(accuracy=0.9, per_class=0.5, slices={"site": 0.6, "site=north": 0.6})
    of = counts([100, 100, 100], values={"site": {"south": 20}}, partial=frozenset({"site"}))
    assert found(gates, of) == []
