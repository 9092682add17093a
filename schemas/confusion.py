"""The confusion matrix of a model, as the cells that are not 0: of 1,000 classes, few of a million pairs occur.

confusion = Confusion.of(evaluation.metrics()["candidate"]["confusion"])
confusion.mistakes()[0]      # (3, 5, 17): 17 images of class 3 were predicted as 5
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Confusion:
    """Test images by label and prediction."""

    classes: int
    cells: tuple[tuple[int, int, int], ...] = ()  # (label, prediction, images), ascending; none is 0

    @classmethod
    def of_cells(cls, classes: int, cells: Iterable[tuple[int, int, int]]) -> "Confusion":
        return cls(classes, tuple(sorted(cell for cell in cells if cell[2])))

    @classmethod
    def of(cls, stored: Any) -> "Confusion":
        """From the JSON value of this version, or from the rows of the whole matrix that older versions wrote."""
        if isinstance(stored, dict):
            return cls.of_cells(stored["classes"], ((label, other, count) for label, other, count in stored["cells"]))
        rows = enumerate(stored or ())
        cells = ((label, other, count) for label, row in rows for other, count in enumerate(row))
        return cls.of_cells(len(stored or ()), cells)

    def as_json(self) -> dict[str, Any]:
        return {"classes": self.classes, "cells": [list(cell) for cell in self.cells]}

    def rows(self) -> list[list[int]]:
        """The whole matrix: a row for each label."""
        matrix = [[0] * self.classes for _ in range(self.classes)]
        for label, other, count in self.cells:
            matrix[label][other] = count
        return matrix

    def mistakes(self) -> list[tuple[int, int, int]]:
        """(label, prediction, images) of the wrong predictions, the most common first."""
        return sorted((cell for cell in self.cells if cell[0] != cell[1]), key=lambda cell: -cell[2])

    def labelled(self) -> Counter[int]:
        """The number of images of each label."""
        counts: Counter[int] = Counter()
        for label, _, count in self.cells:
            counts[label] += count
        return counts
