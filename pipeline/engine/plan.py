"""Plans a run: decides for each stage, in order, whether it runs or its artifact is reused, and why.

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
    """The stages that the user forces to run, even if nothing changed."""

    force: frozenset[str] = frozenset()  # only these stages
    from_stage: str | None = None  # this stage and all later ones
    no_cache: bool = False  # all stages

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
    """A stage and its planned action. `wait`: decided when its inputs exist."""

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
    """Decides the action of each stage, for one store."""

    store: Store
    rerun: Rerun
    order: list[str]
    only: str | None = None  # the one stage that may run: its inputs must exist
    pinned: PinnedInputs | None = None

    @classmethod
    def of(
        cls, store: Store, rerun: Rerun, node: Node, *, only: str | None = None, pinned: PinnedInputs | None = None
    ) -> "Planner":
        order = [only] if only else [each.name for each in node.walk()]
        kinds = {
            each.name: each.component.kind
            for each in node.walk()
            if each.name in order and each.component.kind != "resolver"
        }
        for stage in [*rerun.force, *([rerun.from_stage] if rerun.from_stage else [])]:
            if stage not in kinds:
                raise ConfigurationError(f"{stage} is not a stage of this run", f"Its stages are {', '.join(kinds)}.")
            if kinds[stage] == "always":
                raise ConfigurationError(
                    f"{stage} runs every time", "Leave it out, or name a stage whose artifact is stored."
                )
        return cls(store, rerun, order, only, pinned)

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
        """The action of one stage whose inputs exist.

        Raises:
            ConfigurationError: the stage would have to run, but `only` names another one.
        """
        if refusal := next(filter(None, map(refusal_of, inputs.values())), None):
            return Step(node, "refused", refusal.cause, refusal=refusal)
        if node.component.kind == "resolver":
            return self._look_up(node, inputs)
        must_exist = self.only not in (None, node.name)
        if must_exist and (pinned := self._pinned_step(node)):
            return pinned
        key = CacheKey.of(node, inputs)
        if node.component.kind == "always":
            return Step(node, "run", "runs every time", key)
        return self._decide_cached(node, key, must_exist=must_exist)

    def _decide_cached(self, node: Node, key: CacheKey, *, must_exist: bool) -> Step:
        if not must_exist and (forced := self.rerun.reason(node)) is not None:
            return Step(node, "run", forced, key)
        if artifact := self.store.find(node.name, key.digest, node.component.output):
            return Step(node, "reuse", "nothing changed", key, artifact)
        if must_exist:
            cause = f"{self.only} needs {node.name}, which the store does not have ({self._why(key)})"
            raise ConfigurationError(
                cause, f"Run python -m pipeline run --only {node.name} with the same other options first."
            )
        return Step(node, "run", self._why(key), key)

    def _look_up(self, node: Node, inputs: dict[str, Artifact | None]) -> Step:
        pinned = self.pinned.find(node, inputs) if self.pinned else ()
        if pinned:
            return Step(node, "resolve", "pinned", artifact=pinned[0])
        return Step(node, "resolve", "looked up", artifact=resolve(node, inputs))

    def _pinned_step(self, node: Node) -> Step | None:
        """Reuses the pinned artifact of this stage, if it still exists."""
        key = self.pinned.key(node.name) if self.pinned else None
        artifact = self.store.find(node.name, key, node.component.output) if key else None
        if key is None or artifact is None:
            return None
        manifest = self.store.manifest(node.name, key) or {}
        return Step(node, "reuse", "pinned", CacheKey(node.name, manifest["recipe"]), artifact)

    def _why(self, key: CacheKey) -> str:
        """The differences from the most similar stored artifact of this stage."""
        if self.store.path(key.stage, key.digest).exists():
            return "its artifact was incomplete"
        differences = [key.differences(m["recipe"]) for m in self.store.manifests(key.stage)]
        if not differences:
            return "first time"
        closest = min(reversed(differences), key=len)
        more = len(closest) - 2
        return "; ".join(closest[:2]) + (f" and {more} more" if more > 0 else "")


def resolve(node: Node, inputs: dict[str, Artifact | None]) -> Artifact | None:
    """The result of a resolver."""
    function: Callable[..., Artifact | None] = node.component.function
    return function(**inputs, **node.settings)


def refusal_of(artifact: Artifact | None) -> GatelineError | None:
    """The error of a gate that refused, else None."""
    if isinstance(artifact, Gate) and not artifact.passed:
        return artifact.refusal("\n         ".join(artifact.reasons), artifact.remedy)
    return None
