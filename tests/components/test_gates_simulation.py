"""Error rates of the gates, on models of known true accuracy. With trained ones: python -m tests.benchmarks.gates"""

import numpy as np
import pytest

from schemas.gates import Measured, Planned
from schemas.gates.per_class import PerClass
from schemas.image_counts import ImageCounts
from tests.benchmarks.gates import families
from tests.benchmarks.gates.__main__ import bench
from tests.benchmarks.gates.population import simulated
from tests.benchmarks.gates.simulation import BUDGET, COUNT, PAIRED, chain, counts, draws, pair, paired, threshold

TESTS = 2000
# Candidate minus baseline, and the share of images on which exactly one is correct, measured on models with 98 %.
NOISE, EPOCHS, SEEDS = {0.0: 0.0054, -0.005: 0.0122}, {0.0: 0.0129, -0.005: 0.0102}, {0.0: 0.0111, -0.005: 0.0163}


def correct_predictions(effect, discordance, size=40_000):
    """bool [size] of candidate and baseline."""
    only_candidate, only_baseline, both = (
        round(share * size) for share in ((discordance + effect) / 2, (discordance - effect) / 2, 0.97)
    )
    shares = [both, only_candidate, only_baseline, size - both - only_candidate - only_baseline]
    return np.repeat([True, True, False, False], shares), np.repeat([True, False, True, False], shares)


def share_pushed(gate, effect, discordance):
    return np.mean(
        [gate(row) for row in draws(*correct_predictions(effect, discordance), TESTS, np.random.default_rng(0))]
    )


@pytest.mark.parametrize("discordance", [NOISE, EPOCHS, SEEDS])
def test_a_model_half_a_point_worse_is_pushed_in_at_most_1_percent(discordance):
    assert share_pushed(paired(), -0.005, discordance[-0.005]) <= 0.01


@pytest.mark.parametrize("discordance", [NOISE, EPOCHS, SEEDS])
def test_an_equal_model_is_refused_in_at_most_5_percent(discordance):
    assert share_pushed(paired(), 0.0, discordance[0.0]) >= 0.95


def test_a_threshold_of_the_same_width_pushes_worse_models_more_often():
    assert share_pushed(threshold(PAIRED.margin), -0.005, SEEDS[-0.005]) > 0.15


def test_at_the_margin_the_error_rate_is_alpha():
    standard_error = (PAIRED.alpha * (1 - PAIRED.alpha) / TESTS) ** 0.5
    assert share_pushed(paired(), -PAIRED.margin, 0.014) == pytest.approx(PAIRED.alpha, abs=4 * standard_error)


def test_drawn_counts_have_the_distribution_of_drawn_images():
    candidate, baseline = correct_predictions(-0.005, 0.0163)
    rng = np.random.default_rng(0)
    sampled = draws(candidate, baseline, TESTS, rng)
    tests = (rng.integers(0, len(candidate), COUNT) for _ in range(TESTS))
    images = np.array([counts(candidate[test], baseline[test]) for test in tests])
    assert (sampled.sum(1) == COUNT).all()
    assert sampled.mean(0) == pytest.approx(images.mean(0), abs=4 * (images.std(0).max() / TESTS**0.5))
    assert sampled.std(0) == pytest.approx(images.std(0), rel=0.1)


def test_counts_are_in_the_documented_order():
    candidate, other = (
        np.array([True, True, True, False, False, False]),
        np.array([True, True, False, True, False, False]),
    )
    assert counts(candidate, other).tolist() == [2, 1, 1, 2]


@pytest.mark.parametrize("effect", [0.005, 0.0, -0.003])
def test_pairs_differ_by_exactly_the_effect(effect):
    _, one = simulated(0)
    _, other = simulated(1)
    candidate, baseline = pair(one, other, effect, np.random.default_rng(0))
    assert candidate.accuracy - baseline.accuracy == pytest.approx(effect, abs=0.0001)


def test_the_budget_stops_accumulated_losses():
    _, model = simulated(0)
    with_budget = [
        chain(model, np.random.default_rng(i), paired(), paired(BUDGET.margin, BUDGET.alpha), generations=20).accuracy
        for i in range(4)
    ]
    with_threshold = [
        chain(model, np.random.default_rng(i), threshold(0.002), generations=20).accuracy for i in range(4)
    ]
    assert max(with_budget) < BUDGET.margin < 0.015 < min(with_threshold)


def test_the_benchmark_prints_its_tables(capsys):
    bench(quick=True)
    output = capsys.readouterr().out
    assert "another seed" in output
    assert "10 generations" in output
    assert "0.5 points worse, yet pushed" in output
    assert "every class at the floor, yet refused" in output


@pytest.mark.parametrize("classes", families.CLASSES)
@pytest.mark.parametrize(("floor", "images"), [(0.3, 100), (0.75, 30), (0.96, 100)])
def test_a_model_with_every_class_at_the_floor_is_refused_at_most_at_the_stated_level(floor, images, classes):
    rng = np.random.default_rng(0)
    equal = np.full(classes, floor)
    limit = families.min_correct(floor, classes, images)
    standard_error = (families.LEVEL * (1 - families.LEVEL) / TESTS) ** 0.5
    assert families.refusal_rate(equal, images, limit, TESTS, rng) <= families.LEVEL + 3 * standard_error
    limit_alone = families.min_correct_alone(floor, images)
    assert families.refusal_rate(equal, images, limit_alone, TESTS, rng) > 0.2 + 0.7 * (classes > 10), (
        "a bound for each class"
    )


@pytest.mark.parametrize("classes", families.CLASSES)
def test_a_model_with_one_clearly_worse_class_is_refused(classes):
    one_worse = families.with_one_worse(0.75, classes)
    limit = families.min_correct(0.75, classes, 1000)
    assert families.refusal_rate(one_worse, 1000, limit, TESTS // 10, np.random.default_rng(0)) == 1


@pytest.mark.parametrize("classes", families.CLASSES)
def test_the_level_holds_for_classes_of_unequal_size_of_which_some_are_not_judged(classes):
    """A long tail: classes of 3 to 600 test images, every one truly at the floor."""
    rng, floor = np.random.default_rng(1), 0.75
    sizes = np.geomspace(3, 600, classes).astype(int)
    counted = ImageCounts(int(sizes.sum()), values={"label": {str(i): int(n) for i, n in enumerate(sizes)}})
    planned = Planned(range(classes), counted.images, values=counted.judgeable(30))
    assert 0 < planned.max_slices("label") < classes
    right = rng.binomial(sizes, floor, (400, classes))
    rows = lambda test: {f"label={i}": _row(int(test[i]), int(n)) for i, n in enumerate(sizes)}  # noqa: E731
    refused = [
        not all(result.passed for result in PerClass(floor).evaluate(_measured(planned, rows(test)))) for test in right
    ]
    standard_error = (families.LEVEL * (1 - families.LEVEL) / len(right)) ** 0.5
    assert np.mean(refused) <= families.LEVEL + 3 * standard_error


def _row(right, count):
    return {"count": count, "accuracy": right / count, "loss": 0.1}


def _measured(planned, rows):
    return Measured(planned, {"candidate": {"slices": rows}})
