"""How states of runs and of stages are shown: in the terminal, on pages, and in the plot of the history."""

from dataclasses import dataclass

from pipeline.lineage.states import RunState, StageState


@dataclass(frozen=True)
class Appearance:
    """How one state is shown."""

    style: str  # of the terminal
    chip: str  # class of the style sheet: good, bad, warn or dim
    predicate: str = ""  # of a run: "The last run, 7, ..."


RUNS = {
    RunState.RUNNING: Appearance("bold", "warn", "is running; it started"),
    RunState.PUSHED: Appearance("green", "good", "pushed its model"),
    RunState.UNCHANGED: Appearance("cyan", "dim", "changed nothing"),
    RunState.WAITING: Appearance("yellow", "warn", "waits for approval of its model"),
    RunState.APPROVED: Appearance("green", "good", "had its model approved"),
    RunState.PARTIAL: Appearance("cyan", "dim", "ran a part of the line"),
    RunState.TUNED: Appearance("cyan", "dim", "tuned"),
    RunState.DRAFTED: Appearance("cyan", "dim", "drafted"),
    RunState.REFUSED: Appearance("red", "bad", "was refused"),
    RunState.FAILED: Appearance("red", "bad", "failed"),
    RunState.INTERRUPTED: Appearance("yellow", "warn", "was interrupted"),
    RunState.KILLED: Appearance("yellow", "warn", "was killed"),
}
STAGE_CHIPS = {StageState.RAN: "", StageState.REUSED: "dim", StageState.FAILED: "bad"}
