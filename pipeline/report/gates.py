"""Results of gates in the order and the words of the report.

table, collapsed = shown(facts.gates)
passed_summary(facts.gates, facts.comparisons)      # "every gate passed"
"""

from collections.abc import Iterable, Sequence

from pipeline.report import shortened
from pipeline.report.comparisons import with_served
from schemas.artifacts import Comparison, GateResult, ranked
from schemas.artifacts.evaluation import WORST

FEW = "too few examples"


def shown(results: Iterable[GateResult]) -> tuple[list[GateResult], list[GateResult]]:
    """(shown, collapsed), refused gates first, then those with too few images.

    Gates on classes are collapsed if all pass. Of a gate on many slices, only the smallest margins are shown.
    """
    table: list[GateResult] = []
    collapsed: list[GateResult] = []
    for gate, group in shortened.families(results).items():
        if gate == "per_class" and len(group) > 1 and all(each.verdict == "passed" for each in group):
            collapsed += group
        elif len(group) > shortened.ROWS:
            order = ranked(group)
            table, collapsed = table + order[:WORST], collapsed + order[WORST:]
        else:
            table += group
    return sorted(table, key=lambda gate: (gate.passed, gate.verdict != FEW)), collapsed


def collapsed_summary(collapsed: Sequence[GateResult]) -> str:
    """A summary of the collapsed gates: "Each of the 10 classes passed; the closest is label=3 by +0.0105"."""
    kind = "classes" if all(gate.gate == "per_class" for gate in collapsed) else "slices"
    if kind == "slices" or any(gate.verdict != "passed" for gate in collapsed):
        return f"{len(collapsed):,} more {kind}: {shortened.counted(collapsed)}"
    closest = _closest(collapsed)
    suffix = f"; the closest is {closest.on} by {closest.margin}" if closest else ""
    level = next((f" at {gate.level}" for gate in collapsed if gate.level), "")
    return f"Each of the {len(collapsed):,} classes passed{level}{suffix}"


def _closest(results: Iterable[GateResult]) -> GateResult | None:
    """The gate that passed by the smallest margin; of equal ones, as they are shown, the first."""
    distances = [(round(gate.distance, 4), gate) for gate in results if gate.distance is not None]
    return min(distances, key=lambda pair: pair[0], default=(0.0, None))[1]


def passed_summary(results: Sequence[GateResult], comparisons: Iterable[Comparison]) -> str:
    """How a model passed its gates, as part of a sentence: gates that could not decide, and tolerated verdicts."""
    few = sum(gate.verdict == FEW for gate in results)
    parts = [f"{few} could not be judged (too few test images)"] if few else []
    served = with_served(comparisons)
    if served and served.test and served.test.verdict in ("worse", "undecided") and _allowed(results):
        parts.append(f"{served.test.phrase} the served model, which gates.paired allows")
    return "every gate passed" if results and not parts else "; ".join(["no gate refused", *parts])


def _allowed(results: Iterable[GateResult]) -> bool:
    """Whether the gate on the comparison with the served model passed."""
    return any(gate.gate == "paired" and gate.passed for gate in results)


def fresh(results: Iterable[GateResult]) -> str:
    """The requirement and the result of the gate on fresh images. Empty if there is no such gate."""
    gate = next((gate for gate in results if gate.gate == "fresh"), None)
    if not gate or not gate.passed:
        return gate.reason if gate else ""
    if gate.verdict == "passed":
        return f"gates.fresh requires {gate.bound:.4f} and measured {gate.measured}: passed"
    why = "there is no span yet" if gate.value is None else "there are too few images to decide"
    return f"gates.fresh requires {gate.bound:.4f}; {why}, so it does not refuse"
