"""What was looked up, kept under a name: the stages of one orchestrated run, each a process of its own, all see the same;
and an approval pushes what was asked about, whatever was edited since.

held = Held(root, "scheduled__2026-11-22")
held.keep(node, inputs, artifact)
held.find(node, inputs)                # (artifact,), or () where nothing is kept
held.keep_all(node, made)
held.made("train")                     # the key of what that stage made, or None
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
    """The name under which a run that waits for approval keeps its answers: what comes meanwhile is of the next run."""
    return f"run {number}"


@dataclass(frozen=True)
class Held:
    """The answers of resolvers under one name, each for the inputs that it was given, and what stages made, where that is kept
    too: `ROOT/held/<digest of the name>.json`."""

    root: Path
    name: str

    @property
    def path(self) -> Path:
        return self.root / "held" / f"{hashlib.sha256(self.name.encode()).hexdigest()[:16]}.json"

    def find(self, node: Node, inputs: Inputs) -> tuple[Artifact | None] | tuple[()]:
        """What is kept: an artifact, or that there was none. Empty where nothing is kept."""
        kept = self._read("kept")
        if (question := _question(node, inputs)) not in kept:
            return ()
        return (_adapter(node).validate_python(kept[question]),)

    def keep(self, node: Node, inputs: Inputs, artifact: Artifact | None) -> None:
        kept = self._read("kept")
        if (question := _question(node, inputs)) not in kept:
            self._write(kept | {question: _adapter(node).dump_python(artifact, mode="json")}, self._read("made"))

    def keep_all(self, node: Node, made: Inputs) -> None:
        """Every answer that a run was given, and which artifact each stage came to; `made`: what it found and made, by name."""
        for each in node.walk():
            if each.component.kind == "resolver" and each.name in made:
                self.keep(each, {name: made[n.name] for name, n in each.inputs.items()}, made[each.name])
        cached = {each.name: made.get(each.name) for each in node.walk() if each.component.kind == "cached"}
        self._write(self._read("kept"), {name: artifact.path.name for name, artifact in cached.items() if artifact})

    def made(self, stage: str) -> str | None:
        """The key of the artifact that the stage came to."""
        found: str | None = self._read("made").get(stage)
        return found

    def _read(self, what: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.path.read_text()).get(what, {})
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError):
            raise StoreError(
                f"{self.path} is damaged: it kept what {self.name} was told", "Remove it: all is looked up anew."
            ) from None
        return found

    def _write(self, kept: dict[str, Any], made: dict[str, str]) -> None:
        self.path.parent.mkdir(exist_ok=True)
        files.write_json(self.path, {"name": self.name, "kept": kept, "made": made})


def _question(node: Node, inputs: Inputs) -> str:
    return " ".join(
        [node.name, *(f"{name}={artifact.digest if artifact else ''}" for name, artifact in inputs.items())]
    )


def _adapter(node: Node) -> Any:
    from pydantic import TypeAdapter  # only where something is kept

    kind: Any = node.component.output
    found: Any = TypeAdapter(kind | None)
    return found
