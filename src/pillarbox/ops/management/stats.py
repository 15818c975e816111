"""Statistics as documents show them: totals, `..._details` with rates, and samples for charts (R121-R123).

A rate is what the last sample has over the one before, per second. With `msg_rates_age=60&msg_rates_incr=5`
a detail also has the values at every five seconds of the last minute, newest first, their average and the
average rate; so have lengths of queues (`lengths_...`) and bytes (`data_rates_...`).

Source: RabbitMQ's management plugin; shape and times measured on 3.10.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from pillarbox.ops.management.fields import ABSENT, INTEGER, NUMBER, Absent, Schema, array
from pillarbox.ops.management.request import bad_request, number_of

if TYPE_CHECKING:
    from pillarbox.broker.counters import Counters
    from pillarbox.ops.management.request import Request

LENGTHS, MESSAGES, DATA = "lengths", "msg_rates", "data_rates"
"""The three kinds of what is measured; how far back to go is asked of each by itself."""

SAMPLES_MAX = 1500
"""Samples of one detail; RabbitMQ's page asks for up to 121."""


class Measure(NamedTuple):
    """Something that is shown with its rate: the sum of these counters, less those."""

    name: str
    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()

    def of(self, values: Mapping[str, int]) -> int:
        return sum([values[name] for name in self.plus or (self.name,)]) - sum(
            [values[name] for name in self.minus]
        )


def _measures(*names: str) -> tuple[Measure, ...]:
    return tuple(_DERIVED.get(name, Measure(name)) for name in names)


_DERIVED = {
    "deliver_get": Measure("deliver_get", ("deliver", "deliver_no_ack", "get", "get_no_ack")),
    "drop_unroutable": Measure("drop_unroutable", ("unroutable",), ("return_unroutable",)),
    "messages": Measure("messages", ("messages_ready", "messages_unacknowledged")),
}
DELIVERIES: Final = _measures(
    "ack", "deliver", "deliver_get", "deliver_no_ack", "get", "get_empty", "get_no_ack", "redeliver"
)
PUBLISHES: Final = _measures("confirm", "drop_unroutable", "publish", "return_unroutable")
OF_QUEUE: Final = (_measures("publish"), DELIVERIES)
"""Groups: each is shown if anything in it ever happened."""
OF_CHANNEL: Final = (PUBLISHES, DELIVERIES)
OF_EXCHANGE: Final = (_measures("publish_in"), _measures("publish_out"))
QUEUE_TOTALS: Final = _measures("messages", "messages_ready", "messages_unacknowledged")
BYTES: Final = _measures("recv_oct", "send_oct")


class Sample(msgspec.Struct, gc=False):
    """A value at some moment. A chart of everything has thousands: nothing for the garbage collector."""

    sample: int
    timestamp: int


def details(measure: Measure, counters: Sequence[Counters], kind: str, request: Request) -> dict[str, Any]:
    """The `..._details` of something that is counted by these together."""
    sampler = request.sampler
    series = [one.samples for one in counters if one.samples is not None]

    def at(times_ms: Sequence[int]) -> list[int]:
        totals = [0] * len(times_ms)
        for one in series:
            for name in measure.plus or (measure.name,):
                totals = list(map(int.__add__, totals, one.values(name, times_ms)))
            for name in measure.minus:
                totals = list(map(int.__sub__, totals, one.values(name, times_ms)))
        return totals

    rate = 0.0
    if sampler.before_ms:
        last, before = at((sampler.last_ms, sampler.before_ms))
        rate = (last - before) * 1000 / (sampler.last_ms - sampler.before_ms)
    age_s, incr_s = _range(kind, request)
    if not incr_s:
        return {"rate": rate}
    newest_ms = request.now_ms // (incr_s * 1000) * (incr_s * 1000)
    times = [newest_ms - back * 1000 for back in range(0, age_s + 1, incr_s)]
    values = at(times)
    return {
        "avg": sum(values) / len(values),
        "avg_rate": (values[0] - values[-1]) / max(1, (len(values) - 1) * incr_s),
        "rate": rate,
        "samples": list(map(Sample, values, times)),
    }


def _range(kind: str, request: Request) -> tuple[int, int]:
    """How far back, and in which steps, in seconds; (0, 0): no samples are asked for. Raises 400."""
    age, incr = request.query.get(f"{kind}_age"), request.query.get(f"{kind}_incr")
    if not age or not incr:
        return 0, 0
    age_s, incr_s = number_of(age), number_of(incr)
    if age_s is None or not incr_s or age_s // incr_s >= SAMPLES_MAX:
        raise bad_request(f"Invalid range: {kind}_age {age[:30]}, {kind}_incr {incr[:30]}")
    return age_s, incr_s


def no_rate(request: Request) -> dict[str, Any]:
    """The details of what is not counted here, and stays at 0."""
    return details(Measure("nothing"), (), DATA, request)


def measured(
    measures: Sequence[Measure],
    values: Mapping[str, int],
    counters: Sequence[Counters],
    kind: str,
    request: Request,
) -> dict[str, Any]:
    """Each with its total and its details."""
    found: dict[str, Any] = {}
    for measure in measures:
        found[measure.name] = measure.of(values)
        found[f"{measure.name}_details"] = details(measure, counters, kind, request)
    return found


def message_stats(
    groups: Sequence[Sequence[Measure]],
    values: Mapping[str, int],
    counters: Sequence[Counters],
    request: Request,
) -> dict[str, Any] | Absent:
    """`message_stats`, or ABSENT if nothing has happened yet."""
    if not any(values.values()):
        return ABSENT
    found: dict[str, Any] = {}
    for group in groups:
        if any(measure.of(values) for measure in group):
            found |= measured(group, values, counters, MESSAGES, request)
    return found or ABSENT


def values_of(counters: Counters) -> dict[str, int]:
    return {name: getattr(counters, name) for name in counters.NAMES}


# --- schemas -----------------------------------------------------------------------------------------------

DETAILS: Schema = {
    "type": "object",
    "properties": {
        "rate": NUMBER,
        "avg": NUMBER,
        "avg_rate": NUMBER,
        "samples": array({"type": "object", "properties": {"sample": NUMBER, "timestamp": INTEGER}}),
    },
}


def schema_of(*groups: Sequence[Measure]) -> Schema:
    """Of an object with these measures and their details."""
    properties: dict[str, Schema] = {}
    for group in groups:
        for measure in group:
            properties[measure.name] = INTEGER
            properties[f"{measure.name}_details"] = DETAILS
    return {"type": "object", "properties": properties}
