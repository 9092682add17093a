"""The scheduler's records: the outcome of each run, and the state that survives a restart."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pipeline.schedule.cron import zone_named
from schemas import disk, places
from schemas.errors import ConfigurationError, EnvironmentFailure, StoreError

Outcome = Literal[
    "pushed",
    "unchanged",
    "waiting",
    "no drift",
    "refused",
    "failed",
    "configuration",
    "time limit",
    "interrupted",
    "missed",
]
FAILING: tuple[Outcome, ...] = ("failed", "configuration", "time limit")


@dataclass(frozen=True)
class Ended:
    """The outcome of a child process."""

    exit_code: int  # negative: killed by that signal
    message: str = ""
    new: bool = False  # a version was pushed
    timed_out: bool = False
    special: Outcome | None = None  # an outcome of exit code 0 other than pushed or unchanged

    @property
    def outcome(self) -> Outcome:
        if self.timed_out:
            return "time limit"
        if self.exit_code == 0:
            return self.special or ("pushed" if self.new else "unchanged")
        if self.exit_code == 2 and not self.message.startswith(StoreError.kind):
            return "configuration"
        outcomes: dict[int, Outcome] = {3: "refused", 4: "refused", 130: "interrupted"}
        return outcomes.get(self.exit_code, "failed")

    @property
    def retryable(self) -> bool:
        """True if a retry may succeed without a change: the environment failed, or a signal killed the process."""
        killed = self.exit_code < 0 or self.exit_code in (128 + 9, 128 + 15)
        unavailable = self.exit_code == EnvironmentFailure.exit_code or self.message.startswith(StoreError.kind)
        return self.outcome == "failed" and (killed or unavailable)

    @property
    def busy(self) -> bool:
        """True if another run held the lock, so nothing was run."""
        return self.exit_code == 5 and not self.timed_out


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Entry(_Saved):
    """The outcome of one tick, or of several that one run covered."""

    tick: AwareDatetime  # the last tick
    ticks: int = 1
    cause: str = ""  # the new data that started the run, which then covers no tick
    outcome: Outcome
    why: str
    tries: int = 0
    exit_code: int | None = None
    started: AwareDatetime | None = None
    ended: AwareDatetime


class Running(_Saved):
    """A run without an outcome yet: in progress, waiting for a retry, or interrupted by a crash."""

    tick: AwareDatetime
    ticks: int = 1
    cause: str = ""
    started: AwareDatetime
    tries: int = 0
    busy: int = 0  # attempts when another run held the lock
    retry_at: AwareDatetime | None = Field(None, alias="again")


class State(_Saved):
    """The state that survives a restart."""

    cron: str
    timezone: str
    accounted: AwareDatetime  # ticks up to this time are recorded, or covered by `running`
    last_trigger: str = Field("", alias="heard")  # token of the new data that started the last run
    pending: AwareDatetime | None = Field(None, alias="owed")  # when a run with the new data is retried
    running: Running | None = None
    next: AwareDatetime | None = None
    why: str = ""
    recent: tuple[Entry, ...] = ()  # the newest last

    @classmethod
    def read(cls, path: Path) -> "State | None":
        """Raises StoreError: the file is not a schedule's state, or cannot be read."""
        try:
            state = cls.model_validate_json(path.read_bytes())
            zone_named(state.timezone)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise places.explain(error, path, "cannot read the schedule's state") from error
        except (ValidationError, ConfigurationError) as error:
            why = f": {error.cause}" if isinstance(error, ConfigurationError) else ""
            raise StoreError(
                f"{path} is not a schedule's state{why}", "Remove it: the schedule then starts from now."
            ) from None
        return state

    def as_json(self) -> dict[str, Any]:
        """As JSON values, with the keys of version 0.1."""
        return self.model_dump(mode="json", by_alias=True)

    def write(self, path: Path) -> None:
        with places.explained(path.parent, "cannot write the schedule's state to"):
            disk.write_json(path, self.as_json())

    @classmethod
    def begin(cls, before: "State | None", cron: str, timezone: str, now: datetime.datetime) -> "State":
        """The state after a restart. A new timetable has no earlier ticks. Pending data starts a run at once."""
        if before is None:
            return cls(cron=cron, timezone=timezone, accounted=now)
        why = before.why if before.running else ""
        # Reset, because the cause of a failure may be fixed.
        before = before.model_copy(update={"next": None, "why": why, "pending": before.pending and now})
        if (before.cron, before.timezone) == (cron, timezone):
            return before
        return before.model_copy(update={"cron": cron, "timezone": timezone, "accounted": now})
