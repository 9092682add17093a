"""Clocks that are changed, in every zone: each tick comes once, also where it is midnight that is left out."""

import datetime
import zoneinfo
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.pipeline.schedule.test_cron import UTC, local, ticks

MINUTE, DAY = datetime.timedelta(minutes=1), datetime.timedelta(days=1)
ZONES = st.sampled_from(sorted(zoneinfo.available_timezones()))
CRONS: dict[str, Callable[[datetime.datetime], bool]] = {
    "*/15 * * * *": lambda wall: wall.minute % 15 == 0,
    "7 * * * *": lambda wall: wall.minute == 7,
    "20,50 */2 * * *": lambda wall: wall.minute in (20, 50) and wall.hour % 2 == 0,
    "*/10 0-3,23 * * *": lambda wall: wall.minute % 10 == 0 and wall.hour in (0, 1, 2, 3, 23),
    "0 0 1 * 0": lambda wall: (wall.hour, wall.minute) == (0, 0) and (wall.day == 1 or wall.isoweekday() == 7),
    "45 23 * * *": lambda wall: (wall.hour, wall.minute) == (23, 45),
}


def days(cron: str, zone: str, start: str, count: int) -> list[str]:
    """The local dates of the first ticks from then on."""
    there, moment = zoneinfo.ZoneInfo(zone), datetime.datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = ticks(cron, zone, moment, moment + 70 * DAY)
    return [tick.astimezone(there).strftime("%m-%d") for tick in found[:count]]


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        ("0 0 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29", "03-30", "03-31"]),
        ("59 0 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29", "03-30", "03-31"]),
        ("0 0 * * *", "America/New_York", "2026-03-07T12:00", ["03-08", "03-09", "03-10"]),
        ("0 0 * * 1", "Europe/Berlin", "2026-03-20T12:00", ["03-23", "03-30", "04-06"]),
        ("0 0 1 * *", "Europe/Berlin", "2013-03-15T12:00", ["04-01", "05-01"]),  # clocks changed on 31 March
    ],
)
def test_the_midnight_after_clocks_went_forward_is_there(cron: str, zone: str, start: str, expected: list[str]) -> None:
    assert days(cron, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Africa/Cairo", "2026-04-24", "01:00+0300"),
        ("Asia/Beirut", "2026-03-29", "01:00+0300"),
        ("America/Havana", "2026-03-08", "01:00-0400"),
        ("America/Santiago", "2026-09-06", "01:00-0300"),
    ],
)
def test_a_midnight_that_is_left_out_comes_an_hour_later(zone: str, day: str, expected: str) -> None:
    assert local("0 0 * * *", zone, day) == [expected]
    assert len(local("0 * * * *", zone, day)) == 23


def test_a_day_that_was_left_out_is_made_up_for_by_the_next() -> None:
    assert days("30 0 * * *", "Pacific/Apia", "2011-12-28T12:00", 4) == ["12-29", "12-31", "01-01", "01-02"]


@settings(max_examples=60, deadline=None)
@given(zone=ZONES, minute=st.integers(0, 59), year=st.integers(1990, 2036))
@example("Pacific/Apia", 30, 2011)
@example("Africa/Cairo", 0, 2026)
@example("America/Havana", 0, 2026)
def test_in_whatever_zone_each_local_date_has_its_hour_nought_once(zone: str, minute: int, year: int) -> None:
    there = zoneinfo.ZoneInfo(zone)
    noon = datetime.datetime(year, 1, 1, 12, tzinfo=there)
    noons = [(noon + n * DAY).astimezone(UTC) for n in range(2 * 366)]
    dates = sorted({moment.astimezone(there).date() for moment in noons})  # less those that the zone never saw
    found = [tick.astimezone(there).date() for tick in ticks(f"{minute} 0 * * *", zone, noons[0], noons[-1])]
    assert found == dates[1:]


def by_hand(
    wanted: Callable[[datetime.datetime], bool], every_hour: bool, zone: str, start: datetime.datetime
) -> list[datetime.datetime]:
    """The ticks of four days from `start`, found minute by minute."""
    there = zoneinfo.ZoneInfo(zone)
    found, seen, before = [], set(), (start - MINUTE).astimezone(there).replace(tzinfo=None)
    for moment in (start + n * MINUTE for n in range(4 * 24 * 60)):
        wall = moment.astimezone(there).replace(tzinfo=None)
        left_out = (wall - before) // MINUTE - 1
        found += [moment + n * MINUTE for n in range(left_out) if wanted(before + (n + 1) * MINUTE)]
        if wanted(wall) and (every_hour or wall not in seen):
            found.append(moment)
        seen.add(wall)
        before = wall
    return sorted(set(found))


@settings(max_examples=150, deadline=None)
@given(zone=ZONES, year=st.integers(1990, 2036), cron=st.sampled_from(sorted(CRONS)), which=st.integers(0, 3))
@example("Pacific/Apia", 2011, "*/15 * * * *", 1)
@example("Australia/Lord_Howe", 2026, "20,50 */2 * * *", 0)
def test_around_each_change_of_clocks_the_ticks_are_those_that_are_found_minute_by_minute(
    zone: str, year: int, cron: str, which: int
) -> None:
    there = zoneinfo.ZoneInfo(zone)
    each = [datetime.datetime(year, 1, 1, tzinfo=UTC) + n * DAY for n in range(366)]
    changes = [day for day in each if (day + DAY).astimezone(there).utcoffset() != day.astimezone(there).utcoffset()]
    start = changes[which % len(changes)] - DAY if changes else each[0]
    expected = by_hand(CRONS[cron], cron.split()[1].startswith("*"), zone, start)
    end = start + 3 * DAY  # whatever a change leaves over for the fourth day is not asked for
    assert ticks(cron, zone, start - MINUTE, end) == [tick for tick in expected if tick <= end]
