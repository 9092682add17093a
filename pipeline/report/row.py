"""A row of the index: one run."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One run. Values of stages that it did not reach are None or empty."""

    run: int
    profile: str
    model: str  # the name in the serving directory
    state: str
    started: str
    seconds: float | None
    accuracy: float | None  # on the test split, in [0, 1]
    version: int | None  # the pushed version, or the one that already has this model
    gates: dict[str, str]  # by gate: "passed", "refused" or "too few examples"
    why: str  # one sentence
    report: str | None  # file name of the run's page
    damaged: list[str] = field(default_factory=list)  # files of its evaluation that cannot be read
    new: str = ""  # the spans that are new since this model was last served

    @property
    def refused(self) -> list[str]:
        return [gate for gate, verdict in self.gates.items() if verdict == "refused"]
