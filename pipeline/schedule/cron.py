"""Cron expressions with cron's semantics in a time zone. APScheduler computes ticks in wall clock time.

cronsim 2.8 is not used, because it loses a tick if clocks change by half an hour (test_cron_clocks.py).

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
    """The ticks of a cron expression.

    As in cron, if days of month and weekdays are both given, either may match. When clocks are set forward, a tick in
    the skipped hour moves to the same time in the next hour, and merges with a tick there. When they are set back, a
    tick at a fixed hour occurs once, in the first of the two hours, and a tick at every hour (`*`) in both.
    """

    cron: str
    zone: zoneinfo.ZoneInfo
    triggers: tuple[Any, ...]  # in wall clock time: in a time zone, APScheduler loses the midnight after a clock change

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
        """The first tick after `moment`, both in UTC. None if there is none.

        Near a clock change, the order of wall clock times differs from that of UTC. So the search starts at the
        earliest wall clock time that can be after `moment`, and ends when no later one can precede the result.
        """
        earliest: datetime.datetime | None = None
        for wall in self._wall_clock_ticks(moment + min(self._offsets(moment))):
            for tick in self._utc_times(wall):
                if tick > moment and (earliest is None or tick < earliest):
                    earliest = tick
            if earliest and wall >= earliest + max(self._offsets(earliest)):
                break
        return earliest

    def _wall_clock_ticks(self, start: datetime.datetime) -> Iterator[datetime.datetime]:
        """Wall clock times of the ticks from `start`, in order. Their tzinfo is UTC, which has no clock changes."""

        def ticks(trigger: Any, wall: datetime.datetime) -> Iterator[datetime.datetime]:
            while tick := trigger.get_next_fire_time(None, wall):
                yield tick
                wall = tick + datetime.timedelta(microseconds=1)

        return heapq.merge(*(ticks(trigger, start) for trigger in self.triggers))

    def _utc_times(self, wall: datetime.datetime) -> set[datetime.datetime]:
        """The times (UTC) at which clocks show `wall`: the second only for ticks at every hour. Skips move forward."""
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        # In a skipped hour, the second time is the earlier one (PEP 495).
        return {first, max(first, second)} if self.cron.split()[1].startswith("*") else {first}

    def _offsets(self, moment: datetime.datetime) -> list[datetime.timedelta]:
        """The UTC offsets a day before, at, and a day after `moment`. No clock change exceeds a day."""
        days = (moment + datetime.timedelta(days=n) for n in (-1, 0, 1))
        return [day.astimezone(self.zone).utcoffset() or datetime.timedelta() for day in days]


def zone_named(timezone: str) -> zoneinfo.ZoneInfo:
    """Raises ConfigurationError: there is no such time zone."""
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # an unknown name, a path, a folder of zones
        known = sorted(zoneinfo.available_timezones())
        close = get_close_matches(timezone, known, 1)
        hint = f"Did you mean {close[0]}?" if close else "Name it like Europe/Berlin or UTC."
        raise ConfigurationError(f"there is no time zone {timezone}", hint) from None


def _weekdays(field: str) -> str:
    """A weekday field with names instead of numbers: 0 is Sunday in cron, and Monday in APScheduler."""
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
