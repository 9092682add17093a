"""Plans a run: decides for each stage, in order, whether it is reused or runs, and why.

plan = Planner(store, Rerun(force={"train"})).plan(line(config))
[(step.name, step.action, step.why) for step in plan]
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pipeline.engine.cache_key import CacheKey
from pipeline.engine.component import Node
from pipeline.engine.pinned import PinnedInputs
from pipeline.store import Store
from schemas.artifacts import Artifact, Gate
from schemas.errors import ConfigurationError, GatelineError

Action = Literal["reuse", "run", "resolve", "wait", "refused"]


@dataclass(frozen=True)
class Rerun:
    """The stages that run even if nothing changed, as the user requested."""

    force: frozenset[str] = frozenset()  # just these stages
    from_stage: str | None = None  # this one and all later ones
    no_cache: bool = False  # all

    def reason(self, node: Node) -> str | None:
        if self.no_cache:
            return "--no-cache"
        if node.name in self.force:
            return "--force"
        if any(each.name == self.from_stage for each in node.walk()):
            return f"--from {self.from_stage}"
        return None


@dataclass(frozen=True)
class Step:
    """A stage and what to do with it. `wait`: decided once its inputs are made."""

    node: Node
    action: Action
    why: str
    key: CacheKey | None = None
    artifact: Artifact | None = None
    refusal: GatelineError | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True)
class Planner:
    """Decides what to do with each stage, given a store."""

    store: Store
    again: Rerun
    order: list[str]
    only: str | None = None  # the one stage that may run: its inputs must exist
    pinned: PinnedInputs | None = None

    @classmethod
    def of(
        cls, store: Store, again: Rerun, node: Node, *, only: str | None = None, pinned: PinnedInputs | None = None
    ) -> "Planner":
        order = [only] if only else [each.name for each in node.walk()]
        kinds = {
            each.name: each.component.kind
            for each in node.walk()
            if each.name in order and each.component.kind != "resolver"
        }
        for stage in [*again.force, *([again.from_stage] if again.from_stage else [])]:
            if stage not in kinds:
                raise ConfigurationError(f"{stage} is not a stage of this run", f"Its stages are {', '.join(kinds)}.")
            if kinds[stage] == "always":
                raise ConfigurationError(
                    f"{stage} runs every time", "Leave it out, or name a stage whose artifact is stored."
                )
        return cls(store, again, order, only, pinned)

    def plan(self, node: Node) -> list[Step]:
        """A step for each node, inputs first. Only resolvers are run."""
        steps: dict[str, Step] = {}
        for each in node.walk():
            upstream = [steps[n.name] for n in each.inputs.values()]
            if refused := next((s for s in upstream if s.action == "refused"), None):
                steps[each.name] = Step(each, "refused", refused.why, refusal=refused.refusal)
            elif pending := [s.name for s in upstream if s.action in ("run", "wait")]:
                steps[each.name] = Step(each, "wait", f"after {', '.join(dict.fromkeys(pending))}")
            else:
                steps[each.name] = self.decide(each, {name: steps[n.name].artifact for name, n in each.inputs.items()})
        return list(steps.values())

    def decide(self, node: Node, inputs: dict[str, Artifact | None]) -> Step:
        """What to do with one stage whose inputs exist.

        Raises:
            ConfigurationError: it would have to run, but only another one may.
        """
        if refusal := next(filter(None, map(refused, inputs.values())), None):
            return Step(node, "refused", refusal.cause, refusal=refusal)
        if node.component.kind == "resolver":
            return self._look_up(node, inputs)
        given = self.only not in (None, node.name)  # its artifact must exist
        if given and (before := self._made_before(node)):
            return before
        key = CacheKey.of(node, inputs)
        if node.component.kind == "always":
            return Step(node, "run", "runs every time", key)
        return self._decide_cached(node, key, given=given)

    def _decide_cached(self, node: Node, key: CacheKey, *, given: bool) -> Step:
        if not given and (forced := self.again.reason(node)) is not None:
            return Step(node, "run", forced, key)
        if artifact := self.store.find(node.name, key.digest, node.component.output):
            return Step(node, "reuse", "nothing changed", key, artifact)
        if given:
            cause = f"{self.only} needs {node.name}, which the store does not have ({self._why(key)})"
            raise ConfigurationError(
                cause, f"Run python -m pipeline run --only {node.name} with the same other options first."
            )
        return Step(node, "run", self._why(key), key)

    def _look_up(self, node: Node, inputs: dict[str, Artifact | None]) -> Step:
        kept = self.pinned.find(node, inputs) if self.pinned else ()
        if kept:
            return Step(node, "resolve", "looked up before", artifact=kept[0])
        return Step(node, "resolve", "looked up", artifact=resolve(node, inputs))

    def _made_before(self, node: Node) -> Step | None:
        """The pinned artifact of this stage, if it still exists."""
        key = self.pinned.made(node.name) if self.pinned else None
        artifact = self.store.find(node.name, key, node.component.output) if key else None
        if key is None or artifact is None:
            return None
        manifest = self.store.manifest(node.name, key) or {}
        return Step(node, "reuse", "made before", CacheKey(node.name, manifest["recipe"]), artifact)

    def _why(self, key: CacheKey) -> str:
        """What changed since the most similar stored artifact of this stage."""
        if self.store.path(key.stage, key.digest).exists():
            return "its artifact was incomplete"
        known = [key.differences(m["recipe"]) for m in self.store.manifests(key.stage)]
        if not known:
            return "first time"
        nearest = min(reversed(known), key=len)
        more = len(nearest) - 2
        return "; ".join(nearest[:2]) + (f" and {more} more" if more > 0 else "")


def resolve(node: Node, inputs: dict[str, Artifact | None]) -> Artifact | None:
    """The result of a resolver."""
    function: Callable[..., Artifact | None] = node.component.function
    return function(**inputs, **node.settings)


def refused(artifact: Artifact | None) -> GatelineError | None:
    """The error of a gate that refused; otherwise None."""
    if isinstance(artifact, Gate) and not artifact.passed:
        return artifact.refusal("\n         ".join(artifact.reasons), artifact.remedy)
    return None
