"""The lineage of an existing store, and the runs recorded in it."""

from pathlib import Path
from typing import Any

from pipeline.lineage import Lineage
from pipeline.store import Store
from schemas.errors import ConfigurationError


def lineage_at(root: Path, database: str | None) -> Lineage:
    """The lineage of an existing store.

    Raises:
        ConfigurationError: there is no store at `root`.
    """
    return Lineage.at(Store.existing(root).root, database)


def run_of(lineage: Lineage, number: int | None, root: Path) -> dict[str, Any]:
    """The row of a run, by default the last.

    Raises:
        ConfigurationError: it does not exist.
    """
    row = lineage.run(number)
    if row is None:
        raise ConfigurationError(
            f"there is no run {'yet' if number is None else number} in {root}",
            "List them with python -m pipeline runs.",
        )
    return row
