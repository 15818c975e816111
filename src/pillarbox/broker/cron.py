"""Cron entries: at which minutes something is due (A35).

Five fields: minute, hour, day of the month, month, day of the week (0 or 7 is Sunday). Each is `*`, a number,
or a range `a-b`, each of them with a step `/n` perhaps, or several of these with commas. Where both days are
given, either is enough, as with cron. Times are UTC: a broker in a container has no other.

Not here: names of days and months, seconds. Source: POSIX, crontab; ActiveMQ has the same fields.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 1440
DAYS_MAX: Final = 4 * 366 * 2
"""How far is looked: the 29th of February may be eight years off."""
ENTRY_CHARACTERS_MAX: Final = 200

BOUNDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES: Final = ("minute", "hour", "day", "month", "day of the week")


class Cron(NamedTuple):
    """An entry that was read."""

    minutes: tuple[int, ...]
    """Of a day, ascending."""
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    """A day of the month or a day of the week: one of them is enough."""

    def next_ms(self, after_ms: int) -> int | None:
        """The first moment after this one at which it is due; None: there is none for years."""
        minute = after_ms // MINUTE_MS + 1
        day, minute = divmod(minute, DAY_MINUTES)
        for _ in range(DAYS_MAX):
            if self._has_day(day):
                for due in self.minutes:
                    if due >= minute:
                        return (day * DAY_MINUTES + due) * MINUTE_MS
            day, minute = day + 1, 0
        return None

    def _has_day(self, day: int) -> bool:
        _, month, of_month = civil(day)
        if month not in self.months:
            return False
        # The first of January 1970 was a Thursday.
        fits = of_month in self.days, (day + 4) % 7 in self.weekdays
        return any(fits) if self.either else all(fits)


def civil(day: int) -> tuple[int, int, int]:
    """Year, month and day of the month of a day that is counted from the first of January 1970."""
    # Counted from the first of March of a year that is a multiple of 400, leap days come last.
    shifted = day + 719_468
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted_month = (5 * of_year + 2) // 153
    of_month = of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return era * 400 + year + (month <= 2), month, of_month


@lru_cache(maxsize=256)
def read_cron(entry: str) -> Cron:
    """Read an entry. Raises ValueError with what is wrong."""
    fields = entry[:ENTRY_CHARACTERS_MAX].split()
    if len(fields) != len(BOUNDS) or len(entry) > ENTRY_CHARACTERS_MAX:
        raise ValueError("a cron entry has five fields: minute, hour, day, month, day of the week")
    minutes, hours, days, months, weekdays = map(_read_field, fields, BOUNDS, NAMES)
    of_day = tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes))
    either = fields[2][0] != "*" and fields[4][0] != "*"
    cron = Cron(of_day, days, months, frozenset(day % 7 for day in weekdays), either)
    if cron.next_ms(0) is None:
        raise ValueError("the cron entry is never due")
    return cron


def _read_field(text: str, bounds: tuple[int, int], name: str) -> frozenset[int]:
    low, high = bounds
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        numbers = [each for each in (first, last, step) if each and each != "*"]
        if not all(each.isascii() and each.isdigit() and len(each) < 4 for each in numbers):
            raise ValueError(f"the {name} of the cron entry is '{text}'")
        if span == "*":
            start, stop = low, high
        elif dash and first and last:
            start, stop = int(first), int(last)
        elif first and not dash and first != "*":
            start = int(first)
            stop = high if slash else start
        else:
            raise ValueError(f"the {name} of the cron entry is '{text}'")
        if not low <= start <= stop <= high or (slash and not (step.isdigit() and int(step))):
            raise ValueError(f"the {name} of the cron entry is '{text}': it must be from {low} to {high}")
        found.update(range(start, stop + 1, int(step) if slash else 1))
    return frozenset(found)
