"""The headers with which a sender asks for a delay (R28), and for repetition (A35).

`x-delay` is that of the plugin rabbitmq_delayed_message_exchange. The others are Pillarbox's own:
`x-delay-repeat` says how often more the message comes (-1: for ever), `x-delay-period` how many milliseconds
later each time, `x-delay-cron` at which minutes it comes, for ever; with both, it comes at each such minute
and then as often more as the others say.

Source: that plugin; ActiveMQ, "Delay and Schedule Message Delivery".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pillarbox.broker.cron import read_cron

DELAY_HEADER = "x-delay"
PERIOD_HEADER = "x-delay-period"
REPEAT_HEADER = "x-delay-repeat"
CRON_HEADER = "x-delay-cron"
SCHEDULED_QUEUES, SCHEDULED_TOPICS = "pillarbox.scheduled.queue", "pillarbox.scheduled.topic"
"""Exchanges in which messages to queues and to topics wait that ask for it in ActiveMQ's words."""
SCHEDULED_ANYCAST = "pillarbox.scheduled.anycast"
"""The same to addresses with several queues."""
SCHEDULES = {
    "AMQ_SCHEDULED_DELAY": DELAY_HEADER,
    "AMQ_SCHEDULED_PERIOD": PERIOD_HEADER,
    "AMQ_SCHEDULED_REPEAT": REPEAT_HEADER,
    "AMQ_SCHEDULED_CRON": CRON_HEADER,
}
"""These words, and the headers above."""
REPETITION = (PERIOD_HEADER, REPEAT_HEADER, CRON_HEADER)
DELAY_MAX_MS = (1 << 32) - 1
"""Longer delays are none, as with the plugin: its timers end there."""
FOR_EVER = -1
REPEAT_MAX = 1 << 63
"""More often than this is so often: no header could say how often more."""


def delay_of(headers: Mapping[str, Any]) -> int:
    """The delay that headers ask for, in milliseconds; 0: none, or one out of range.

    Strings of digits and fractions count, as with the plugin.
    """
    delay = number_of(headers.get(DELAY_HEADER))
    return delay if 0 < delay <= DELAY_MAX_MS else 0


def number_of(value: Any) -> int:
    """What a header says in milliseconds or times; 0: nothing that could be understood."""
    if value is None or isinstance(value, bool):
        return 0
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def wait_of(headers: Mapping[str, Any], from_ms: int) -> int:
    """How long a message with these headers waits that came at this time."""
    due_ms = _due_by_cron(headers, from_ms)
    return delay_of(headers) if due_ms is None else due_ms - from_ms


def _due_by_cron(headers: Mapping[str, Any], from_ms: int) -> int | None:
    entry = headers.get(CRON_HEADER)
    if not isinstance(entry, str):
        return None
    try:
        return read_cron(entry).next_ms(from_ms)
    except ValueError:
        return None


def successors(headers: Mapping[str, Any], now_ms: int) -> Iterator[dict[str, Any]]:
    """The headers of what waits after a message with these has come, if anything does."""
    if not headers.keys() & set(REPETITION):
        return
    repeat = number_of(headers.get(REPEAT_HEADER))
    period_ms = number_of(headers.get(PERIOD_HEADER))
    if _due_by_cron(headers, now_ms) is not None:
        yield dict(headers)
    if repeat and 0 < period_ms <= DELAY_MAX_MS:
        more = {name: value for name, value in headers.items() if name != CRON_HEADER}
        more[DELAY_HEADER] = period_ms
        more[REPEAT_HEADER] = min(repeat, REPEAT_MAX) - 1 if repeat > 0 else FOR_EVER
        yield more
