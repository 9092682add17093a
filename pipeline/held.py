"""What was looked up, kept under a name: the stages of one orchestrated run, each a process of its own, all see the same;
and an approval pushes what was asked about.

held = Held(root, "scheduled__2026-11-22")
held.keep(node, inputs, artifact)
held.find(node, inputs)                # (artifact,), or () where nothing is kept
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.component import Node
from schemas.artifacts import Artifact

Inputs = dict[str, Artifact | None]


def by_run(number: int) -> str:
    """The name under which a run that waits for approval keeps its answers: what comes meanwhile is of the next run."""
    return f"run {number}"


@dataclass(frozen=True)
class Held:
    """The answers of resolvers under one name, each for the inputs that it was given: `ROOT/held/<digest of the name>.json`."""

    root: Path
    name: str

    @property
    def path(self) -> Path:
        return self.root / "held" / f"{hashlib.sha256(self.name.encode()).hexdigest()[:16]}.json"

    def find(self, node: Node, inputs: Inputs) -> tuple[Artifact | None] | tuple[()]:
        """What is kept: an artifact, or that there was none. Empty where nothing is kept."""
        kept = self._read()
        if (question := _question(node, inputs)) not in kept:
            return ()
        return (_adapter(node).validate_python(kept[question]),)

    def keep(self, node: Node, inputs: Inputs, artifact: Artifact | None) -> None:
        kept = self._read()
        if (question := _question(node, inputs)) not in kept:
            self.path.parent.mkdir(exist_ok=True)
            kept[question] = _adapter(node).dump_python(artifact, mode="json")
            files.write_json(self.path, {"name": self.name, "kept": kept})

    def keep_all(self, node: Node, made: Inputs) -> None:
        """Every answer that a run was given; `made`: what it found and made, by name."""
        for each in node.walk():
            if each.component.kind == "resolver" and each.name in made:
                self.keep(each, {name: made[n.name] for name, n in each.inputs.items()}, made[each.name])

    def _read(self) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = json.loads(self.path.read_text())["kept"]
        except FileNotFoundError:
            return {}
        return kept


def older(root: Path, than: datetime | None) -> list[Path]:
    """The answers that were kept before a time (none: all of them): what asks again belongs to later runs."""
    every = sorted((root / "held").glob("*.json"))
    return [path for path in every if than is None or datetime.fromtimestamp(path.stat().st_mtime, UTC) < than]


def _question(node: Node, inputs: Inputs) -> str:
    return " ".join([node.name, *(f"{name}={artifact.digest if artifact else ''}" for name, artifact in inputs.items())])


def _adapter(node: Node) -> Any:
    from pydantic import TypeAdapter  # only where something is kept

    kind: Any = node.component.output
    found: Any = TypeAdapter(kind | None)
    return found
