"""Which versions are removed when a given number is kept.

leaving([1, 2, 3, 4, 5], keep=2, precious={2})    # [1, 3]
"""

from collections.abc import Collection


def leaving(numbers: Collection[int], *, keep: int, precious: Collection[int]) -> list[int]:
    """The versions to remove, the oldest first.

    The newest `keep` stay, and at least two, since a rollback needs the version below the served one. `precious`
    versions are kept in addition, and count only if they are among the newest.
    """
    newest = sorted(numbers)[-max(keep, 2) :]
    return sorted(set(numbers) - set(newest) - set(precious))
