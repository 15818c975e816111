"""Dead lettering (R48): reasons, headers, keys, cycles; with limits, expiry, requeues and priorities."""

from __future__ import annotations

from typing import Any

from tests.compare.operations import (
    Operation,
    Sequence,
    ack,
    bind,
    cancel,
    close_channel,
    consume,
    declare,
    exchange,
    get,
    nack,
    op,
    publish,
    qos,
    reject,
)
from tests.compare.written.registry import properties, transcript

DLX, KEY = "x-dead-letter-exchange", "x-dead-letter-routing-key"
LENGTH, OVERFLOW, TTL = "x-max-length", "x-overflow", "x-message-ttl"


def dying(queue: str = "q1", to: str = "", key: str | None = "dead", **arguments: Any) -> Operation:
    """Declare a queue whose dead letters go somewhere."""
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    return declare(queue, arguments={DLX: to, **({} if key is None else {KEY: key}), **named})


def dead(count: int = 1, queue: str = "dead") -> Sequence:
    return [get(queue, no_ack=True) for _ in range(count)]


@transcript("R48")
def each_way_to_die() -> Sequence:
    """rejected, expired, maxlen; properties but the expiration stay, in every order of headers."""
    mine = {"content_type": "text/plain", "priority": 3, "app_id": "app", "headers": {"z": 1, "a": "b"}}
    return [
        declare("dead"),
        dying("q1"),
        publish("q1", properties=properties(**mine)),
        get("q1"),
        reject(0, requeue=False),
        *dead(2),
        dying("q2", x_message_ttl=0),
        publish("q2", properties=properties(**mine)),
        *dead(2),
        dying("q3", x_max_length=1),
        publish("q3", count=2, properties=properties(**mine)),
        *dead(2),
        dying("q4"),
        publish("q4", properties=properties(expiration="0", **mine)),
        *dead(2),
        publish("q4", properties=properties(delivery_mode=2)),
        get("q4"),
        nack(0, requeue=False),
        *dead(2),
    ]


@transcript("R48")
def what_does_not_die() -> Sequence:
    """Purged, deleted, requeued and acknowledged messages are no dead letters."""
    return [
        declare("dead"),
        dying("q1"),
        publish("q1", count=5),
        get("q1"),
        nack(0),
        get("q1"),
        ack(0),
        get("q1"),
        op("a1", "queue.purge", queue="q1"),
        op("a1", "queue.delete", queue="q1"),
        nack(0, requeue=False),
        *dead(),
    ]


@transcript("R48")
def the_key_is_kept_or_replaced() -> Sequence:
    """Without x-dead-letter-routing-key the message keeps its own; the exchange is the dead-letter one."""
    return [
        declare("dead"),
        exchange("xd", "topic"),
        bind("dead", "xd", "#"),
        dying("q1", "xd", None),
        bind("q1", "amq.direct", "k"),
        publish("k", "amq.direct"),
        get("q1"),
        reject(0, requeue=False),
        *dead(),
        dying("q2", "xd", "other.key"),
        bind("q2", "amq.direct", "k2"),
        publish("k2", "amq.direct"),
        get("q2"),
        reject(0, requeue=False),
        *dead(),
        dying("q3", "xd", ""),
        publish("q3"),
        get("q3"),
        reject(0, requeue=False),
        *dead(),
    ]


@transcript("R48", "R26")
def sender_selected_keys_of_the_dead() -> Sequence:
    """CC keys are keys of the dead letter too, unless the queue replaces the key: then CC is removed."""
    return [
        declare("dead"),
        declare("copy"),
        exchange("xd", "direct"),
        bind("dead", "xd", "q1"),
        bind("copy", "xd", "more"),
        bind("dead", "xd", "q2"),
        dying("q1", "xd", None),
        publish("q1", properties=properties(headers={"CC": ["more", "copy2"]})),
        get("q1"),
        reject(0, requeue=False),
        *dead(),
        *dead(2, "copy"),
        dying("q2", "xd", "q2"),
        publish("q2", properties=properties(headers={"CC": ["more"], "b": 1})),
        get("q2"),
        reject(0, requeue=False),
        *dead(),
        *dead(1, "copy"),
    ]


@transcript("R48")
def missing_exchanges_and_routes() -> Sequence:
    """No exchange, no binding, no queue: dropped without a word. The exchange may come later."""
    return [
        dying("q1", "none"),
        publish("q1", count=2),
        get("q1"),
        reject(0, requeue=False),
        exchange("none", "fanout"),
        get("q1"),
        reject(0, requeue=False),
        publish("q1"),
        declare("dead"),
        bind("dead", "none"),
        get("q1"),
        reject(0, requeue=False),
        *dead(2),
        dying("q2", "", "nobody"),
        publish("q2"),
        get("q2"),
        reject(0, requeue=False),
        declare("q2", passive=True),
    ]


@transcript("R48")
def internal_exchanges_take_dead_letters() -> Sequence:
    return [
        declare("dead"),
        exchange("xi", "fanout", internal=True),
        bind("dead", "xi"),
        dying("q1", "xi", None),
        publish("q1"),
        get("q1"),
        reject(0, requeue=False),
        *dead(),
    ]


@transcript("R48", "R22")
def headers_exchanges_see_deaths() -> Sequence:
    return [
        declare("dead"),
        declare("other"),
        exchange("xh", "headers"),
        bind("dead", "xh", arguments={"x-match": "all", "k": "v"}),
        bind("other", "xh", arguments={"x-match": "any-with-x", "x-first-death-reason": "rejected"}),
        dying("q1", "xh", None),
        publish("q1", properties=properties(headers={"k": "v"})),
        publish("q1"),
        get("q1"),
        get("q1"),
        nack(1, multiple=True, requeue=False),
        *dead(2),
        *dead(3, "other"),
    ]


@transcript("R48")
def deaths_are_counted_by_queue_and_reason() -> Sequence:
    """The latest first; an entry that counts up comes to the front and keeps what it said."""
    return [
        dying("q1", "", "q2"),
        dying("q2", "", "q1"),
        publish("q1", properties=properties(headers={"n": 1})),
        get("q1"),
        reject(0, requeue=False),
        get("q2"),
        reject(0, requeue=False),
        get("q1"),
        reject(0, requeue=False),
        get("q2"),
        nack(0),
        get("q2"),
        reject(0, requeue=False),
        get("q1", no_ack=True),
    ]


@transcript("R48", "R44")
def retry_loop() -> Sequence:
    """A queue and its waiting room: rejections make the cycle one that a client wants."""
    return [
        dying("q1", "", "wait"),
        dying("wait", "", "q1", x_message_ttl=0),
        publish("q1", properties=properties(expiration="100000")),
        get("q1"),
        reject(0, requeue=False),
        get("q1"),
        reject(0, requeue=False),
        get("q1"),
        reject(0, requeue=False),
        get("q1", no_ack=True),
    ]


@transcript("R48", "R44")
def automatic_cycles_are_cut() -> Sequence:
    """A message that would come back to a queue without a rejection in between is dropped there."""
    return [
        dying("q1", "", "q2", x_message_ttl=0),
        dying("q2", "", "q3", x_message_ttl=0),
        dying("q3", "", "q1", x_message_ttl=0),
        publish("q1"),
        declare("q1", passive=True),
        dying("self", "", "self", x_message_ttl=0),
        publish("self"),
        dying("kept", "", "kept", x_max_length=1),
        publish("kept", count=3),
        *dead(2, "kept"),
    ]


@transcript("R48")
def one_queue_of_a_cycle_is_left_out() -> Sequence:
    """The others get the message."""
    return [
        declare("dead"),
        exchange("xf", "fanout"),
        dying("q1", "xf", None, x_message_ttl=0),
        bind("q1", "xf"),
        bind("dead", "xf"),
        publish("q1"),
        *dead(2),
    ]


@transcript("R48")
def headers_of_clients_in_the_way() -> Sequence:
    """What a client has written under these names is taken for what it looks like."""
    odd = (
        {"x-death": "text"},
        {"x-death": []},
        {"x-death": [{"queue": "q1", "reason": "rejected", "count": 7}]},
        {"x-death": [{"queue": "other", "reason": "expired", "count": 2}]},
        {"x-first-death-queue": "mine", "x-first-death-reason": 5},
        {"CC": []},
    )
    return [
        declare("dead"),
        dying("q1"),
        *(publish("q1", properties=properties(headers=headers)) for headers in odd),
        *(each for _ in odd for each in (get("q1"), reject(0, requeue=False))),
        *dead(len(odd)),
    ]


@transcript("R48", "R44")
def client_made_cycles() -> Sequence:
    """x-death of a client counts for the rule of cycles."""
    looped = {"x-death": [{"queue": "dead", "reason": "expired", "count": 1}]}
    turned = {"x-death": [{"queue": "dead", "reason": "rejected", "count": 1}]}
    return [
        declare("dead"),
        dying("q1", x_message_ttl=0),
        *(publish("q1", properties=properties(headers=headers)) for headers in (looped, turned)),
        *dead(2),
    ]


@transcript("R48", "R47", "R61")
def reject_publish_dlx() -> Sequence:
    """The publisher is refused, and the message is a dead letter nevertheless."""
    return [
        op("a1", "confirm.select"),
        declare("dead"),
        dying("q1", x_max_length=1, x_overflow="reject-publish-dlx"),
        publish("q1", count=3),
        *dead(3),
        get("q1", no_ack=True),
        dying("q2", "none", x_max_length=0, x_overflow="reject-publish-dlx"),
        publish("q2"),
        declare("q3", arguments={LENGTH: 0, OVERFLOW: "reject-publish-dlx"}),
        publish("q3"),
        dying("q4", x_max_length=0, x_overflow="reject-publish"),
        publish("q4"),
        *dead(),
    ]


@transcript("R48", "R46")
def dead_letters_into_limited_queues() -> Sequence:
    """They meet limits like any message; one that a full queue refuses is gone."""
    return [
        declare("end"),
        dying("dead", "", "end", x_max_length=1),
        dying("q1", x_max_length=1),
        publish("q1", count=4),
        *dead(3, "end"),
        *dead(2),
        declare("full", arguments={LENGTH: 1, OVERFLOW: "reject-publish"}),
        dying("q2", "", "full"),
        publish("q2", count=2),
        get("q2"),
        get("q2"),
        nack(1, multiple=True, requeue=False),
        *dead(2, "full"),
    ]


@transcript("R48", "R50")
def dead_letters_keep_their_priority() -> Sequence:
    return [
        declare("dead", arguments={"x-max-priority": 5}),
        dying("q1"),
        *(publish("q1", properties=properties(priority=level)) for level in (0, 3, 5)),
        publish("q1"),
        *(get("q1") for _ in range(4)),
        nack(3, multiple=True, requeue=False),
        *dead(5),
        dying("q2", x_max_length=1, x_max_priority=5),
        *(publish("q2", properties=properties(priority=level)) for level in (1, 4, 2)),
        *dead(3),
    ]


@transcript("R48", "R66")
def rejecting_many() -> Sequence:
    """nack multiple, in order; deliveries of a closed channel are requeued and do not die."""
    return [
        declare("dead"),
        dying("q1"),
        publish("q1", count=6),
        qos(4),
        consume("q1", "c1"),
        nack(1, multiple=True, requeue=False),
        cancel("c1"),
        ack(0),
        nack(-1, requeue=False),
        close_channel(),
        get("dead", on="a2", no_ack=True),
        get("dead", on="a2", no_ack=True),
        get("dead", on="a2", no_ack=True),
        declare("q1", passive=True, on="a2"),
    ]


@transcript("R48", "R71")
def dead_letters_go_to_consumers() -> Sequence:
    return [
        declare("dead"),
        dying("q1", x_message_ttl=0),
        consume("dead", "c1", on="b1"),
        publish("q1", count=3),
        consume("q1", "c2", on="a2"),
        publish("q1"),
        nack(0, on="a2", requeue=False),
        ack(0, on="b1", multiple=True),
    ]


@transcript("R48")
def dead_letters_to_auto_delete_and_exclusive_queues() -> Sequence:
    return [
        declare("dead", exclusive=True, on="b1"),
        dying("q1", x_message_ttl=0),
        publish("q1"),
        get("dead", on="b1"),
        op("b", "disconnect"),
        publish("q1"),
        declare("q1", passive=True),
    ]


def at_least_once(**arguments: Any) -> Operation:
    """Declare a queue whose dead letters wait for somebody who takes them (R49)."""
    named = {
        DLX: "",
        KEY: "dead",
        "x-queue-type": "quorum",
        OVERFLOW: "reject-publish",
        "x-dead-letter-strategy": "at-least-once",
        **{name.replace("_", "-"): value for name, value in arguments.items()},
    }
    return declare("q1", durable=True, arguments=named)


CONFIRMS = op("a1", "confirm.select")
DROP = nack(0, requeue=False)


@transcript("R49")
def at_least_once_with_a_target() -> Sequence:
    """Forwarded at once, with the headers of any dead letter."""
    return [
        CONFIRMS,
        declare("dead"),
        at_least_once(),
        publish("q1", count=3, properties=properties(delivery_mode=2, headers={"a": 1})),
        qos(1),
        consume("q1", "c1"),
        reject(0, requeue=False),
        DROP,
        ack(0),
        cancel("c1"),
        *dead(3),
    ]


@transcript("R49")
def at_least_once_without_a_route() -> Sequence:
    """Dead is neither ready nor unacknowledged, and nobody sees it again; a new route waits for the retry."""
    return [
        CONFIRMS,
        at_least_once(),
        publish("q1", count=2, properties=properties(delivery_mode=2)),
        qos(1),
        consume("q1", "c1"),
        DROP,
        nack(0),
        DROP,
        cancel("c1"),
        declare("dead"),
        *dead(1),
        op("a1", "queue.purge", queue="q1"),
        op("a1", "queue.delete", queue="q1"),
    ]


@transcript("R49", "R47")
def at_least_once_and_a_full_target() -> Sequence:
    """The target takes one; what it refuses stays with its source, and is not sent on when there is room."""
    return [
        CONFIRMS,
        declare("dead", arguments={LENGTH: 1, OVERFLOW: "reject-publish"}),
        at_least_once(),
        qos(1),
        consume("q1", "c1"),
        publish("q1", properties=properties(delivery_mode=2)),
        DROP,
        publish("q1", properties=properties(delivery_mode=2)),
        DROP,
        cancel("c1"),
        *dead(2),
    ]


@transcript("R49", "R47", "R48")
def at_least_once_and_a_full_target_with_dead_letters() -> Sequence:
    """What the target refuses is a dead letter of it as well, and stays with its source all the same."""
    return [
        CONFIRMS,
        declare("over"),
        dying("dead", key="over", x_max_length=1, x_overflow="reject-publish-dlx"),
        at_least_once(),
        qos(1),
        consume("q1", "c1"),
        publish("q1", properties=properties(delivery_mode=2)),
        DROP,
        publish("q1", properties=properties(delivery_mode=2)),
        DROP,
        cancel("c1"),
        *dead(2),
        *dead(2, "over"),
    ]


@transcript("R49")
def at_least_once_needs_reject_publish() -> Sequence:
    """Without it RabbitMQ falls back to at most once."""
    return [
        CONFIRMS,
        at_least_once(x_overflow="drop-head"),
        publish("q1", properties=properties(delivery_mode=2)),
        consume("q1", "c1"),
        DROP,
        declare("dead"),
        *dead(1),
    ]


@transcript("R49", "R46", "R47")
def at_least_once_and_the_limit_of_the_source() -> Sequence:
    """Dead letters count; RabbitMQ looks at the limit behind the message that breaks it."""
    return [
        CONFIRMS,
        at_least_once(x_max_length=1),
        qos(1),
        consume("q1", "c1"),
        publish("q1", properties=properties(delivery_mode=2)),
        DROP,
        cancel("c1"),
        *(publish("q1", properties=properties(delivery_mode=2)) for _ in range(3)),
    ]
