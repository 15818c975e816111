"""Where a reader of a stream begins (`x-stream-offset`), how long a stream keeps (`x-max-age`): the words.

Source: RabbitMQ, "Streams", consuming and retention; 3.10.8 asked with `tests/compare/written/streams.py`.
Not here: what becomes of them (see `stream`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pillarbox.broker.arguments import spelled, type_name
from pillarbox.errors import BrokerError, Reason

_UNITS_MS = {
    "Y": 365 * 86_400_000,
    "M": 30 * 86_400_000,
    "D": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
}
_INTERVAL = re.compile(r"([0-9]+)([YMDhms])")


class Begin(NamedTuple):
    """`kind` is first, last, next, offset or time; `value` the offset, or milliseconds since 1970."""

    kind: str
    value: int = 0


def interval_ms(text: str) -> int | None:
    """The length of an interval such as "7D" in milliseconds; None if it is none."""
    match = _INTERVAL.fullmatch(text)
    return int(match[1]) * _UNITS_MS[match[2]] if match else None


def read_begin(queue: str, vhost: str, arguments: Mapping[str, Any], now_ms: int) -> Begin:
    """Where these arguments of a consumer say that it begins; PRECONDITION_FAILED for nonsense."""
    value = arguments.get("x-stream-offset")
    if value is None or value == "next":
        return Begin("next")
    kind = type_name(value)
    if kind == "timestamp":
        return Begin("time", value * 1000)
    if isinstance(value, int) and not isinstance(value, bool):
        return Begin("offset", max(0, value))
    if value in ("first", "last"):
        return Begin(value)
    if isinstance(value, str) and (length_ms := interval_ms(value)) is not None:
        return Begin("time", now_ms - length_ms)
    text = (
        f"invalid arg 'x-stream-offset' for queue '{queue}' in vhost '{vhost}': "
        f"{{invalid_stream_offset_arg,{{{kind},{spelled(value)}}}}}"
    )
    raise BrokerError(Reason.PRECONDITION_FAILED, text)
