"""Selects the versions to remove.

removable([1, 2, 3, 4, 5], keep=2, protected={2})    # [1, 3]
"""

from collections.abc import Collection


def removable(numbers: Collection[int], *, keep: int, protected: Collection[int]) -> list[int]:
    """The versions to remove, the oldest first.

    Keeps the newest `keep` versions, at least two, since a rollback needs the version before the served one, and the
    `protected` versions.
    """
    newest = sorted(numbers)[-max(keep, 2) :]
    return sorted(set(numbers) - set(newest) - set(protected))
