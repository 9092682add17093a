"""The measures of `validate`: Jensen-Shannon divergence and the largest difference of label shares."""

import hypothesis
import hypothesis.strategies as st
import pytest
from scipy.spatial import distance

from components._data.anomalies import jensen_shannon, largest_difference

histograms = st.lists(st.integers(0, 1000), min_size=256, max_size=256).filter(any)
label_counts = st.dictionaries(st.sampled_from("0123"), st.integers(1, 1000), min_size=1)


@hypothesis.given(histograms, histograms)
@hypothesis.settings(max_examples=50)
def test_divergence_is_symmetric_and_between_zero_and_one_bit(one, other):
    divergence = jensen_shannon(one, other)
    assert divergence == pytest.approx(jensen_shannon(other, one), abs=1e-12)
    assert -1e-12 <= divergence <= 1 + 1e-12
    assert divergence == pytest.approx(distance.jensenshannon(one, other, 2) ** 2, abs=1e-9)


@hypothesis.given(histograms, st.integers(1, 50))
@hypothesis.settings(max_examples=50)
def test_divergence_of_equal_shares_is_zero_for_any_number_of_pixels(histogram, times):
    assert jensen_shannon(histogram, [times * count for count in histogram]) == pytest.approx(0, abs=1e-12)


def test_divergence_of_disjoint_histograms_is_one_bit():
    assert jensen_shannon([5, 0], [0, 9]) == 1.0


@hypothesis.given(label_counts, label_counts)
def test_largest_difference_is_of_one_label_and_symmetric(one, other):
    label, difference, chance = largest_difference(one, other)
    shares = [counts.get(label, 0) / sum(counts.values()) for counts in (one, other)]
    assert difference == pytest.approx(abs(shares[0] - shares[1]))
    assert 0 <= difference <= 1
    assert chance >= 0
    assert largest_difference(other, one)[1:] == pytest.approx((difference, chance))


def test_chance_explains_a_difference_in_a_small_split_but_not_in_a_large_one():
    train = {"0": 500_000, "1": 500_000}
    small, large = ({"0": 46 * n, "1": 54 * n} for n in (1, 1000))
    (_, difference, chance), (_, large_difference, large_chance) = (
        largest_difference(small, train),
        largest_difference(large, train),
    )
    assert difference == large_difference == pytest.approx(0.04)
    assert difference < 0.03 + chance
    assert large_difference > 0.03 + large_chance
