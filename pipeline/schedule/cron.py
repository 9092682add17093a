"""Cron expressions with cron's semantics, in a named time zone; the arithmetic of wall clocks is APScheduler's.

cronsim 2.8 was measured: where clocks change by half an hour it loses a tick (test_cron_clocks.py).

timetable = Timetable.of("0 3 * * *", "Europe/Berlin")
timetable.after(datetime.datetime.now(datetime.UTC))  # the next three o'clock in Berlin, in UTC
"""

import datetime
import heapq
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from etils import epy

from schemas.errors import ConfigurationError

with epy.lazy_imports():
    from apscheduler.triggers import cron as apscheduler_cron

UTC = datetime.UTC
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
EXAMPLE = 'Five fields: minute, hour, day of month, month, weekday. For example "0 3 * * *": every day at three.'


@dataclass(frozen=True)
class Timetable:
    """The moments that a cron expression names.

    As in cron, days of month and weekdays together mean either. Where clocks are put forward, a tick within the skipped
    hour comes an hour later by the new time, together with one that is due then. Where they are put back, a tick at a
    fixed hour comes once, at the first of the two, and a tick at every hour (`*`) comes in both.
    """

    cron: str
    zone: zoneinfo.ZoneInfo
    triggers: tuple[
        Any, ...
    ]  # of wall clocks: APScheduler's own arithmetic in a zone loses the midnight after a change

    @classmethod
    def of(cls, cron: str, timezone: str) -> "Timetable":
        """Raises ConfigurationError: not a cron expression, one that never occurs, or no such time zone."""
        fields = cron.split()
        if len(fields) != 5:
            raise ConfigurationError(f'--cron "{cron}" has {len(fields)} fields, not 5', EXAMPLE)
        try:
            minute, hour, day, month, weekday = *fields[:4], _weekdays(fields[4])
            days = [(day, weekday)] if "*" in (day[0], fields[4][0]) else [(day, "*"), ("*", weekday)]
            triggers = tuple(
                apscheduler_cron.CronTrigger(
                    minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=UTC
                )
                for day, weekday in days
            )
        except ValueError as error:
            raise ConfigurationError(f'--cron "{cron}" is not a cron expression: {error}', EXAMPLE) from None
        timetable = cls(cron, zone_named(timezone), triggers)
        if timetable.after(datetime.datetime(2024, 1, 1, tzinfo=UTC)) is None:
            raise ConfigurationError(f'--cron "{cron}" names a day that does not exist', EXAMPLE)
        return timetable

    def after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first tick later than `moment`, both in UTC; None if there is none.

        Wall clocks are not in the order of time where they change, so the search begins with the earliest that can be
        later than `moment`, and ends where none can be before the result: far from a change, at the first.
        """
        earliest: datetime.datetime | None = None
        for wall in self._walls(moment + min(self._offsets(moment))):
            for tick in self._moments(wall):
                if tick > moment and (earliest is None or tick < earliest):
                    earliest = tick
            if earliest and wall >= earliest + max(self._offsets(earliest)):
                break
        return earliest

    def _walls(self, start: datetime.datetime) -> Iterator[datetime.datetime]:
        """Wall clock times of the ticks from `start` on, in order; written as UTC, which has no changes."""

        def ticks(trigger: Any, wall: datetime.datetime) -> Iterator[datetime.datetime]:
            while tick := trigger.get_next_fire_time(None, wall):
                yield tick
                wall = tick + datetime.timedelta(microseconds=1)

        return heapq.merge(*(ticks(trigger, start) for trigger in self.triggers))

    def _moments(self, wall: datetime.datetime) -> set[datetime.datetime]:
        """Moments at which clocks show `wall`: the second only if every hour counts. A skipped time moves forward."""
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        # In a skipped hour, the "second" time is the earlier one, computed from the time after the change (PEP 495).
        return {first, max(first, second)} if self.cron.split()[1].startswith("*") else {first}

    def _offsets(self, moment: datetime.datetime) -> list[datetime.timedelta]:
        """By how much clocks are ahead of UTC around then: no change is of more than a day."""
        days = (moment + datetime.timedelta(days=n) for n in (-1, 0, 1))
        return [day.astimezone(self.zone).utcoffset() or datetime.timedelta() for day in days]


def zone_named(timezone: str) -> zoneinfo.ZoneInfo:
    """Raises ConfigurationError: there is no such time zone."""
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a misspelt name, a path, a folder of zones
        known = sorted(zoneinfo.available_timezones())
        close = get_close_matches(timezone, known, 1)
        hint = f"Did you mean {close[0]}?" if close else "Name it like Europe/Berlin or UTC."
        raise ConfigurationError(f"there is no time zone {timezone}", hint) from None


def _weekdays(field: str) -> str:
    """A weekday field in names: cron counts from Sunday, 0 or 7, APScheduler from Monday."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.lower().split(","):
        matched = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([1-9]\d*))?", part)
        if not matched:
            raise ValueError(f"{part} is not a weekday")
        first, last, step = matched.groups()
        start = _weekday(first) if first else 0
        stop = _weekday(last) if last else 6 if step or not first else start
        if stop == 0 and last:
            stop = 7  # fri-sun
        if start > stop:
            raise ValueError(f"the range {part} ends before it begins")
        days |= {day % 7 for day in range(start, stop + 1, int(step or 1))}
    return ",".join(DAYS[day] for day in sorted(days))


def _weekday(word: str) -> int:
    if word in DAYS:
        return DAYS.index(word)
    if word.isdecimal() and int(word) <= 7:
        return int(word)
    raise ValueError(f"{word} is not a weekday: 0 to 7, or sun to sat")
