"""Cron entries against the calendar of Python, minute by minute (row A35)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.broker.cron import MINUTE_MS, civil, read_cron

pytestmark = pytest.mark.row("A35")
START = datetime(2024, 1, 1, tzinfo=UTC)


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    one = st.integers(low, high).map(str)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda two: f"{min(two)}-{max(two)}")
    stepped = st.tuples(st.sampled_from(["*", f"{low}-{high}", str(low)]), st.integers(1, high or 1)).map(
        lambda two: f"{two[0]}/{two[1]}"
    )
    return st.lists(one | span | stepped, min_size=1, max_size=3).map(",".join)


def field(text: str, low: int, high: int) -> set[int]:
    """What a field means, said in another way."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        ends = [low, high] if span == "*" else [int(each) for each in span.split("-")]
        last = ends[-1] if len(ends) == 2 or not step else high
        found |= {value for value in range(ends[0], last + 1) if (value - ends[0]) % int(step or 1) == 0}
    return found


@given(
    minute=st.just("*") | numbers(0, 59),
    hour=st.just("*") | numbers(0, 23),
    day=st.just("*") | numbers(1, 31),
    month=st.just("*") | numbers(1, 12),
    weekday=st.just("*") | numbers(0, 7),
    begin=st.integers(0, 2 * 365 * 1440),
)
@settings(max_examples=80, deadline=None)
def test_next_is_the_first_minute_that_fits(
    minute: str, hour: str, day: str, month: str, weekday: str, begin: int
) -> None:
    try:
        cron = read_cron(f"{minute} {hour} {day} {month} {weekday}")
    except ValueError:
        # The 30th and 31st of months that have none, and nothing else.
        never = weekday[0] == "*" and field(day, 1, 31) <= {30, 31}
        if not never:
            raise
        return
    minutes, hours = field(minute, 0, 59), field(hour, 0, 23)
    days, months = field(day, 1, 31), field(month, 1, 12)
    weekdays = {each % 7 for each in field(weekday, 0, 7)}
    after = START + timedelta(minutes=begin)
    at = after + timedelta(minutes=1)
    while True:
        by_month, by_week = at.day in days, at.isoweekday() % 7 in weekdays
        both = day[0] != "*" and weekday[0] != "*"
        if at.month in months and (by_month or by_week if both else by_month and by_week):
            if at.hour in hours and at.minute in minutes:
                break
            at += timedelta(minutes=1)
        else:
            at = at.replace(hour=0, minute=0) + timedelta(days=1)
    assert cron.next_ms(int(after.timestamp()) * 1000 + 1) == int(at.timestamp()) * 1000


@given(st.integers(0, 200_000))
def test_days_have_their_dates(day: int) -> None:
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    assert civil(day) == (date.year, date.month, date.day)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* * 0 * *",
        "5-1 * * * *",
        "a * * * *",
        "*/0 * * * *",
        "1- * * * *",
        "* " * 200,
    ],
)
def test_what_is_no_entry_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="cron entry"):
        read_cron(entry)


def test_entry_that_is_due_once_in_eight_years_is_found() -> None:
    before = int(datetime(2096, 3, 1, tzinfo=UTC).timestamp()) * 1000
    found = read_cron("0 0 29 2 *").next_ms(before)
    assert found == int(datetime(2104, 2, 29, tzinfo=UTC).timestamp()) * 1000
    assert found % MINUTE_MS == 0
