"""Paired comparison: laws, brute force and published values."""

from fractions import Fraction
from itertools import product
from math import comb

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy.stats import binom, binomtest

from components._evaluation.paired import compare, compare_counts, interval
from schemas.artifacts import PairedTest

counts = st.tuples(*[st.integers(0, 60)] * 4).filter(any)
large = st.tuples(st.integers(5000, 9000), st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
margins = st.sampled_from([0.0, 0.002, 0.004, 0.05])
alphas = st.sampled_from([0.01, 0.05, 0.1])
SWAPPED = {
    "better": {"worse", "equivalent", "undecided"},
    "worse": {"better"},
    "equivalent": {"equivalent", "better", "undecided"},
}


def correct_predictions(cell_counts: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    both, only_candidate, only_other, neither = cell_counts
    candidate = np.repeat([True, True, False, False], [both, only_candidate, only_other, neither])
    return candidate, np.repeat([True, False, True, False], [both, only_candidate, only_other, neither])


def comparison_of(cell_counts: tuple[int, int, int, int], margin: float = 0.004, alpha: float = 0.05) -> PairedTest:
    return compare_counts(*cell_counts, margin=margin, alpha=alpha)


@hypothesis.given(counts, margins, alphas)
def test_swapping_the_models_mirrors_the_comparison(cell_counts, margin, alpha):
    candidate, other = correct_predictions(cell_counts)
    one, two = (
        compare(candidate, other, margin=margin, alpha=alpha),
        compare(other, candidate, margin=margin, alpha=alpha),
    )
    assert two.interval == (-one.interval[1], -one.interval[0])
    assert (two.difference, two.p) == (-one.difference, one.p)
    assert (two.both, two.only_candidate, two.only_other, two.neither) == (
        one.both,
        one.only_other,
        one.only_candidate,
        one.neither,
    )
    assert two.verdict in SWAPPED.get(one.verdict, {"better", "equivalent", "undecided"})


@hypothesis.given(counts, st.randoms(use_true_random=False))
def test_the_order_of_examples_does_not_matter(cell_counts, random):
    order = list(range(sum(cell_counts)))
    random.shuffle(order)
    candidate, other = correct_predictions(cell_counts)
    assert compare(candidate[order], other[order], margin=0.004, alpha=0.05) == comparison_of(cell_counts)


@hypothesis.given(counts, alphas)
def test_the_interval_contains_the_difference(cell_counts, alpha):
    comparison = comparison_of(cell_counts, alpha=alpha)
    assert -1 <= comparison.interval[0] <= comparison.difference <= comparison.interval[1] <= 1
    assert 0 < comparison.p <= 1


@hypothesis.given(large, st.integers(2, 20), margins)
def test_more_data_with_the_same_shares_keeps_a_decided_comparison_decided(cell_counts, times, margin):
    hypothesis.assume(comparison_of(cell_counts, margin).verdict != "undecided")
    assert comparison_of(tuple(times * count for count in cell_counts), margin).verdict != "undecided"


@hypothesis.given(counts, margins)
def test_the_estimated_number_of_further_examples_decides(cell_counts, margin):
    comparison = comparison_of(cell_counts, margin)
    assert comparison.more_examples is None or (comparison.verdict == "undecided" and comparison.more_examples > 0)
    if comparison.more_examples:
        share = (sum(cell_counts) + comparison.more_examples) / sum(cell_counts)
        _, only_candidate, only_other, _ = (round(share * count) for count in cell_counts)
        others = sum(cell_counts) + comparison.more_examples - only_candidate - only_other
        assert comparison_of((others, only_candidate, only_other, 0), margin).verdict != "undecided"


@hypothesis.given(large, margins, alphas)
def test_the_verdict_follows_from_the_interval_and_p(cell_counts, margin, alpha):
    comparison = comparison_of(cell_counts, margin, alpha)
    significant = comparison.p <= alpha
    hypothesis.assume(abs(comparison.interval[0] + margin) > 1e-12)
    if comparison.interval[0] > -margin:
        assert comparison.verdict == ("better" if significant and comparison.difference > 0 else "equivalent")
    else:
        assert comparison.verdict == ("worse" if significant and comparison.difference < 0 else "undecided")


@pytest.mark.parametrize(("only_candidate", "only_other"), list(product(range(9), range(9))))
def test_mid_p_follows_the_binomial_definition(only_candidate, only_other):
    n = only_candidate + only_other
    probabilities = [
        Fraction(comb(n, k), 2**n) for k in range(n + 1)
    ]  # of k wins among n if the models are equally good
    more_extreme = [
        chance for k, chance in enumerate(probabilities) if abs(2 * k - n) > abs(only_candidate - only_other)
    ]
    equally_extreme = [
        chance for k, chance in enumerate(probabilities) if abs(2 * k - n) == abs(only_candidate - only_other)
    ]
    expected = 1 if only_candidate == only_other else sum(more_extreme) + sum(equally_extreme) / 2
    assert comparison_of((10, only_candidate, only_other, 3)).p == pytest.approx(float(expected), rel=1e-12)


def test_mid_p_of_large_counts_is_the_exact_p_minus_half_the_point_probability():
    expected = binomtest(430, 1000).pvalue - binom.pmf(430, 1000, 0.5)
    assert comparison_of((9000, 430, 570, 0)).p == pytest.approx(expected, rel=1e-9)


def test_intervals_equal_published_values():
    # Tango (1998): 44 pairs of which one is discordant; Fagerland, Lydersen and Laake (2014): airways of 21 children.
    assert comparison_of((43, 0, 1, 0), alpha=0.025).interval == pytest.approx((-0.118, 0.059), abs=0.001)
    assert comparison_of((1, 1, 7, 12), alpha=0.025).interval == pytest.approx((-0.517, -0.026), abs=0.001)


def test_the_interval_has_its_nominal_coverage():
    rng = np.random.default_rng(0)
    for shares in ([0.97, 0.004, 0.006, 0.02], [0.95, 0.02, 0.02, 0.01]):
        true_difference = shares[1] - shares[2]
        comparisons = [comparison_of(tuple(map(int, row))) for row in rng.multinomial(10_000, shares, size=1500)]
        covered = np.mean(
            [comparison.interval[0] <= true_difference <= comparison.interval[1] for comparison in comparisons]
        )
        assert covered == pytest.approx(0.9, abs=0.025)  # three standard errors


@pytest.mark.parametrize(
    ("cell_counts", "verdict", "message"),
    [
        (
            (9700, 61, 30, 209),
            "better",
            "0.31 points better than version 3 (90 % interval +0.16 to +0.47, p = 0.0011; ",
        ),
        ((9700, 30, 61, 209), "worse", "0.31 points worse than version 3 (90 % interval -0.47 to -0.16, p = 0.0011; "),
        (
            (9700, 100, 100, 100),
            "equivalent",
            "equivalent to version 3 within 0.4 points (level; 90 % interval -0.23 to +0.23, p = 1; ",
        ),
        (
            (9730, 20, 40, 210),
            "equivalent",
            "equivalent to version 3 within 0.4 points (0.20 points worse; 90 % interval -0.33 to -0.07, p = ",
        ),
        (
            (970, 10, 15, 5),
            "undecided",
            "not distinguishable from version 3 on these 1,000 images (0.50 points worse; ",
        ),
    ],
)
def test_each_verdict_has_its_message(cell_counts, verdict, message):
    comparison = comparison_of(cell_counts)
    assert comparison.verdict == verdict
    assert comparison.message("version 3").startswith(message)
    assert (
        f"; {cell_counts[1]} images correct only for the candidate, {cell_counts[2]} only for the other)"
        in comparison.message("version 3")
    )


def test_a_significant_loss_within_the_margin_is_equivalent():
    comparison = comparison_of((9730, 20, 40, 210))
    assert (comparison.verdict, comparison.p < 0.05, comparison.interval[1] < 0) == ("equivalent", True, True)


def test_an_undecided_comparison_states_the_number_of_further_examples():
    comparison = comparison_of((970, 10, 15, 5))
    assert comparison.more_examples == pytest.approx(2900, rel=0.05)
    assert comparison.message("version 3").endswith(
        f"; about {comparison.more_examples:,} more such test images are needed to decide"
    )
    assert "1 image correct only for the candidate" in comparison_of((9, 1, 0, 0)).message("version 3")
    assert "p < 0.001" in comparison_of((9000, 100, 0, 0)).message("version 3")


def test_equal_models_with_zero_margin_stay_undecided():
    assert (
        comparison_of((970, 15, 15, 0), margin=0).verdict,
        comparison_of((970, 15, 15, 0), margin=0).more_examples,
    ) == (
        "undecided",
        None,
    )


@pytest.mark.parametrize(
    ("candidate", "other", "options", "message"),
    [
        ([], [], {}, "no examples"),
        ([True], [True, False], {}, r"shapes are \(1,\) and \(2,\)"),
        ([[True]], [[True]], {}, "shapes are"),
        ([True], [True], {"margin": -0.1}, "margin -0.1"),
        ([True], [True], {"alpha": 0.5}, "alpha 0.5"),
    ],
)
def test_invalid_input_is_refused(candidate, other, options, message):
    with pytest.raises(ValueError, match=message):
        compare(np.array(candidate, bool), np.array(other, bool), **{"margin": 0.004, "alpha": 0.05, **options})


@hypothesis.given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_wilson_interval_equals_that_of_scipy(correct, extra, confidence):
    count = correct + extra - 1
    hypothesis.assume(count)
    expected = binomtest(correct, count).proportion_ci(confidence, "wilson")
    assert interval(correct, count, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval(correct, count)[0] <= correct / count <= interval(correct, count)[1]


def test_no_examples_give_the_widest_interval_and_impossible_counts_are_refused():
    assert interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="3 correct of 2"):
        interval(3, 2)
