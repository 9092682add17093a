"""Pinned inputs: results of resolvers that several partial runs share under one name.

The tasks of an orchestrated run, each in its own process, use the same spans and the same served version. An approval
pushes the evaluated model, even if the configuration was edited since.

pinned = PinnedInputs(root, "scheduled__2026-11-22")
pinned.pin(node, inputs, artifact)
pinned.find(node, inputs)                # (artifact,), or () if nothing is pinned
pinned.pin_all(node, made)
pinned.made("train")                     # the key of the artifact that this stage made, or None
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine.component import Node
from schemas import files
from schemas.artifacts import Artifact
from schemas.errors import StoreError

Inputs = dict[str, Artifact | None]


def by_run(number: int) -> str:
    """The name of the pinned inputs of a run that waits for approval."""
    return f"run {number}"


@dataclass(frozen=True)
class PinnedInputs:
    """The results of resolvers under one name, each for its inputs, and the keys of what stages made.

    File: `ROOT/held/<digest of the name>.json`.
    """

    root: Path
    name: str

    @property
    def path(self) -> Path:
        return self.root / "held" / f"{hashlib.sha256(self.name.encode()).hexdigest()[:16]}.json"

    def find(self, node: Node, inputs: Inputs) -> tuple[Artifact | None] | tuple[()]:
        """The pinned result: an artifact or None, in a tuple. An empty tuple if nothing is pinned."""
        kept = self._read("kept")
        if (question := _question(node, inputs)) not in kept:
            return ()
        return (_adapter(node).validate_python(kept[question]),)

    def pin(self, node: Node, inputs: Inputs, artifact: Artifact | None) -> None:
        kept = self._read("kept")
        if (question := _question(node, inputs)) not in kept:
            self._write(kept | {question: _adapter(node).dump_python(artifact, mode="json")}, self._read("made"))

    def pin_all(self, node: Node, made: Inputs) -> None:
        """Pins every resolver's result and the key of every stage's artifact. `made`: all artifacts of the run."""
        for each in node.walk():
            if each.component.kind == "resolver" and each.name in made:
                self.pin(each, {name: made[n.name] for name, n in each.inputs.items()}, made[each.name])
        cached = {each.name: made.get(each.name) for each in node.walk() if each.component.kind == "cached"}
        self._write(self._read("kept"), {name: artifact.path.name for name, artifact in cached.items() if artifact})

    def made(self, stage: str) -> str | None:
        """The key of the artifact that the stage made, or None."""
        key: str | None = self._read("made").get(stage)
        return key

    def _read(self, what: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8")).get(what, {})
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError):
            cause = f"{self.path} is damaged: it holds the pinned inputs of {self.name}"
            raise StoreError(cause, "Remove it; the inputs are then looked up again.") from None
        return content

    def _write(self, kept: dict[str, Any], made: dict[str, str]) -> None:
        self.path.parent.mkdir(exist_ok=True)
        files.write_json(self.path, {"name": self.name, "kept": kept, "made": made})


def _question(node: Node, inputs: Inputs) -> str:
    return " ".join(
        [node.name, *(f"{name}={artifact.digest if artifact else ''}" for name, artifact in inputs.items())]
    )


def _adapter(node: Node) -> Any:
    from pydantic import TypeAdapter  # most runs pin nothing

    kind: Any = node.component.output
    return TypeAdapter(kind | None)
