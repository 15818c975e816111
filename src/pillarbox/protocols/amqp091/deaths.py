"""What the broker writes into the properties of messages: `x-death` and its companions (R48), and
`x-delivery-count` and `x-acquired-count` (R52).

`x-death` is an array of tables, the latest death first, one table for each pair of queue and reason, which
counts. `x-first-death-*` and `x-last-death-*` say queue, reason and exchange of the first and the last
death in plain strings. The expiration is taken away, or the message would die of it again; its table keeps
it as `original-expiration`. Header tables are sorted by key.

Source: RabbitMQ, "Dead Letter Exchanges"; the order of fields and `x-last-death-*` as RabbitMQ 3.13 has them,
all else asked of 3.10.8. Invariant: whatever a client has put into these headers makes no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.deadletter import REJECTED, DeadLetter, Death
from pillarbox.broker.index import Envelope
from pillarbox.engine.base import Message
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.publishing import ORIGIN

if TYPE_CHECKING:
    from pillarbox.broker.run import Run

DEATHS = "x-death"
DELIVERY_COUNT = "x-delivery-count"
ACQUIRED_COUNT = "x-acquired-count"
COUNT_MAX = (1 << 63) - 2
"""Beyond it a count does not grow: a client may have written any number."""


def dead_letter(message: Message, death: Death) -> DeadLetter:
    """The `Writer` of this protocol: how a message of it is published anew after this death."""
    found = wire.decode_properties(message.properties)
    headers = found.headers or {}
    address = message.address
    selected = tuple(key for key in _list(headers.get("CC")) if isinstance(key, str))
    table: dict[str, Any] = {
        "count": wire.Long(1),
        "reason": death.reason,
        "queue": death.queue,
        "time": wire.Timestamp(death.now_ms // 1000),
        "exchange": address.exchange,
        "routing-keys": [address.routing_key, *selected],
    }
    if found.expiration is not None:
        table["original-expiration"] = found.expiration
    companions = {"reason": death.reason, "queue": death.queue, "exchange": address.exchange}
    if DEATHS not in headers:
        headers |= {f"x-first-death-{name}": value for name, value in companions.items()}
    headers |= {f"x-last-death-{name}": value for name, value in companions.items()}
    deaths = headers[DEATHS] = _with_death(_list(headers.get(DEATHS)), table)
    hidden = address.hidden_keys
    keys = (address.routing_key, *selected, *hidden)
    if death.routing_key is not None:
        keys, hidden = (death.routing_key,), ()
        headers.pop("CC", None)
    headers = dict(sorted(headers.items()))
    changed = found._replace(headers=headers, expiration=None)
    envelope = Envelope(headers, lambda name: getattr(changed, name))
    properties = wire.encode_properties(changed)
    return DeadLetter(properties, keys, envelope, found.priority or 0, _history(deaths), hidden)


def dead_letter_anew(message: Message, death: Death) -> DeadLetter:
    """The `Writer` for `OWN_DEATHS`: as if the message had not died before."""
    found = wire.decode_properties(message.properties)
    headers = {key: value for key, value in (found.headers or {}).items() if key != DEATHS}
    properties = wire.encode_properties(found._replace(headers=headers))
    letter = dead_letter(msgspec.structs.replace(message, properties=properties), death)
    # From now on its deaths are the broker's words.
    return msgspec.structs.replace(letter, origin=ORIGIN)


def with_counts(messages: Iterable[Message], run: Run) -> list[Message]:
    """Messages that came back as a queue delivers them that counts that (R52). All are of this protocol."""
    counts = run.counts or []
    if run.lane.queue.requeues_count:
        return [
            with_headers(message, {DELIVERY_COUNT: wire.Long(count)})
            for message, count in zip(messages, counts, strict=True)
        ]
    return [
        with_headers(
            message,
            {ACQUIRED_COUNT: wire.Long(count)} | ({DELIVERY_COUNT: wire.Long(failed)} if failed else {}),
        )
        for message, count, failed in zip(messages, counts, run.failures or [0] * len(counts), strict=True)
    ]


def with_count_at_get(message: Message, run: Run) -> Message:
    """The message for basic.get, which tells of a first time too where every return counts."""
    if run.counts is not None:
        return with_counts([message], run)[0]
    if run.lane.queue.requeues_count:
        return with_headers(message, {DELIVERY_COUNT: wire.Long(0)})
    return message


def with_headers(message: Message, counts: dict[str, Any]) -> Message:
    """The message with these headers besides its own."""
    found = wire.decode_properties(message.properties)
    headers = {**(found.headers or {}), **counts}
    properties = wire.encode_properties(found._replace(headers=dict(sorted(headers.items()))))
    return msgspec.structs.replace(message, properties=properties)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _with_death(deaths: list[Any], table: dict[str, Any]) -> list[Any]:
    """The array with one more death: counted where the queue and the reason are known already."""
    known = [death for death in deaths if _is_alike(death, table)]
    if not known:
        return [table, *deaths]
    count = known[0].get("count")
    before = min(count, COUNT_MAX) if isinstance(count, int) else 0
    counted = {**known[0], "count": wire.Long(before + 1)}
    return [counted, *(death for death in deaths if not _is_alike(death, table))]


def _is_alike(death: Any, table: dict[str, Any]) -> bool:
    return (
        isinstance(death, dict)
        and death.get("queue") == table["queue"]
        and death.get("reason") == table["reason"]
    )


def _history(deaths: list[Any]) -> Sequence[tuple[str, str]]:
    """(queue, reason) of every death; what is no table was put there by a client, as if it had rejected."""
    return [
        (str(death.get("queue")), str(death.get("reason"))) if isinstance(death, dict) else ("", REJECTED)
        for death in deaths
    ]
