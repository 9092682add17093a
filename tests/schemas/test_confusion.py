"""The confusion matrix as its cells, also from the rows of older versions."""

import numpy as np

from schemas.confusion import Confusion

ROWS = [[9, 1, 0], [0, 10, 0], [3, 2, 0]]


def test_rows_of_older_versions_and_cells_are_the_same_matrix() -> None:
    confusion = Confusion.of(ROWS)
    assert confusion.cells == ((0, 0, 9), (0, 1, 1), (1, 1, 10), (2, 0, 3), (2, 1, 2))
    assert Confusion.of(confusion.as_json()) == confusion
    assert confusion.rows() == ROWS
    assert Confusion.of(None) == Confusion(0)


def test_mistakes_are_sorted_by_their_number() -> None:
    assert Confusion.of(ROWS).mistakes() == [(2, 0, 3), (2, 1, 2), (0, 1, 1)]
    assert Confusion.of(ROWS).labelled() == {0: 10, 1: 10, 2: 5}


def test_a_thousand_classes_take_as_many_cells_as_there_are_images() -> None:
    rng = np.random.default_rng(1)
    cells = [(int(label), int(other), 1) for label, other in {tuple(pair) for pair in rng.integers(0, 1000, (5000, 2))}]
    assert len(str(Confusion.of_cells(1000, cells).as_json())) < 100_000
