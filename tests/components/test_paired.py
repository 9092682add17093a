"""Paired comparison: laws, brute force, published figures."""

from fractions import Fraction
from itertools import product
from math import comb

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy.stats import binom, binomtest

from components._evaluation.paired import Comparison, compare, compare_counts, interval

counts = st.tuples(*[st.integers(0, 60)] * 4).filter(any)
large = st.tuples(st.integers(5000, 9000), st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
margins = st.sampled_from([0.0, 0.002, 0.004, 0.05])
alphas = st.sampled_from([0.01, 0.05, 0.1])
SWAPPED = {
    "better": {"worse", "equivalent", "undecided"},
    "worse": {"better"},
    "equivalent": {"equivalent", "better", "undecided"},
}


def answers(found: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    both, won, lost, neither = found
    candidate = np.repeat([True, True, False, False], [both, won, lost, neither])
    return candidate, np.repeat([True, False, True, False], [both, won, lost, neither])


def judged(found: tuple[int, int, int, int], margin: float = 0.004, alpha: float = 0.05) -> Comparison:
    return compare_counts(*found, margin=margin, alpha=alpha)


@hypothesis.given(counts, margins, alphas)
def test_swapping_the_models_turns_the_comparison_round(found, margin, alpha):
    candidate, other = answers(found)
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
def test_the_order_of_examples_does_not_matter(found, random):
    order = list(range(sum(found)))
    random.shuffle(order)
    candidate, other = answers(found)
    assert compare(candidate[order], other[order], margin=0.004, alpha=0.05) == judged(found)


@hypothesis.given(counts, alphas)
def test_the_interval_holds_the_difference_and_lies_in_its_range(found, alpha):
    seen = judged(found, alpha=alpha)
    assert -1 <= seen.interval[0] <= seen.difference <= seen.interval[1] <= 1
    assert 0 < seen.p <= 1


@hypothesis.given(large, st.integers(2, 20), margins)
def test_more_of_the_same_never_makes_a_decided_comparison_undecided(found, times, margin):
    hypothesis.assume(judged(found, margin).verdict != "undecided")
    assert judged(tuple(times * count for count in found), margin).verdict != "undecided"


@hypothesis.given(counts, margins)
def test_as_many_more_examples_as_it_says_decide(found, margin):
    seen = judged(found, margin)
    assert seen.more_examples is None or (seen.verdict == "undecided" and seen.more_examples > 0)
    if seen.more_examples:
        share = (sum(found) + seen.more_examples) / sum(found)
        _, won, lost, _ = (round(share * count) for count in found)
        rest = sum(found) + seen.more_examples - won - lost
        assert judged((rest, won, lost, 0), margin).verdict != "undecided"


@hypothesis.given(large, margins, alphas)
def test_the_verdict_follows_from_the_interval_and_p(found, margin, alpha):
    seen = judged(found, margin, alpha)
    significant = seen.p <= alpha
    hypothesis.assume(abs(seen.interval[0] + margin) > 1e-12)
    if seen.interval[0] > -margin:
        assert seen.verdict == ("better" if significant and seen.difference > 0 else "equivalent")
    else:
        assert seen.verdict == ("worse" if significant and seen.difference < 0 else "undecided")


@pytest.mark.parametrize(("won", "lost"), list(product(range(9), range(9))))
def test_mid_p_is_that_of_the_binomial_definition(won, lost):
    n = won + lost
    chances = [
        Fraction(comb(n, k), 2**n) for k in range(n + 1)
    ]  # of k wins among the n, when the models are equally good
    far = [chance for k, chance in enumerate(chances) if abs(2 * k - n) > abs(won - lost)]
    same = [chance for k, chance in enumerate(chances) if abs(2 * k - n) == abs(won - lost)]
    expected = 1 if won == lost else sum(far) + sum(same) / 2
    assert judged((10, won, lost, 3)).p == pytest.approx(float(expected), rel=1e-12)


def test_mid_p_of_large_counts_is_the_exact_test_less_the_chance_of_what_was_seen():
    expected = binomtest(430, 1000).pvalue - binom.pmf(430, 1000, 0.5)
    assert judged((9000, 430, 570, 0)).p == pytest.approx(expected, rel=1e-9)


def test_intervals_are_those_that_were_published():
    # Tango (1998): 44 pairs of which one is discordant; Fagerland, Lydersen and Laake (2014): airways of 21 children.
    assert judged((43, 0, 1, 0), alpha=0.025).interval == pytest.approx((-0.118, 0.059), abs=0.001)
    assert judged((1, 1, 7, 12), alpha=0.025).interval == pytest.approx((-0.517, -0.026), abs=0.001)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for shares in ([0.97, 0.004, 0.006, 0.02], [0.95, 0.02, 0.02, 0.01]):
        true = shares[1] - shares[2]
        found = [judged(tuple(map(int, row))) for row in rng.multinomial(10_000, shares, size=1500)]
        covered = np.mean([seen.interval[0] <= true <= seen.interval[1] for seen in found])
        assert covered == pytest.approx(0.9, abs=0.025)  # three standard errors


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
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
            "as good as version 3 to within 0.4 points (level; 90 % interval -0.23 to +0.23, p = 1; ",
        ),
        (
            (9730, 20, 40, 210),
            "equivalent",
            "as good as version 3 to within 0.4 points (0.20 points worse; 90 % interval -0.33 to -0.07, p = ",
        ),
        (
            (970, 10, 15, 5),
            "undecided",
            "not distinguishable from version 3 on these 1,000 images (0.50 points worse; ",
        ),
    ],
)
def test_each_verdict_has_its_sentence(found, verdict, words):
    seen = judged(found)
    assert seen.verdict == verdict
    assert seen.words("version 3").startswith(words)
    assert f"; {found[1]} images only it got right, {found[2]} only the other)" in seen.words("version 3")


def test_a_significant_loss_within_the_margin_is_equivalent():
    seen = judged((9730, 20, 40, 210))
    assert (seen.verdict, seen.p < 0.05, seen.interval[1] < 0) == ("equivalent", True, True)


def test_an_undecided_comparison_says_what_would_decide():
    seen = judged((970, 10, 15, 5))
    assert seen.more_examples == pytest.approx(2900, rel=0.05)
    assert seen.words("version 3").endswith(f"; about {seen.more_examples:,} more like these are needed to decide")
    assert "1 image only it got right" in judged((9, 1, 0, 0)).words("version 3")
    assert "p < 0.001" in judged((9000, 100, 0, 0)).words("version 3")


def test_no_number_of_examples_shows_that_equal_models_are_not_a_hair_apart():
    assert (judged((970, 15, 15, 0), margin=0).verdict, judged((970, 15, 15, 0), margin=0).more_examples) == (
        "undecided",
        None,
    )


@pytest.mark.parametrize(
    ("candidate", "other", "options", "words"),
    [
        ([], [], {}, "no examples"),
        ([True], [True, False], {}, r"shapes are \(1,\) and \(2,\)"),
        ([[True]], [[True]], {}, "shapes are"),
        ([True], [True], {"margin": -0.1}, "margin -0.1"),
        ([True], [True], {"alpha": 0.5}, "alpha 0.5"),
    ],
)
def test_what_cannot_be_compared_is_refused(candidate, other, options, words):
    with pytest.raises(ValueError, match=words):
        compare(np.array(candidate, bool), np.array(other, bool), **{"margin": 0.004, "alpha": 0.05, **options})


@hypothesis.given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_that_of_scipy(correct, more, confidence):
    count = correct + more - 1
    hypothesis.assume(count)
    expected = binomtest(correct, count).proportion_ci(confidence, "wilson")
    assert interval(correct, count, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval(correct, count)[0] <= correct / count <= interval(correct, count)[1]


def test_no_examples_say_nothing_and_no_more_can_be_right_than_there_are():
    assert interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="3 correct of 2"):
        interval(3, 2)
