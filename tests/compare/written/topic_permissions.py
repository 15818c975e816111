"""Topic permissions of user `topical` (see definitions.json), who may do everything else.

exchange    write             read
amq.topic   ^w\\.{username}\\.  ^r\\.{client_id}
t-x         (empty)           ^a$
amq.direct  ^w                ^r             of no effect: it is no topic exchange
"""

from __future__ import annotations

from tests.compare.operations import Operation, Sequence, bind, declare, exchange, op, publish, unbind
from tests.compare.written.registry import properties, transcript

TOPICAL = op("l", "connect", user="topical", password="topical")


def on_l(*operations: Operation) -> list[Operation]:
    """Do these as user topical; a channel that was closed is opened again."""
    return [operation._replace(on="l1") for operation in operations]


@transcript("R93", "403")
def topic_permissions_to_publish() -> Sequence:
    """The routing key must fit write; {username} stands for the user, an empty pattern fits the empty key."""
    return [
        declare("q1"),
        bind("q1", "amq.topic", "#"),
        exchange("t-x", kind="topic"),
        bind("q1", "t-x", "#"),
        exchange("x1", kind="topic"),
        bind("q1", "x1", "#"),
        TOPICAL,
        *on_l(
            publish("w.topical.a", "amq.topic"),
            publish("w.other.a", "amq.topic"),
            publish("w.other.a", "amq.topic", mandatory=True),
            publish("w.{username}.a", "amq.topic"),
            publish("", "t-x"),
            publish("a", "t-x"),
            publish("anything", "x1"),
            publish("anything", "amq.direct"),
            publish("anything", ""),
            publish("w.topical.a", "amq.topic", properties=properties(user_id="guest")),
            publish("w.other.a", "amq.topic", properties=properties(user_id="guest")),
            op("a1", "exchange.delete", exchange="t-x"),
            op("a1", "exchange.delete", exchange="x1"),
        ),
    ]


@transcript("R93", "403")
def topic_permissions_to_bind() -> Sequence:
    """The binding key must fit read, to bind and to unbind; an unknown variable stands for itself."""
    return [
        declare("q1"),
        exchange("t-x", kind="topic"),
        exchange("x1", kind="topic"),
        TOPICAL,
        *on_l(
            bind("q1", "amq.topic", "r.{client_id}"),
            bind("q1", "amq.topic", "r.x"),
            bind("q1", "t-x", "a"),
            bind("q1", "t-x", "b"),
            bind("none", "t-x", "b"),
            bind("none", "t-x", "a"),
            bind("q1", "none", "b"),
            bind("q1", "x1", "b"),
            bind("q1", "amq.direct", "b"),
            unbind("q1", "t-x", "b"),
            unbind("q1", "t-x", "a"),
            op("a1", "exchange.bind", destination="x1", source="t-x", routing_key="b"),
            op("a1", "exchange.bind", destination="x1", source="t-x", routing_key="a"),
            op("a1", "exchange.unbind", destination="x1", source="t-x", routing_key="b"),
            op("a1", "exchange.delete", exchange="t-x"),
            op("a1", "exchange.delete", exchange="x1"),
        ),
    ]
