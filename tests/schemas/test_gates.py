"""The accuracy gates: each refuses only values beyond its bound."""

import math

import hypothesis
import pytest
from hypothesis import strategies as st
from scipy.stats import binomtest

from schemas.artifacts import Comparison, PairedTest
from schemas.gates import Measured, Planned, family_wise, upper_bound
from schemas.settings.gates import Gates

GATES = Gates(accuracy=0.9, per_class=0.8, drop=0.03125, ece=0.05, brier=0.3, min_examples=5)


def evaluate(gates, classes, metrics, comparisons, names=()):
    planned = Planned(range(classes), images=10_000, min_examples=gates.min_examples, values={"label": 1, "ink": 1})
    return gates.evaluate(Measured(planned, metrics, comparisons, tuple(names)))


def changed(gates, **settings):
    return Gates(**dict(gates) | settings)


def row(accuracy, *, count=100, **options):
    return {"count": count, "accuracy": accuracy, "loss": 0.1, "ece": 0.01, "brier": 0.1} | options


def metrics(accuracy, *, count=100, slices=None, before=None, corruptions=None, **options):
    labels = {"label=0": row(0.9), "label=1": row(0.9)}
    by_model = {
        "candidate": {
            "overall": row(accuracy, count=count, **options),
            "slices": labels | (slices or {}),
            "corruptions": corruptions or {},
        }
    }
    return by_model | ({"baseline": {"overall": row(before)}} if before else {})


def refused(measurements, gates=GATES, comparisons=()):
    return [(gate.gate, gate.slice) for gate in evaluate(gates, 2, measurements, list(comparisons)) if not gate.passed]


@pytest.mark.parametrize(
    ("measurements", "expected"),
    [
        (metrics(0.9), []),
        (metrics(0.8999), ["accuracy"]),
        (metrics(math.nan), ["accuracy"]),
        (metrics(0.95, loss=math.nan), ["accuracy"]),
        (metrics(0.95, loss=math.inf), ["accuracy"]),
        (metrics(0.9375, before=0.96875), []),
        (metrics(0.9375, before=0.9688), ["drop"]),
        (metrics(0.95, before=math.nan), ["drop"]),
        (metrics(0.95, ece=0.05), []),
        (metrics(0.95, ece=0.0501), ["ece"]),
        (metrics(0.95, ece=math.nan), ["ece"]),
        (metrics(0.95, brier=0.3001), ["brier"]),
        (metrics(0.95, slices={"label=1": row(0.8, loss=math.nan)}), ["per_class"]),
        (metrics(1.0, count=5), []),
        (metrics(1.0, count=4), ["accuracy"]),
    ],
)
def test_each_gate_refuses_only_values_beyond_its_bound(measurements, expected):
    assert [gate for gate, _ in refused(measurements)] == expected


@pytest.mark.parametrize(
    ("right", "count", "passes"),
    [
        (80, 100, True),
        (74, 100, True),
        (72, 100, False),
        (7, 10, True),
        (6, 10, True),
        (3, 10, False),
        (0, 4, True),
        (720, 1000, False),
    ],
)
def test_a_slice_is_refused_by_its_upper_bound(right, count, passes):
    """Floor 0.8: 74 of 100 can be sampling noise, 72 cannot; fewer than 5 are not judged."""
    measurements = metrics(0.95, slices={"label=1": row(right / count, count=count)})
    assert refused(measurements) == ([] if passes else [("per_class", "label=1")])
    verdict = next(gate.verdict for gate in evaluate(GATES, 2, measurements, []) if gate.slice == "label=1")
    assert verdict == ("too few examples" if count < 5 else "passed" if passes else "refused")


def test_a_per_class_gate_without_a_judgeable_class_is_refused():
    """A gate that cannot judge any class must not pass."""
    results = evaluate(GATES, 2, metrics(0.95, slices={"label=0": row(1.0, count=4), "label=1": row(1.0, count=4)}), [])
    (message,) = [gate.reason for gate in results if not gate.passed]
    assert message == "no class has gates.min_examples (5) test images, so gates.per_class cannot be judged"
    assert refused(metrics(0.95, slices={"label=0": row(1.0, count=4)})) == []


def test_a_slice_without_examples_is_refused_by_name():
    gates = changed(GATES, slices={"ink": 0.5, "ink=heavy": 0.5, "label=1, ink": 0.5})
    measurements = metrics(0.95, slices={"ink=light": row(0.3)})
    assert refused(measurements, gates) == [
        ("slices.ink", "ink=light"),
        ("slices.ink=heavy", "ink=heavy"),
        ("slices.label=1, ink", "label=1, ink"),
    ]
    message = [gate.reason for gate in evaluate(gates, 2, measurements, []) if gate.slice == "ink=heavy"]
    assert message == ["ink=heavy has no test examples, so gates.slices.ink=heavy cannot be judged"]


def test_a_refusal_contains_label_names():
    gates = changed(GATES, slices={"label=0, ink=heavy": 0.5, "label=1": 0.9})
    results = evaluate(gates, 2, metrics(0.95, slices={"label=1": row(0.3)}), [], ["cat", "dog"])
    assert [gate.on for gate in results if not gate.passed] == [
        "label=1 (dog)",
        "label=0 (cat), ink=heavy",
        "label=1 (dog)",
    ]
    assert [gate.slice for gate in results if not gate.passed] == ["label=1", "label=0, ink=heavy", "label=1"]
    message = next(gate.reason for gate in results if gate.gate == "slices.label=1")
    assert message.startswith("accuracy on label=1 (dog) is 0.3000, ")
    assert "; gates.slices.label=1 requires 0.9000 (" in message, "the key of a setting is not translated"


def test_a_gate_on_a_crossed_slice_covers_all_its_values():
    slices = {
        "label=0, ink=light": row(0.2),
        "label=1, ink=light": row(0.2),
        "label=1, ink=heavy": row(0.9),
        "ink=light": row(0.2),
    }
    gates = changed(GATES, slices={"label=1, ink": 0.5})
    assert refused(metrics(0.95, slices=slices), gates) == [("slices.label=1, ink", "label=1, ink=light")]


def test_a_floor_for_a_corruption_refuses():
    gates = changed(GATES, corruptions={"blur": 0.8})
    assert refused(metrics(0.95, corruptions={"blur": row(0.6)}), gates) == [("corruptions.blur", "corruption=blur")]
    assert refused(metrics(0.95, corruptions={"blur": row(0.8)}), gates) == []


def comparison(other, verdict, difference=0.0):
    interval = (-0.001, 0.019)
    test = PairedTest(verdict, difference, interval, 0.5, 900, 45, 45, 10, None, margin=0.004, alpha=0.05)
    return Comparison(other, 3, "w", difference, test if verdict else None)


@pytest.mark.parametrize("verdict", ["better", "equivalent", "worse", "undecided"])
def test_the_policy_decides_which_verdicts_refuse(verdict):
    comparisons = [comparison("baseline", verdict)]
    assert refused(metrics(0.95), comparisons=comparisons) == (
        [] if verdict in ("better", "equivalent") else [("paired", "overall")]
    )
    inverted = GATES.paired.model_copy(update={verdict: "refuse" if verdict in ("better", "equivalent") else "pass"})
    gates = changed(GATES, paired=inverted)
    assert refused(metrics(0.95), gates, comparisons) == (
        [("paired", "overall")] if verdict in ("better", "equivalent") else []
    )


@pytest.mark.parametrize(
    ("comparison_", "passes"),
    [
        (comparison("best", "better"), True),
        (comparison("best", "equivalent"), True),
        (comparison("best", "undecided"), False),
        (comparison("best", "worse"), False),
        (comparison("best", None, -0.01), True),
        (comparison("best", None, -0.0101), False),
    ],
)
def test_the_budget_compares_with_the_best_version(comparison_, passes):
    assert refused(metrics(0.95), comparisons=[comparison_]) == ([] if passes else [("budget", "overall")])


def test_the_bounds_of_all_slices_of_a_gate_hold_together():
    """72 of 100 is below a floor of 0.8 with certainty for one class, but not where it is the lowest of a hundred."""
    rows = {"candidate": {"slices": {"label=1": row(0.72)}}}
    verdicts = {}
    for classes in (1, 10, 100):
        planned = Planned(range(100), images=100 * classes, values={"label": classes})
        results = list(GATES.stated()["per_class"].evaluate(Measured(planned, rows)))
        verdicts[classes] = results[1]
    assert [verdict.passed for verdict in verdicts.values()] == [False, True, True]
    assert verdicts[1].level == "95% confidence"
    assert verdicts[100].level == "95% confidence for 100 slices together"
    at_most = "accuracy on label=1 is 0.7200, at 95% confidence at most 0.7931"
    assert verdicts[1].reason == f"{at_most}; gates.per_class requires 0.8000 (0.0069 short)"
    assert verdicts[1].value < verdicts[10].value < verdicts[100].value


@pytest.mark.parametrize(
    ("slices", "limit"),
    [
        (["label"], 9),
        (["label=3"], 1),
        (["label", "ink"], 12),
        (["label, ink"], 27),
        (["label=8, ink"], 3),
        (["camera"], 33),  # unknown: each judged slice has 30 of the 1,000 images
        (["label, camera"], 33),
        ([], 1),
    ],
)
def test_the_number_of_slices_of_a_gate_is_bounded(slices, limit):
    assert Planned(range(10), images=1000, values={"label": 9, "ink": 3}).max_slices(*slices) == limit


@hypothesis.given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.8, 0.95, 0.99, 0.99995]))
def test_the_upper_bound_agrees_with_scipy(correct, more, confidence):
    count = correct + more - 1
    hypothesis.assume(count)
    exact = binomtest(correct, count, alternative="less").proportion_ci(confidence, "exact")
    assert upper_bound(correct, count, confidence) == pytest.approx(exact.high, abs=1e-9)


def test_no_examples_give_the_widest_interval_and_impossible_counts_are_refused():
    assert upper_bound(0, 0, 0.95) == 1
    with pytest.raises(ValueError, match="3 correct of 2"):
        upper_bound(3, 2, 0.95)
    assert family_wise(0.95, 1) == family_wise(0.95, 0) == 0.95
