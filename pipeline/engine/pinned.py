"""Pinned inputs: results of resolvers that several partial runs share under one name.

The tasks of an orchestrated run are separate processes and use the same spans and the same served version. An approval
pushes the evaluated model, even if the configuration was edited in the meantime.

pinned = PinnedInputs(root, "scheduled__2026-11-22")
pinned.pin(node, inputs, artifact)
pinned.find(node, inputs)                # (artifact,), or () if nothing is pinned
pinned.pin_all(node, artifacts)
pinned.key("train")                      # the key of the artifact that this stage made, or None
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine.component import Node
from schemas import disk
from schemas.artifacts import Artifact
from schemas.errors import StoreError

Inputs = dict[str, Artifact | None]


def by_run(number: int) -> str:
    """The name of the pinned inputs of a run that waits for approval."""
    return f"run {number}"


@dataclass(frozen=True)
class PinnedInputs:
    """The results of resolvers under one name, by their inputs, and the keys of the artifacts of stages.

    File: `ROOT/held/<digest of the name>.json`.
    """

    root: Path
    name: str

    @property
    def path(self) -> Path:
        return self.root / "held" / f"{hashlib.sha256(self.name.encode()).hexdigest()[:16]}.json"

    def find(self, node: Node, inputs: Inputs) -> tuple[Artifact | None] | tuple[()]:
        """The pinned result: an artifact or None, in a tuple. An empty tuple if nothing is pinned."""
        results = self._read("kept")
        if (query := _query(node, inputs)) not in results:
            return ()
        return (_adapter(node).validate_python(results[query]),)

    def pin(self, node: Node, inputs: Inputs, artifact: Artifact | None) -> None:
        """Pins the result of a resolver, unless one is pinned for these inputs."""
        results = self._read("kept")
        if (query := _query(node, inputs)) not in results:
            self._write(
                results | {query: _adapter(node).dump_python(artifact, mode="json", by_alias=True)}, self._read("made")
            )

    def pin_all(self, node: Node, artifacts: Inputs) -> None:
        """Pins every resolver's result and the key of every stage's artifact. `artifacts`: all of the run, by stage."""
        for each in node.walk():
            if each.component.kind == "resolver" and each.name in artifacts:
                self.pin(each, {name: artifacts[n.name] for name, n in each.inputs.items()}, artifacts[each.name])
        cached = {each.name: artifacts.get(each.name) for each in node.walk() if each.component.kind == "cached"}
        self._write(self._read("kept"), {name: artifact.path.name for name, artifact in cached.items() if artifact})

    def key(self, stage: str) -> str | None:
        """The key of the artifact that the stage made, or None."""
        key: str | None = self._read("made").get(stage)
        return key

    def _read(self, section: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8")).get(section, {})
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError):
            cause = f"{self.path} is damaged: it holds the pinned inputs of {self.name}"
            raise StoreError(cause, "Remove it; the inputs are then looked up again.") from None
        return content

    def _write(self, results: dict[str, Any], keys: dict[str, str]) -> None:
        self.path.parent.mkdir(exist_ok=True)
        disk.write_json(self.path, {"name": self.name, "kept": results, "made": keys})


def _query(node: Node, inputs: Inputs) -> str:
    return " ".join(
        [node.name, *(f"{name}={artifact.digest if artifact else ''}" for name, artifact in inputs.items())]
    )


def _adapter(node: Node) -> Any:
    from pydantic import TypeAdapter  # most runs pin nothing

    kind: Any = node.component.output
    return TypeAdapter(kind | None)
