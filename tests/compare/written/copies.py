"""CC and BCC (R26) of messages that die (R48): which keys still count, and which are seen."""

from __future__ import annotations

from tests.compare.operations import Sequence, bind, declare, exchange, get, publish
from tests.compare.written.registry import properties, transcript

DLX, KEY, TTL = "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-message-ttl"
BOTH = properties(headers={"CC": ["c"], "BCC": ["b", "bb"], "n": 1})


def emptied(*queues: str) -> Sequence:
    return [get(queue, no_ack=True) for queue in (*queues, *queues)]


@transcript("R26", "R48")
def dead_letters_keep_hidden_keys() -> Sequence:
    """Through a direct exchange each key leads to a queue of its own."""
    return [
        exchange("x1", "direct"),
        *(declare(queue) for queue in ("q1", "q2", "q3")),
        bind("q1", "x1", "a"),
        bind("q2", "x1", "b"),
        bind("q3", "x1", "c"),
        declare("a", arguments={DLX: "x1", TTL: 0}),
        publish("a", properties=BOTH),
        *emptied("q1", "q2", "q3"),
    ]


@transcript("R26", "R48")
def another_key_takes_the_place_of_hidden_ones_too() -> Sequence:
    return [
        exchange("x1", "direct"),
        *(declare(queue) for queue in ("q1", "q2", "q3")),
        bind("q1", "x1", "z"),
        bind("q2", "x1", "b"),
        declare("a", arguments={DLX: "x1", KEY: "z", TTL: 0}),
        publish("a", properties=BOTH),
        *emptied("q1", "q2"),
    ]


@transcript("R26", "R48")
def hidden_keys_live_through_several_deaths() -> Sequence:
    return [
        exchange("x1", "direct"),
        exchange("x2", "direct"),
        declare("a", arguments={DLX: "x1", TTL: 0}),
        declare("q1", arguments={DLX: "x2", TTL: 0}),
        declare("q2"),
        bind("q1", "x1", "a"),
        bind("q2", "x2", "bb"),
        publish("a", properties=BOTH),
        *emptied("q2"),
        publish("a", properties=properties(headers={"BCC": ["bb"]}, delivery_mode=2)),
        *emptied("q2"),
    ]
