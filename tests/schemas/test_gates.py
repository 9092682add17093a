"""The accuracy gates: each refuses what lies beyond its bound, and nothing else."""

import math

import pytest

from schemas.gates import Measured, Planned
from schemas.settings.gates import Gates

GATES = Gates(accuracy=0.9, per_class=0.8, drop=0.03125, ece=0.05, brier=0.3, min_examples=5)


def judge(gates, classes, metrics, comparisons, names=()):
    planned = Planned(range(classes), images=10_000, min_examples=gates.min_examples, values={"label": 1, "ink": 1})
    return gates.judge(Measured(planned, metrics, comparisons, tuple(names)))


def changed(gates, **settings):
    return Gates(**dict(gates) | settings)


def row(accuracy, *, count=100, **options):
    return {"count": count, "accuracy": accuracy, "loss": 0.1, "ece": 0.01, "brier": 0.1} | options


def metrics(accuracy, *, count=100, slices=None, before=None, corruptions=None, **options):
    both = {"label=0": row(0.9), "label=1": row(0.9)}
    found = {
        "candidate": {
            "overall": row(accuracy, count=count, **options),
            "slices": both | (slices or {}),
            "corruptions": corruptions or {},
        }
    }
    return found | ({"baseline": {"overall": row(before)}} if before else {})


def refused(given, gates=GATES, comparisons=()):
    return [(gate.gate, gate.slice) for gate in judge(gates, 2, given, list(comparisons)) if not gate.passed]


@pytest.mark.parametrize(
    ("given", "expected"),
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
def test_each_gate_refuses_what_lies_beyond_its_bound_and_nothing_else(given, expected):
    assert [gate for gate, _ in refused(given)] == expected


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
    """Floor 0.8: 74 of 100 may be the luck of the draw, 72 are not; fewer than 5 are not judged."""
    given = metrics(0.95, slices={"label=1": row(right / count, count=count)})
    assert refused(given) == ([] if passes else [("per_class", "label=1")])
    verdict = next(gate.verdict for gate in judge(GATES, 2, given, []) if gate.slice == "label=1")
    assert verdict == ("too few examples" if count < 5 else "passed" if passes else "refused")


def test_classes_of_which_none_can_be_judged_are_refused():
    """A gate that could refuse nothing is no gate."""
    found = judge(GATES, 2, metrics(0.95, slices={"label=0": row(1.0, count=4), "label=1": row(1.0, count=4)}), [])
    (words,) = [gate.reason for gate in found if not gate.passed]
    assert words == "no class has gates.min_examples (5) test images, so gates.per_class cannot be judged"
    assert refused(metrics(0.95, slices={"label=0": row(1.0, count=4)})) == []


def test_a_slice_that_no_example_has_is_refused_by_name():
    gates = changed(GATES, slices={"ink": 0.5, "ink=heavy": 0.5, "label=1, ink": 0.5})
    given = metrics(0.95, slices={"ink=light": row(0.3)})
    assert refused(given, gates) == [
        ("slices.ink", "ink=light"),
        ("slices.ink=heavy", "ink=heavy"),
        ("slices.label=1, ink", "label=1, ink"),
    ]
    words = [gate.reason for gate in judge(gates, 2, given, []) if gate.slice == "ink=heavy"]
    assert words == ["ink=heavy has no test examples, so gates.slices.ink=heavy cannot be judged"]


def test_a_refusal_calls_labels_by_their_names():
    gates = changed(GATES, slices={"label=0, ink=heavy": 0.5, "label=1": 0.9})
    found = judge(gates, 2, metrics(0.95, slices={"label=1": row(0.3)}), [], ["cat", "dog"])
    assert [gate.on for gate in found if not gate.passed] == [
        "label=1 (dog)",
        "label=0 (cat), ink=heavy",
        "label=1 (dog)",
    ]
    assert [gate.slice for gate in found if not gate.passed] == ["label=1", "label=0, ink=heavy", "label=1"]
    words = next(gate.reason for gate in found if gate.gate == "slices.label=1")
    assert words.startswith("accuracy on label=1 (dog) is 0.3000, ")
    assert "; gates.slices.label=1 requires 0.9000 (" in words, "a setting keeps its key"


def test_a_gate_on_a_cross_is_on_all_of_its_slices():
    slices = {
        "label=0, ink=light": row(0.2),
        "label=1, ink=light": row(0.2),
        "label=1, ink=heavy": row(0.9),
        "ink=light": row(0.2),
    }
    gates = changed(GATES, slices={"label=1, ink": 0.5})
    assert refused(metrics(0.95, slices=slices), gates) == [("slices.label=1, ink", "label=1, ink=light")]


def test_a_floor_under_a_corruption_refuses():
    gates = changed(GATES, corruptions={"blur": 0.8})
    assert refused(metrics(0.95, corruptions={"blur": row(0.6)}), gates) == [("corruptions.blur", "corruption=blur")]
    assert refused(metrics(0.95, corruptions={"blur": row(0.8)}), gates) == []


def comparison(other, verdict, difference=0.0, low=-0.001, **options):
    interval = [low, low + 0.02]
    return {
        "with": other,
        "verdict": verdict,
        "difference": difference,
        "interval": interval,
        "by": "paired",
        "margin": 0.004,
        "words": "w",
    } | options


@pytest.mark.parametrize("verdict", ["better", "equivalent", "worse", "undecided"])
def test_what_follows_from_a_verdict_is_the_policy(verdict):
    found = [comparison("baseline", verdict)]
    assert refused(metrics(0.95), comparisons=found) == (
        [] if verdict in ("better", "equivalent") else [("paired", "overall")]
    )
    turned = GATES.paired.model_copy(update={verdict: "refuse" if verdict in ("better", "equivalent") else "pass"})
    gates = changed(GATES, paired=turned)
    assert refused(metrics(0.95), gates, found) == (
        [("paired", "overall")] if verdict in ("better", "equivalent") else []
    )


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        (comparison("best", "better"), True),
        (comparison("best", "equivalent"), True),
        (comparison("best", "undecided"), False),
        (comparison("best", "worse"), False),
        (comparison("best", None, -0.01, by="recorded", interval=None), True),
        (comparison("best", None, -0.0101, by="recorded", interval=None), False),
    ],
)
def test_the_budget_is_against_the_best_ever_served(found, passes):
    assert refused(metrics(0.95), comparisons=[found]) == ([] if passes else [("budget", "overall")])
