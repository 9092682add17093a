"""Plan: walk the DAG in order and say of each stage whether it is reused or runs, and why.

plan = Planner(store, Again(force={"train"})).plan(line(config))
[(step.name, step.action, step.why) for step in plan]
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.engine.cache_key import Recipe
from pipeline.engine.component import Node
from pipeline.engine.pinned import Held
from pipeline.store import Store
from schemas.artifacts import Artifact, Gate
from schemas.errors import ConfigurationError, GatelineError

Action = Literal["reuse", "run", "resolve", "wait", "refused"]


@dataclass(frozen=True)
class Again:
    """What the user asked to run anew."""

    force: frozenset[str] = frozenset()  # just these stages
    from_stage: str | None = None  # this one and all behind it
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
    """A stage and what is to be done about it. `wait`: decided when its inputs stand."""

    node: Node
    action: Action
    why: str
    recipe: Recipe | None = None
    artifact: Artifact | None = None
    refusal: GatelineError | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True)
class Planner:
    """Decides about stages against a store."""

    store: Store
    again: Again
    order: list[str]
    only: str | None = None  # the one stage that may run: what it needs must stand
    held: Held | None = None  # what was looked up before, under one name

    @classmethod
    def of(
        cls, store: Store, again: Again, node: Node, *, only: str | None = None, held: Held | None = None
    ) -> "Planner":
        order = [only] if only else [each.name for each in node.walk()]
        kinds = {
            each.name: each.component.kind
            for each in node.walk()
            if each.name in order and each.component.kind != "resolver"
        }
        for stage in [*again.force, *([again.from_stage] if again.from_stage else [])]:
            if stage not in kinds:
                raise ConfigurationError(f"{stage} is no stage of this run", f"Its stages are {', '.join(kinds)}.")
            if kinds[stage] == "always":
                raise ConfigurationError(
                    f"{stage} runs every time", "Leave it out, or name a stage whose work is kept."
                )
        return cls(store, again, order, only, held)

    def plan(self, node: Node) -> list[Step]:
        """A step for each node, inputs first. Nothing is run but resolvers."""
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
        """What to do about one stage whose inputs stand.

        Raises:
            ConfigurationError: it would have to run, but only another one may.
        """
        if refusal := next(filter(None, map(refused, inputs.values())), None):
            return Step(node, "refused", refusal.cause, refusal=refusal)
        if node.component.kind == "resolver":
            return self._look_up(node, inputs)
        given = self.only not in (None, node.name)  # it must stand already
        if given and (before := self._made_before(node)):
            return before
        recipe = Recipe.of(node, inputs)
        if node.component.kind == "always":
            return Step(node, "run", "runs every time", recipe)
        return self._decide_cached(node, recipe, given=given)

    def _decide_cached(self, node: Node, recipe: Recipe, *, given: bool) -> Step:
        if not given and (asked := self.again.reason(node)) is not None:
            return Step(node, "run", asked, recipe)
        if artifact := self.store.find(node.name, recipe.key, node.component.output):
            return Step(node, "reuse", "nothing changed", recipe, artifact)
        if given:
            cause = f"{self.only} needs {node.name}, which the store does not have ({self._why(recipe)})"
            raise ConfigurationError(
                cause, f"Make it: python -m pipeline run --only {node.name}, and the same other options."
            )
        return Step(node, "run", self._why(recipe), recipe)

    def _look_up(self, node: Node, inputs: dict[str, Artifact | None]) -> Step:
        kept = self.held.find(node, inputs) if self.held else ()
        if kept:
            return Step(node, "resolve", "looked up before", artifact=kept[0])
        return Step(node, "resolve", "looked up", artifact=resolve(node, inputs))

    def _made_before(self, node: Node) -> Step | None:
        """What is held of this stage, if that is kept and still stands."""
        key = self.held.made(node.name) if self.held else None
        artifact = self.store.find(node.name, key, node.component.output) if key else None
        if key is None or artifact is None:
            return None
        manifest = self.store.manifest(node.name, key)
        assert manifest is not None
        return Step(node, "reuse", "made before", Recipe(node.name, manifest["recipe"]), artifact)

    def _why(self, recipe: Recipe) -> str:
        """What changed since the most similar artifact of this stage."""
        if self.store.path(recipe.stage, recipe.key).exists():
            return "its artifact was incomplete"
        known = [recipe.differences(m["recipe"]) for m in self.store.manifests(recipe.stage)]
        if not known:
            return "first time"
        nearest = min(reversed(known), key=len)
        more = len(nearest) - 2
        return "; ".join(nearest[:2]) + (f" and {more} more" if more > 0 else "")


def resolve(node: Node, inputs: dict[str, Artifact | None]) -> Artifact | None:
    """What a resolver finds."""
    function: Callable[..., Any] = node.component.function
    found: Artifact | None = function(**inputs, **node.settings)
    return found


def refused(artifact: Artifact | None) -> GatelineError | None:
    """What a gate that said no raises; None for all else."""
    if isinstance(artifact, Gate) and not artifact.passed:
        return artifact.refusal("\n         ".join(artifact.reasons), artifact.remedy)
    return None
