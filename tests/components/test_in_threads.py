"""Batches are decoded in threads, and are in the order of the files."""

import threading

import pytest

from components.sources.reading import in_threads


def test_results_are_in_order_though_a_later_one_is_ready_first():
    later = threading.Event()

    def wait_for_the_second(item):
        if item == 0:
            assert later.wait(60)
        if item == 1:
            later.set()
        return item

    assert list(in_threads(wait_for_the_second, range(5), threads=2)) == [0, 1, 2, 3, 4]


def test_few_items_are_held():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = in_threads(lambda item: item, items(), threads=3)
    assert next(results) == 0
    assert len(taken) == 4
    assert list(results) == list(range(1, 100))


def test_an_error_is_raised_where_its_result_would_be():
    results = in_threads(lambda item: 1 // item, [1, 0, 1], threads=4)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(in_threads(str, [], threads=2)) == []
