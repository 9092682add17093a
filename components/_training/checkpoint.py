"""The checkpoint of an interrupted training: one NumPy file, replaced as a whole after each epoch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etils import epy

from schemas.disk import atomic_write

with epy.lazy_imports():
    import numpy as np


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    variables: of the network, the optimizer and the random generators. best: of the network at its best epoch so far,
    empty without early stopping. history: a row for each epoch.
    """

    variables: "list[np.ndarray]"
    best: "list[np.ndarray]"
    history: list[dict[str, float]]

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        with np.load(path, allow_pickle=False) as saved:
            variables, best = (_numbered(saved, name) for name in ("variable", "best"))
            return cls(variables, best, json.loads(str(saved["history"])))

    def save(self, path: Path) -> None:
        """Replaces `path` as a whole: a kill leaves the old checkpoint or the new one."""
        sizes: dict[str, Any] = {"variables": len(self.variables), "bests": len(self.best)}
        arrays: dict[str, Any] = {f"variable{i}": value for i, value in enumerate(self.variables)}
        arrays |= {f"best{i}": value for i, value in enumerate(self.best)}
        with atomic_write(path, sync=True) as temporary, temporary.open("wb") as file:
            np.savez(file, history=json.dumps(self.history), **sizes, **arrays)


def _numbered(saved: Any, name: str) -> "list[np.ndarray]":
    return [saved[f"{name}{i}"] for i in range(int(saved[f"{name}s"]))]
