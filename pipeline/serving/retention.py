"""Which versions go, when only so many are kept.

leaving([1, 2, 3, 4, 5], keep=2, precious={2})    # [1, 3]
"""

from collections.abc import Collection


def leaving(numbers: Collection[int], *, keep: int, precious: Collection[int]) -> list[int]:
    """The versions to remove, the oldest first.

    The newest `keep` stay; at least two, whatever was asked for, since a rollback needs the one below the one that is served.
    What is `precious` stays beyond them, and counts as one of them only if it is among the newest.
    """
    newest = sorted(numbers)[-max(keep, 2) :]
    return sorted(set(numbers) - set(newest) - set(precious))
