"""Clock changes in every time zone: each tick occurs once, also where midnight is skipped."""

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
    "*/15 * * * *": lambda local_time: local_time.minute % 15 == 0,
    "7 * * * *": lambda local_time: local_time.minute == 7,
    "20,50 */2 * * *": lambda local_time: local_time.minute in (20, 50) and local_time.hour % 2 == 0,
    "*/10 0-3,23 * * *": lambda local_time: local_time.minute % 10 == 0 and local_time.hour in (0, 1, 2, 3, 23),
    "0 0 1 * 0": lambda local_time: (
        (local_time.hour, local_time.minute) == (0, 0) and (local_time.day == 1 or local_time.isoweekday() == 7)
    ),
    "45 23 * * *": lambda local_time: (local_time.hour, local_time.minute) == (23, 45),
}


def days(cron: str, zone: str, start: str, count: int) -> list[str]:
    """The local dates of the first ticks after `start`."""
    time_zone, moment = zoneinfo.ZoneInfo(zone), datetime.datetime.fromisoformat(start).replace(tzinfo=UTC)
    all_ticks = ticks(cron, zone, moment, moment + 70 * DAY)
    return [tick.astimezone(time_zone).strftime("%m-%d") for tick in all_ticks[:count]]


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
def test_midnight_after_a_change_to_summer_time_occurs(cron: str, zone: str, start: str, expected: list[str]) -> None:
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
def test_a_skipped_midnight_occurs_an_hour_later(zone: str, day: str, expected: str) -> None:
    assert local("0 0 * * *", zone, day) == [expected]
    assert len(local("0 * * * *", zone, day)) == 23


def test_the_tick_of_a_skipped_day_occurs_on_the_next_day() -> None:
    assert days("30 0 * * *", "Pacific/Apia", "2011-12-28T12:00", 4) == ["12-29", "12-31", "01-01", "01-02"]


@settings(max_examples=60, deadline=None)
@given(zone=ZONES, minute=st.integers(0, 59), year=st.integers(1990, 2036))
@example("Pacific/Apia", 30, 2011)
@example("Africa/Cairo", 0, 2026)
@example("America/Havana", 0, 2026)
def test_a_daily_tick_occurs_once_per_local_date_in_every_time_zone(zone: str, minute: int, year: int) -> None:
    time_zone = zoneinfo.ZoneInfo(zone)
    noon = datetime.datetime(year, 1, 1, 12, tzinfo=time_zone)
    noons = [(noon + n * DAY).astimezone(UTC) for n in range(2 * 366)]
    dates = sorted({moment.astimezone(time_zone).date() for moment in noons})  # without the dates that the zone skipped
    tick_dates = [tick.astimezone(time_zone).date() for tick in ticks(f"{minute} 0 * * *", zone, noons[0], noons[-1])]
    assert tick_dates == dates[1:]


def brute_force_ticks(
    matches: Callable[[datetime.datetime], bool], every_hour: bool, zone: str, start: datetime.datetime
) -> list[datetime.datetime]:
    """The ticks of four days from `start`, computed minute by minute."""
    time_zone = zoneinfo.ZoneInfo(zone)
    result, seen, before = [], set(), (start - MINUTE).astimezone(time_zone).replace(tzinfo=None)
    for moment in (start + n * MINUTE for n in range(4 * 24 * 60)):
        local_time = moment.astimezone(time_zone).replace(tzinfo=None)
        skipped = (local_time - before) // MINUTE - 1
        result += [moment + n * MINUTE for n in range(skipped) if matches(before + (n + 1) * MINUTE)]
        if matches(local_time) and (every_hour or local_time not in seen):
            result.append(moment)
        seen.add(local_time)
        before = local_time
    return sorted(set(result))


@settings(max_examples=150, deadline=None)
@given(zone=ZONES, year=st.integers(1990, 2036), cron=st.sampled_from(sorted(CRONS)), index=st.integers(0, 3))
@example("Pacific/Apia", 2011, "*/15 * * * *", 1)
@example("Australia/Lord_Howe", 2026, "20,50 */2 * * *", 0)
def test_ticks_around_clock_changes_equal_those_of_a_brute_force_search(
    zone: str, year: int, cron: str, index: int
) -> None:
    time_zone = zoneinfo.ZoneInfo(zone)
    all_days = [datetime.datetime(year, 1, 1, tzinfo=UTC) + n * DAY for n in range(366)]
    changes = [
        day
        for day in all_days
        if (day + DAY).astimezone(time_zone).utcoffset() != day.astimezone(time_zone).utcoffset()
    ]
    start = changes[index % len(changes)] - DAY if changes else all_days[0]
    expected = brute_force_ticks(CRONS[cron], cron.split()[1].startswith("*"), zone, start)
    end = start + 3 * DAY  # ticks that a change moves to the fourth day are not compared
    assert ticks(cron, zone, start - MINUTE, end) == [tick for tick in expected if tick <= end]
