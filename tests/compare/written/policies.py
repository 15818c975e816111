"""Policies (R95, R96) that are set, changed and cleared while queues, exchanges and streams are used."""

from __future__ import annotations

from tests.compare.operations import (
    Sequence,
    ack,
    bind,
    cancel,
    clear_policy,
    consume,
    declare,
    exchange,
    get,
    nack,
    op,
    publish,
    qos,
    set_policy,
)
from tests.compare.written.registry import transcript
from tests.compare.written.streams import read, stream

CONFIRMS = op("a1", "confirm.select")
TO_DEAD = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
QUORUM = {"x-queue-type": "quorum"}


@transcript("R95", "R46")
def policy_limits_a_queue_that_is_full() -> Sequence:
    """The limit is applied when it comes, and gone when it goes."""
    return [
        declare(),
        publish(count=5),
        set_policy({"max-length": 2}),
        publish(count=2),
        set_policy({"max-length": 3}),
        publish(count=2),
        clear_policy(),
        publish(count=2),
        get(no_ack=True),
    ]


@transcript("R95", "R44", "R48")
def policy_gives_a_time_to_live_while_messages_wait() -> Sequence:
    """It is for those that come while it is there, and what came before holds them up."""
    return [
        declare("dead"),
        declare("q1", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}),
        publish(count=2),
        set_policy({"message-ttl": 0}),
        publish(),
        get(),
        nack(0),
        clear_policy(),
        publish(),
        get(no_ack=True),
        get(no_ack=True),
        get("dead", no_ack=True),
        get(no_ack=True),
        get(),
    ]


@transcript("R95", "R46")
def policy_limits_what_is_ready_only() -> Sequence:
    """What is out is not dropped, and comes back into a queue that is full."""
    return [
        declare(),
        publish(count=4),
        qos(2),
        consume(tag="c1"),
        set_policy({"max-length": 1}),
        publish(),
        nack(0, multiple=False),
        ack(0),
        cancel("c1"),
        clear_policy(),
        publish(count=2),
    ]


@transcript("R95", "R47")
def policy_changes_the_overflow() -> Sequence:
    return [
        CONFIRMS,
        declare(),
        set_policy({"max-length": 1, "overflow": "reject-publish"}),
        publish(count=3),
        set_policy({"max-length": 1, "overflow": "drop-head"}),
        publish(),
        get(no_ack=True),
        set_policy({"overflow": "reject-publish"}),
        publish(count=3),
        clear_policy(),
        publish(),
    ]


@transcript("R95", "R47")
def policy_brings_limit_and_refusal_at_once() -> Sequence:
    """A queue that holds more than it may, and is to refuse what comes, keeps what it has."""
    refusing = {"overflow": "reject-publish"}
    return [
        declare(),
        publish(count=5),
        set_policy({"max-length": 2, **refusing}),
        clear_policy(),
        publish(count=2),
        set_policy(refusing),
        set_policy({"max-length": 3, **refusing}),
    ]


@transcript("R95", "R48")
def policy_says_where_the_dead_go() -> Sequence:
    """What counts is the policy of the moment in which a message dies."""
    return [
        declare("dead"),
        declare(),
        publish(count=4),
        get(),
        set_policy(TO_DEAD, apply_to="queues"),
        nack(requeue=False),
        get(),
        clear_policy(),
        nack(requeue=False),
        set_policy({"dead-letter-exchange": "amq.fanout"}),
        bind("dead", "amq.fanout"),
        get(),
        nack(requeue=False),
        set_policy({**TO_DEAD, "max-length": 0}),
    ]


@transcript("R95", "R44")
def policy_with_a_time_to_live_of_nothing() -> Sequence:
    """Set while the queue is empty: see `differences` for what waits already."""
    return [
        declare("dead"),
        declare(),
        set_policy({"message-ttl": 0, **TO_DEAD}),
        publish(),
        get(),
        consume(tag="c1", no_ack=True),
        publish(),
        cancel("c1"),
        clear_policy(),
        publish(),
        get(),
    ]


@transcript("R95", "R46")
def policy_beside_arguments() -> Sequence:
    """The lesser of two numbers counts; of two words the argument's."""
    return [
        CONFIRMS,
        declare("dead"),
        declare("q1", arguments={"x-max-length": 3, "x-overflow": "reject-publish"}),
        declare("q2", arguments={"x-max-length": 2, "x-dead-letter-exchange": ""}),
        set_policy({"max-length": 2, "overflow": "drop-head"}, "p1", "^q1$"),
        set_policy({"max-length": 3, **TO_DEAD}, "p2", "^q2$"),
        publish("q1", count=4),
        publish("q2", count=4),
        set_policy({"max-length": 9}, "p1", "^q1$"),
        publish("q1", count=4),
        declare("q1", arguments={"x-max-length": 3, "x-overflow": "reject-publish"}),
        declare("q1", arguments={"x-max-length": 2}),
    ]


@transcript("R95")
def policy_of_the_highest_priority() -> Sequence:
    """One policy counts at a time: that of the highest priority which fits."""
    return [
        declare("q1"),
        declare("q2"),
        set_policy({"max-length": 1}, "low", "^q", priority=1),
        set_policy({"max-length": 3}, "high", "^q1$", priority=2),
        publish("q1", count=4),
        publish("q2", count=4),
        clear_policy("high"),
        publish("q1"),
        set_policy({"max-length": 5}, "high", "^q2$", priority=2, apply_to="exchanges"),
        publish("q2", count=2),
        clear_policy("low"),
        publish("q1", count=2),
    ]


@transcript("R96", "R95")
def policies_of_operators_beside_others() -> Sequence:
    """Merged key by key; of two numbers the lesser counts, of two words the operator's."""
    operators = "operator-policies"
    return [
        declare(),
        publish(count=6),
        set_policy({"max-length": 4}, "o1", kind=operators, apply_to="queues"),
        set_policy({"max-length": 2}),
        set_policy({"max-length": 5}),
        publish(count=3),
        clear_policy("o1", kind=operators),
        publish(count=3),
        set_policy({"max-length": 1, "no-such-key": 1}, "o2", kind=operators, apply_to="queues"),
        set_policy({"max-length": 1}, "o2", kind=operators, apply_to="exchanges"),
    ]


@transcript("R95", "R25")
def policy_gives_an_exchange_an_alternate() -> Sequence:
    return [
        declare(),
        exchange("xd"),
        exchange("xf", "fanout"),
        bind("q1", "xf"),
        publish("nobody", "xd", mandatory=True),
        set_policy({"alternate-exchange": "xf"}, pattern="^xd$", apply_to="exchanges"),
        publish("nobody", "xd", mandatory=True),
        set_policy({"alternate-exchange": "none"}, pattern="^xd$"),
        publish("nobody", "xd", mandatory=True),
        clear_policy(),
        publish("nobody", "xd", mandatory=True),
    ]


@transcript("R95", "R80", "R81")
def policies_of_queues_say_nothing_to_a_stream() -> Sequence:
    """Neither limits of queues nor times to live nor dead letters take anything from it or its reader."""
    everything = {"max-length": 1, "message-ttl": 0, "overflow": "reject-publish", **TO_DEAD}
    return [
        CONFIRMS,
        declare("dead"),
        stream(),
        publish("s1", count=2),
        qos(10),
        read("first"),
        set_policy(everything, pattern="^s"),
        publish("s1"),
        publish("s1"),
        ack(-1, multiple=True),
        cancel("c1"),
        read("first", "c2"),
        clear_policy(),
        publish("s1"),
    ]


@transcript("R95", "R80", "R82")
def policy_of_a_stream() -> Sequence:
    """How much is kept is looked at when a segment is full, so what is read before is all there."""
    return [
        CONFIRMS,
        stream(),
        set_policy({"max-length-bytes": 1_000_000, "max-age": "1h"}, pattern="^s"),
        publish("s1", count=3),
        qos(10),
        read("first"),
        set_policy({"max-age": "1D"}, pattern="^s"),
        publish("s1"),
        clear_policy(),
        publish("s1"),
        read(2, "c2", "a2", ensure=True),
        set_policy({"max-age": "1 fortnight"}, pattern="^s"),
        set_policy({"max-age": 5}, pattern="^s"),
    ]


@transcript("R95", "R46", "R43")
def policy_limits_a_quorum_queue() -> Sequence:
    return [
        CONFIRMS,
        declare("q1", durable=True, arguments=QUORUM),
        publish(count=4),
        set_policy({"max-length": 2}),
        publish(),
        clear_policy(),
        publish(),
        get(no_ack=True),
    ]


@transcript("R95", "R92")
def policies_that_are_refused() -> Sequence:
    """Nothing changes, and why is said in RabbitMQ's words."""
    definitions = (
        *({}, {"no-such-key": 1}, {"max-length": -1}, {"max-length": "5"}, {"message-ttl": "x"}),
        *({"overflow": "sometimes"}, {"dead-letter-exchange": 1}, {"alternate-exchange": 1}),
        *({"expires": 0}, {"delivery-limit": -1}, {"max-length-bytes": 1.5}),
    )
    return [
        declare(),
        publish(count=2),
        *(set_policy(each) for each in definitions),
        set_policy({"max-length": 1}, pattern="^(q"),
        set_policy({"max-length": 1}, apply_to="everything"),
        clear_policy("nobody"),
        get(no_ack=True),
    ]
