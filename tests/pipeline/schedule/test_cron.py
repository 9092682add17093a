"""Cron expressions have the meaning of cron, also on days with a clock change."""

import datetime
import itertools
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.schedule.cron import Timetable
from schemas.errors import ConfigurationError

UTC = datetime.UTC


def ticks(cron: str, zone: str, start: datetime.datetime, end: datetime.datetime) -> list[datetime.datetime]:
    table, result, moment = Timetable.of(cron, zone), [], start
    while (tick := table.after(moment)) and tick <= end:
        assert moment < tick
        assert tick.tzinfo is UTC
        result.append(tick)
        moment = tick
    return result


def local(cron: str, zone: str, day: str) -> list[str]:
    """The ticks of one local day as local times with their offset from UTC."""
    time_zone = zoneinfo.ZoneInfo(zone)
    start = datetime.datetime.fromisoformat(day).replace(tzinfo=time_zone).astimezone(UTC)
    end = (datetime.datetime.fromisoformat(day) + datetime.timedelta(days=1)).replace(tzinfo=time_zone).astimezone(UTC)
    microsecond = datetime.timedelta(microseconds=1)
    return [
        tick.astimezone(time_zone).strftime("%H:%M%z")
        for tick in ticks(cron, zone, start - microsecond, end - microsecond)
    ]


@pytest.mark.parametrize(
    ("cron", "zone", "day", "expected"),
    [
        ("0 3 * * *", "Europe/Berlin", "2026-03-29", ["03:00+0200"]),
        ("0 3 * * *", "Europe/Berlin", "2026-10-25", ["03:00+0100"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28", ["02:30+0100"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29", ["03:30+0200"]),  # 02:30 does not exist that day
        ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["02:30+0200"]),  # 02:30 exists twice; the first counts
        ("30 1-3 * * *", "Europe/Berlin", "2026-03-29", ["01:30+0100", "03:30+0200"]),
        ("30 1-3 * * *", "Europe/Berlin", "2026-10-25", ["01:30+0200", "02:30+0200", "03:30+0100"]),
        ("30 1,2 * * *", "America/New_York", "2026-11-01", ["01:30-0400", "02:30-0500"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:45+1100"]),  # the clocks skip half an hour
    ],
)
def test_a_fixed_hour_occurs_once_on_days_with_a_clock_change(
    cron: str, zone: str, day: str, expected: list[str]
) -> None:
    assert local(cron, zone, day) == expected


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)])
def test_every_hour_occurs_on_days_with_a_clock_change(day: str, hours: int) -> None:
    assert len(local("0 * * * *", "Europe/Berlin", day)) == hours
    assert len(local("*/20 */1 * * *", "Europe/Berlin", day)) == 3 * hours


def test_a_daily_tick_occurs_on_every_day_of_twenty_years() -> None:
    time_zone = zoneinfo.ZoneInfo("Europe/Berlin")
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=n) for n in range(20 * 365)]
    expected = [datetime.datetime.combine(day, datetime.time(3), time_zone).astimezone(UTC) for day in days]
    assert ticks("0 3 * * *", "Europe/Berlin", expected[0] - datetime.timedelta(hours=1), expected[-1]) == expected


NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WEEKDAYS = {
    "0": {0},
    "7": {0},
    "1-5": {1, 2, 3, 4, 5},
    "5-7": {5, 6, 0},
    "sun": {0},
    "Mon,wed": {1, 3},
    "fri-sun": {5, 6, 0},
    "*/2": {0, 2, 4, 6},
    "1-5/2": {1, 3, 5},
    "2/3": {2, 5},
    "*": set(range(7)),
}


@settings(max_examples=60, deadline=None)
@given(
    minute=st.integers(0, 59),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    day=st.one_of(st.none(), st.integers(1, 28)),
    weekday=st.sampled_from(sorted(WEEKDAYS)),
    start=st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2040, 1, 1), timezones=st.just(UTC)),
)
def test_ticks_equal_those_of_a_brute_force_search(
    minute: int, hours: set, day: int | None, weekday: str, start
) -> None:
    def matches(date: datetime.date) -> bool:
        on_weekday = date.isoweekday() % 7 in WEEKDAYS[weekday]
        if day is None or weekday.startswith("*"):
            return on_weekday and (day is None or date.day == day)
        return on_weekday or date.day == day  # as in cron: if both are restricted, either matches

    days = [start.date() + datetime.timedelta(days=n) for n in range(70)]
    times = [datetime.time(hour, minute, tzinfo=UTC) for hour in sorted(hours)]
    candidates = [
        datetime.datetime.combine(date, time) for date, time in itertools.product(filter(matches, days), times)
    ]
    end = start + datetime.timedelta(days=60)
    cron = f"{minute} {','.join(map(str, sorted(hours)))} {day or '*'} * {weekday}"
    assert ticks(cron, "UTC", start, end) == [moment for moment in candidates if start < moment <= end]


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("nightly", '--cron "nightly" has 1 fields, not 5'),
        ("0 3 * * * *", '--cron "0 3 * * * *" has 6 fields, not 5'),
        ("0 25 * * *", "the last value (25) is higher than the maximum value (23)"),
        ("x 3 * * *", '--cron "x 3 * * *" is not a cron expression'),
        ("0 3 * * 8", "8 is not a weekday: 0 to 7, or sun to sat"),
        ("0 3 * * mo", "mo is not a weekday"),
        ("0 3 * * 5-1", "the range 5-1 ends before it begins"),
        ("0 3 * * 1-", "1- is not a weekday"),
        ("0 3 30 2 *", '--cron "0 3 30 2 *" names a day that does not exist'),
    ],
)
def test_an_invalid_cron_expression_is_refused(cron: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Timetable.of(cron, "UTC")
    assert message in error.value.cause
    assert "\n" not in error.value.cause
    assert '"0 3 * * *": every day at three' in error.value.remedy


@pytest.mark.parametrize(
    ("zone", "remedy"),
    [
        ("Europe/Berln", "Did you mean Europe/Berlin?"),
        ("Mars", "Name it like Europe/Berlin or UTC."),
        ("", "Name it like Europe/Berlin or UTC."),
        ("../../etc/passwd", "Name it like Europe/Berlin or UTC."),
        ("Europe", "Name it like Europe/Berlin or UTC."),
    ],
)
def test_an_unknown_time_zone_is_refused_with_a_suggestion(zone: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Timetable.of("0 3 * * *", zone)
    assert str(error.value).startswith(f"configuration: there is no time zone {zone}\n")
    if zone != "Europe":
        assert error.value.remedy == remedy
