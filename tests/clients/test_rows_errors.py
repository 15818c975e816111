"""Errors (section 1.2): code, text, and class and method of the culprit, as a client sees them.

One row of a table is one mistake. The columns: the codes and rows that it proves, what the client does, and
what the broker answers. Texts are those of RabbitMQ 3.10.8. `Q` in a text stands for the test's unique name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from pamqp import commands
from pamqp.base import Frame
from pika_tools import Pika
from raw_client import RawClient, content_header

Answer = tuple[int, str, int, int]

Basic, Channel, Confirm = commands.Basic, commands.Channel, commands.Confirm
Exchange, Queue, Tx = commands.Exchange, commands.Queue, commands.Tx


# Channel errors: the channel is gone, the connection lives ----------------------------------------

Methods = Callable[[str], list[Frame]]

DEFAULT_EXCHANGE = "ACCESS_REFUSED - operation not permitted on the default exchange"


def own(queue: str) -> Frame:
    return Queue.Declare(queue=queue, exclusive=True)


# Every method but the last one succeeds; replies to them are read and dropped.
CHANNEL_ERRORS: dict[str, tuple[Methods, Answer]] = {
    # 403
    "declare a queue amq.*": (
        lambda q: [Queue.Declare(queue=f"amq.{q}")],
        (403, "ACCESS_REFUSED - queue name 'amq.Q' contains reserved prefix 'amq.*'", 50, 10),
    ),
    "declare an exchange amq.*": (
        lambda q: [Exchange.Declare(exchange=f"amq.{q}", exchange_type="direct")],
        (403, "ACCESS_REFUSED - exchange name 'amq.Q' contains reserved prefix 'amq.*'", 40, 10),
    ),
    "delete a predeclared exchange": (
        lambda q: [Exchange.Delete(exchange="amq.topic")],
        (403, "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed", 40, 20),
    ),
    "declare the default exchange": (
        lambda q: [Exchange.Declare(exchange="", exchange_type="direct")],
        (403, DEFAULT_EXCHANGE, 40, 10),
    ),
    "delete the default exchange": (
        lambda q: [Exchange.Delete(exchange="")],
        (403, DEFAULT_EXCHANGE, 40, 20),
    ),
    "bind a queue to the default exchange": (
        lambda q: [own(q), Queue.Bind(queue=q, exchange="", routing_key="k")],
        (403, DEFAULT_EXCHANGE, 50, 20),
    ),
    "unbind a queue from the default exchange": (
        lambda q: [own(q), Queue.Unbind(queue=q, exchange="", routing_key=q)],
        (403, DEFAULT_EXCHANGE, 50, 50),
    ),
    "bind an exchange to the default exchange": (
        lambda q: [Exchange.Bind(destination="amq.fanout", source="", routing_key="k")],
        (403, DEFAULT_EXCHANGE, 40, 30),
    ),
    "exclusive consumer beside another": (
        lambda q: [own(q), Basic.Consume(queue=q), Basic.Consume(queue=q, exclusive=True)],
        (403, "ACCESS_REFUSED - queue 'Q' in vhost '/' in exclusive use", 60, 20),
    ),
    "consumer beside an exclusive one": (
        lambda q: [own(q), Basic.Consume(queue=q, exclusive=True), Basic.Consume(queue=q)],
        (403, "ACCESS_REFUSED - queue 'Q' in vhost '/' in exclusive use", 60, 20),
    ),
    # 404
    "passive declare of a missing queue": (
        lambda q: [Queue.Declare(queue=q, passive=True)],
        (404, "NOT_FOUND - no queue 'Q' in vhost '/'", 50, 10),
    ),
    "passive declare of a missing exchange": (
        lambda q: [Exchange.Declare(exchange=q, passive=True)],
        (404, "NOT_FOUND - no exchange 'Q' in vhost '/'", 40, 10),
    ),
    "consume from a missing queue": (
        lambda q: [Basic.Consume(queue=q)],
        (404, "NOT_FOUND - no queue 'Q' in vhost '/'", 60, 20),
    ),
    "get from a missing queue": (
        lambda q: [Basic.Get(queue=q)],
        (404, "NOT_FOUND - no queue 'Q' in vhost '/'", 60, 70),
    ),
    "purge a missing queue": (
        lambda q: [Queue.Purge(queue=q)],
        (404, "NOT_FOUND - no queue 'Q' in vhost '/'", 50, 30),
    ),
    "bind a missing queue": (
        lambda q: [Queue.Bind(queue=q, exchange="amq.direct", routing_key="k")],
        (404, "NOT_FOUND - no queue 'Q' in vhost '/'", 50, 20),
    ),
    "bind to a missing exchange": (
        lambda q: [own(q), Queue.Bind(queue=q, exchange=f"no-{q}", routing_key="k")],
        (404, "NOT_FOUND - no exchange 'no-Q' in vhost '/'", 50, 20),
    ),
    "bind a missing exchange": (
        lambda q: [Exchange.Bind(destination=q, source="amq.fanout", routing_key="k")],
        (404, "NOT_FOUND - no exchange 'Q' in vhost '/'", 40, 30),
    ),
    "bind from a missing exchange": (
        lambda q: [Exchange.Bind(destination="amq.fanout", source=q, routing_key="k")],
        (404, "NOT_FOUND - no exchange 'Q' in vhost '/'", 40, 30),
    ),
    "empty queue name with nothing declared, consume": (
        lambda q: [Basic.Consume(queue="")],
        (404, "NOT_FOUND - no previously declared queue", 60, 20),
    ),
    "empty queue name with nothing declared, get": (
        lambda q: [Basic.Get(queue="")],
        (404, "NOT_FOUND - no previously declared queue", 60, 70),
    ),
    "empty queue name with nothing declared, bind": (
        lambda q: [Queue.Bind(queue="", exchange="amq.direct", routing_key="k")],
        (404, "NOT_FOUND - no previously declared queue", 50, 20),
    ),
    "empty queue name with nothing declared, purge": (
        lambda q: [Queue.Purge(queue="")],
        (404, "NOT_FOUND - no previously declared queue", 50, 30),
    ),
    "empty queue name with nothing declared, delete": (
        lambda q: [Queue.Delete(queue="")],
        (404, "NOT_FOUND - no previously declared queue", 50, 40),
    ),
    # 406
    "redeclare with another auto_delete": (
        lambda q: [own(q), Queue.Declare(queue=q, exclusive=True, auto_delete=True)],
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'Q' in vhost '/': "
            "received 'true' but current is 'false'",
            50,
            10,
        ),
    ),
    "redeclare with another argument": (
        lambda q: [own(q), Queue.Declare(queue=q, exclusive=True, arguments={"x-message-ttl": 1000})],
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'Q' in vhost '/': "
            "received the value '1000' of type 'short' but current is none",
            50,
            10,
        ),
    ),
    "redeclare without an argument": (
        lambda q: [
            Queue.Declare(queue=q, exclusive=True, arguments={"x-dead-letter-exchange": "dlx"}),
            own(q),
        ],
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'Q' in vhost '/': "
            "received none but current is the value 'dlx' of type 'longstr'",
            50,
            10,
        ),
    ),
    "redeclare an exchange of another type": (
        lambda q: [
            Exchange.Declare(exchange="amq.direct", exchange_type="fanout", durable=True),
        ],
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': "
            "received 'fanout' but current is 'direct'",
            40,
            10,
        ),
    ),
    "redeclare an exchange with another durable": (
        lambda q: [Exchange.Declare(exchange="amq.direct", exchange_type="direct", durable=False)],
        (
            406,
            "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': "
            "received 'false' but current is 'true'",
            40,
            10,
        ),
    ),
    "acknowledge an unknown tag": (
        lambda q: [Basic.Ack(delivery_tag=7)],
        (406, "PRECONDITION_FAILED - unknown delivery tag 7", 60, 80),
    ),
    "reject an unknown tag": (
        lambda q: [Basic.Reject(delivery_tag=7)],
        (406, "PRECONDITION_FAILED - unknown delivery tag 7", 60, 90),
    ),
    "nack an unknown tag": (
        lambda q: [Basic.Nack(delivery_tag=7)],
        (406, "PRECONDITION_FAILED - unknown delivery tag 7", 60, 120),
    ),
    "acknowledge multiple up to an unknown tag": (
        lambda q: [Basic.Ack(delivery_tag=7, multiple=True)],
        (406, "PRECONDITION_FAILED - unknown delivery tag 7", 60, 80),
    ),
    "tx.commit without tx.select": (
        lambda q: [Tx.Commit()],
        (406, "PRECONDITION_FAILED - channel is not transactional", 90, 20),
    ),
    "tx.rollback without tx.select": (
        lambda q: [Tx.Rollback()],
        (406, "PRECONDITION_FAILED - channel is not transactional", 90, 30),
    ),
    "confirm.select on a transactional channel": (
        lambda q: [Tx.Select(), Confirm.Select()],
        (406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", 85, 10),
    ),
    "tx.select on a confirming channel": (
        lambda q: [Confirm.Select(), Tx.Select()],
        (406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", 90, 10),
    ),
    "delete a queue in use with if-unused": (
        lambda q: [own(q), Basic.Consume(queue=q), Queue.Delete(queue=q, if_unused=True)],
        (406, "PRECONDITION_FAILED - queue 'Q' in vhost '/' in use", 50, 40),
    ),
    "x-message-ttl below zero": (
        lambda q: [Queue.Declare(queue=q, exclusive=True, arguments={"x-message-ttl": -1})],
        (
            406,
            "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'Q' in vhost '/': "
            "{value_negative,-1}",
            50,
            10,
        ),
    ),
    "x-message-ttl of a wrong type": (
        lambda q: [Queue.Declare(queue=q, exclusive=True, arguments={"x-message-ttl": "1000"})],
        (
            406,
            "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'Q' in vhost '/': "
            '"expected integer, got longstr"',
            50,
            10,
        ),
    ),
    "x-expires of zero": (
        lambda q: [Queue.Declare(queue=q, exclusive=True, arguments={"x-expires": 0})],
        (
            406,
            "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'Q' in vhost '/': {value_zero,0}",
            50,
            10,
        ),
    ),
    "unknown queue type": (
        lambda q: [Queue.Declare(queue=q, durable=True, arguments={"x-queue-type": "nonsense"})],
        (
            406,
            "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'Q' in vhost '/': "
            "\"unsupported queue type 'nonsense'\"",
            50,
            10,
        ),
    ),
    "quorum queue that is not durable": (
        lambda q: [Queue.Declare(queue=q, arguments={"x-queue-type": "quorum"})],
        (406, "PRECONDITION_FAILED - invalid property 'non-durable' for queue 'Q' in vhost '/'", 50, 10),
    ),
    "quorum queue that is exclusive": (
        lambda q: [
            Queue.Declare(queue=q, durable=True, exclusive=True, arguments={"x-queue-type": "quorum"})
        ],
        (406, "PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'Q' in vhost '/'", 50, 10),
    ),
    "quorum queue named by the server": (
        lambda q: [Queue.Declare(queue="", durable=True, arguments={"x-queue-type": "quorum"})],
        (
            406,
            "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue",
            50,
            10,
        ),
    ),
    "headers binding with an unknown x-match": (
        lambda q: [own(q), Queue.Bind(queue=q, exchange="amq.headers", arguments={"x-match": "some"})],
        (
            406,
            'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; '
            "expected all, any, all-with-x, or any-with-x",
            50,
            20,
        ),
    ),
    "consume the reply-to pseudo-queue with acknowledgements": (
        lambda q: [Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=False)],
        (406, "PRECONDITION_FAILED - reply consumer cannot acknowledge", 60, 20),
    ),
    "consume the reply-to pseudo-queue twice": (
        lambda q: [
            Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=True),
            Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=True),
        ],
        (406, "PRECONDITION_FAILED - reply consumer already set", 60, 20),
    ),
    "consumer priority of a wrong type": (
        lambda q: [own(q), Basic.Consume(queue=q, arguments={"x-priority": "high"})],
        (
            406,
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'Q' in vhost '/': "
            '"expected integer, got longstr"',
            60,
            20,
        ),
    ),
}


def fill(answer: Answer, name: str) -> Answer:
    """Put the test's name in the place of Q."""
    code, text, class_id, method_id = answer
    for placeholder in ("'Q'", "'amq.Q'", "'no-Q'"):
        text = text.replace(placeholder, placeholder.replace("Q", name))
    return code, text, class_id, method_id


def shortstr(text: str) -> str:
    """Return the text as a short string carries it: 255 octets at most, the rest as dots."""
    return text if len(text) <= 255 else text[:252] + "..."


@pytest.mark.row("403", "404", "406", "R20", "R21", "R40", "R41", "R43", "R63", "R66", "R70", "T9")
@pytest.mark.parametrize("mistake", CHANNEL_ERRORS)
def test_channel_error(raw_channel: RawClient, name: str, mistake: str) -> None:
    """1.2, soft errors: channel.close with code, text, class and method; the connection lives on."""
    methods, answer = CHANNEL_ERRORS[mistake]
    *before, culprit = methods(name)
    for method in before:
        raw_channel.send(method, 1)
        raw_channel.receive()
    raw_channel.send(culprit, 1)
    assert raw_channel.expect_channel_close() == fill(answer, name)
    raw_channel.open_channel()


PUBLISH_ERRORS: dict[str, tuple[Callable[[str], Frame], Basic.Properties | None, Answer]] = {
    "publish to a missing exchange": (
        lambda q: Basic.Publish(exchange=q, routing_key="k"),
        None,
        (404, "NOT_FOUND - no exchange 'Q' in vhost '/'", 60, 40),
    ),
    "expiration that is no number": (
        lambda q: Basic.Publish(routing_key="k"),
        Basic.Properties(expiration="soon"),
        (406, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer", 60, 40),
    ),
    "expiration below zero": (
        lambda q: Basic.Publish(routing_key="k"),
        Basic.Properties(expiration="-1"),
        (406, "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}", 60, 40),
    ),
    "somebody else's user-id": (
        lambda q: Basic.Publish(routing_key="k"),
        Basic.Properties(user_id="somebody"),
        (
            406,
            "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'",
            60,
            40,
        ),
    ),
    "CC that is not a list": (
        lambda q: Basic.Publish(routing_key="k"),
        Basic.Properties(headers={"CC": "k2"}),
        (406, 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}', 60, 40),
    ),
    "reply-to pseudo-queue without its consumer": (
        lambda q: Basic.Publish(routing_key="k"),
        Basic.Properties(reply_to="amq.rabbitmq.reply-to"),
        (406, "PRECONDITION_FAILED - fast reply consumer does not exist", 60, 40),
    ),
}


@pytest.mark.row("404", "406", "R26", "R44", "R60", "R70")
@pytest.mark.parametrize("mistake", PUBLISH_ERRORS)
def test_publish_error(raw_channel: RawClient, name: str, mistake: str) -> None:
    """1.2: a publish that is refused closes its channel, though it has no answer of its own."""
    method, properties, answer = PUBLISH_ERRORS[mistake]
    raw_channel.send(method(name), 1)
    raw_channel.send(content_header(4, properties), 1)
    raw_channel.send_frame(3, 1, b"body")
    assert raw_channel.expect_channel_close() == fill(answer, name)
    raw_channel.open_channel()


@pytest.mark.row("404", "R61")
def test_publish_to_a_missing_exchange_closes_a_confirming_channel(raw_channel: RawClient, name: str) -> None:
    """404 also with confirms: the channel is closed, nothing is acknowledged."""
    raw_channel.send(Confirm.Select(), 1)
    raw_channel.expect(Confirm.SelectOk, 1)
    raw_channel.publish("k", b"body", exchange=name)
    assert raw_channel.expect_channel_close() == (
        404,
        f"NOT_FOUND - no exchange '{name}' in vhost '/'",
        60,
        40,
    )


@pytest.mark.row("405", "R40")
@pytest.mark.parametrize(
    ("method", "class_id", "method_id"),
    [
        (lambda q: Queue.Declare(queue=q, exclusive=True), 50, 10),
        (lambda q: Queue.Declare(queue=q, passive=True), 50, 10),
        (lambda q: Queue.Bind(queue=q, exchange="amq.direct", routing_key="k"), 50, 20),
        (lambda q: Queue.Purge(queue=q), 50, 30),
        (lambda q: Queue.Delete(queue=q), 50, 40),
        (lambda q: Basic.Consume(queue=q), 60, 20),
        (lambda q: Basic.Get(queue=q), 60, 70),
    ],
    ids=["declare", "passive declare", "bind", "purge", "delete", "consume", "get"],
)
def test_exclusive_queue_of_another_connection_is_locked(
    raw_channel: RawClient,
    pika_to: Pika,
    name: str,
    method: Callable[[str], Frame],
    class_id: int,
    method_id: int,
) -> None:
    """405 RESOURCE_LOCKED for everything that touches it."""
    pika_to.channel().queue_declare(name, exclusive=True)
    raw_channel.send(method(name), 1)
    code, text, *culprit = raw_channel.expect_channel_close()
    assert (code, *culprit) == (405, class_id, method_id)
    assert text == shortstr(
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'. "
        "It could be originally declared on another connection or the exclusive property value does not "
        "match that of the original declaration."
    )


@pytest.mark.row("406", "T9")
def test_redeclare_with_another_durable(raw_channel: RawClient, name: str) -> None:
    """406; of an exclusive queue, which never is durable, the flag would be ignored."""
    raw_channel.send(Queue.Declare(queue=name, durable=True), 1)
    raw_channel.expect(Queue.DeclareOk, 1)
    raw_channel.send(Queue.Declare(queue=name), 1)
    assert raw_channel.expect_channel_close() == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{name}' in vhost '/': "
        "received 'false' but current is 'true'",
        50,
        10,
    )
    raw_channel.open_channel()
    raw_channel.send(Queue.Delete(queue=name), 1)
    raw_channel.expect(Queue.DeleteOk, 1)


@pytest.mark.row("406", "R56")
def test_delete_of_a_filled_queue_with_if_empty(raw_channel: RawClient, name: str) -> None:
    """406, and the queue stays."""
    raw_channel.send(own(name), 1)
    raw_channel.expect(Queue.DeclareOk, 1)
    raw_channel.publish(name, b"body")
    raw_channel.send(Queue.Delete(queue=name, if_empty=True), 1)
    assert raw_channel.expect_channel_close() == (
        406,
        f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty",
        50,
        40,
    )


@pytest.mark.row("406", "R23")
def test_delete_of_a_bound_exchange_with_if_unused(raw_channel: RawClient, name: str) -> None:
    """406, and the exchange stays."""
    for method in (
        Exchange.Declare(exchange=name, exchange_type="direct", auto_delete=True),
        own(name),
        Queue.Bind(queue=name, exchange=name, routing_key="k"),
    ):
        raw_channel.send(method, 1)
        raw_channel.receive()
    raw_channel.send(Exchange.Delete(exchange=name, if_unused=True), 1)
    assert raw_channel.expect_channel_close() == (
        406,
        f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use",
        40,
        20,
    )


@pytest.mark.row("403", "R23")
def test_publish_to_an_internal_exchange(raw_channel: RawClient, name: str) -> None:
    """403: only bindings lead into an internal exchange."""
    raw_channel.send(
        Exchange.Declare(exchange=name, exchange_type="fanout", internal=True, auto_delete=True), 1
    )
    raw_channel.expect(Exchange.DeclareOk, 1)
    raw_channel.publish("k", b"body", exchange=name)
    assert raw_channel.expect_channel_close() == (
        403,
        f"ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'",
        60,
        40,
    )


@pytest.mark.row("406", "R66")
def test_a_tag_cannot_be_settled_twice(raw_channel: RawClient, name: str) -> None:
    """406: the second acknowledgement of one delivery."""
    raw_channel.send(own(name), 1)
    raw_channel.expect(Queue.DeclareOk, 1)
    raw_channel.publish(name, b"")
    raw_channel.send(Basic.Get(queue=name), 1)
    tag = raw_channel.expect(Basic.GetOk, 1).delivery_tag
    raw_channel.receive()
    raw_channel.send(Basic.Ack(delivery_tag=tag), 1)
    raw_channel.send(Basic.Ack(delivery_tag=tag), 1)
    assert raw_channel.expect_channel_close() == (406, "PRECONDITION_FAILED - unknown delivery tag 1", 60, 80)


@pytest.mark.row("404")
def test_frames_on_a_dead_channel_are_dropped(raw_channel: RawClient, name: str) -> None:
    """1.2: until close-ok, whatever comes for the closed channel is ignored: no second error."""
    raw_channel.send(Queue.Declare(queue=name, passive=True), 1)
    close = raw_channel.expect(Channel.Close, 1)
    assert close.reply_code == 404
    raw_channel.send(Basic.Ack(delivery_tag=99), 1)
    raw_channel.publish("", b"body", exchange=f"no-{name}")
    raw_channel.send(Queue.Declare(queue=name, passive=True), 1)
    raw_channel.send(Channel.CloseOk(), 1)
    raw_channel.open_channel()
    raw_channel.open_channel(2)


# Connection errors: everything on the connection is gone ------------------------------------------

CONNECTION_ERRORS: dict[str, tuple[Callable[[RawClient, str], None], Answer]] = {
    "bad frame end": (
        lambda raw, q: raw.send_frame(1, 1, b"\0\x14\0\x0a\0", end=b"\xcd"),
        (501, "FRAME_ERROR - type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,205}", 0, 0),
    ),
    "frame above frame_max": (
        lambda raw, q: raw.send_bytes(b"\x03\0\1" + (200_000).to_bytes(4, "big")),
        (501, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,200000,131064}", 0, 0),
    ),
    "unknown frame type": (
        lambda raw, q: raw.send_frame(9, 1, b""),
        (501, "FRAME_ERROR - type 9, all octets = <<>>: unknown_frame", 0, 0),
    ),
    "method arguments that end too early": (
        lambda raw, q: raw.send_frame(1, 1, b"\0\x32\0\x0a\0\0\xff"),
        (501, "FRAME_ERROR - cannot decode <<0,0,255>>", 50, 10),
    ),
    "method on a channel that is not open": (
        lambda raw, q: raw.send(Queue.Declare(queue=q), 9),
        (504, "CHANNEL_ERROR - expected 'channel.open'", 50, 10),
    ),
    "second channel.open": (
        lambda raw, q: raw.send(Channel.Open(), 1),
        (504, "CHANNEL_ERROR - second 'channel.open' seen", 20, 10),
    ),
    "content header without a method": (
        lambda raw, q: raw.send(content_header(1), 1),
        (505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", 0, 0),
    ),
    "body without a header": (
        lambda raw, q: raw.send_frame(3, 1, b"x"),
        (505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", 0, 0),
    ),
    "method where a header is due": (
        lambda raw, q: (raw.send(Basic.Publish(routing_key=q), 1), raw.send(Queue.Declare(queue=q), 1))[-1],
        (
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
            60,
            40,
        ),
    ),
    "method where a body is due": (
        lambda raw, q: (
            raw.send(Basic.Publish(routing_key=q), 1),
            raw.send(content_header(5), 1),
            raw.send(Queue.Declare(queue=q), 1),
        )[-1],
        (505, "UNEXPECTED_FRAME - expected content body, got non content body frame instead", 60, 40),
    ),
    "header of another class": (
        lambda raw, q: (
            raw.send(Basic.Publish(routing_key=q), 1),
            raw.send_frame(2, 1, b"\0\x32\0\0\0\0\0\0\0\0\0\1\0\0"),
        )[-1],
        (
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
            60,
            40,
        ),
    ),
    "channel method on channel 0": (
        lambda raw, q: raw.send(Queue.Declare(queue=q), 0),
        (504, "CHANNEL_ERROR - unexpected method in connection state running", 50, 10),
    ),
    "connection method on channel 1": (
        lambda raw, q: raw.send(commands.Connection.Open("/"), 1),
        (503, "COMMAND_INVALID - unimplemented method", 10, 40),
    ),
    "consumer tag used twice": (
        lambda raw, q: (
            [
                (raw.send(method, 1), raw.receive())
                for method in (own(q), Basic.Consume(queue=q, consumer_tag="t"))
            ]
            and raw.send(Basic.Consume(queue=q, consumer_tag="t"), 1)
        ),
        (530, "NOT_ALLOWED - attempt to reuse consumer tag 't'", 60, 20),
    ),
    "prefetch_size": (
        lambda raw, q: raw.send(Basic.Qos(prefetch_size=1), 1),
        (540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)", 60, 10),
    ),
    "basic.recover without requeue": (
        lambda raw, q: raw.send(Basic.Recover(requeue=False), 1),
        (540, "NOT_IMPLEMENTED - requeue=false", 60, 110),
    ),
    "channel.flow inactive": (
        lambda raw, q: raw.send(Channel.Flow(active=False), 1),
        (540, "NOT_IMPLEMENTED - active=false", 20, 20),
    ),
    "immediate": (
        lambda raw, q: (
            raw.send(Basic.Publish(routing_key=q, immediate=True), 1),
            raw.send(content_header(0), 1),
        )[-1],
        (540, "NOT_IMPLEMENTED - immediate=true", 60, 40),
    ),
}


@pytest.mark.row("501", "502", "503", "504", "505", "530", "540")
@pytest.mark.parametrize("mistake", CONNECTION_ERRORS)
def test_connection_error(raw_channel: RawClient, name: str, mistake: str) -> None:
    """1.2, hard errors: connection.close with code, text, class and method, then the end of the socket."""
    provoke, answer = CONNECTION_ERRORS[mistake]
    provoke(raw_channel, name)
    assert raw_channel.expect_connection_close() == fill(answer, name)


@pytest.mark.row("503")
@pytest.mark.parametrize("payload", [b"\0\xc8\0\x0a", b"\0\x32\0\xc8"], ids=["class", "method"])
def test_an_unknown_method_ends_the_connection_and_no_other(
    raw_channel: RawClient, pika_to: Pika, payload: bytes
) -> None:
    """503 is the specification's answer; RabbitMQ 3.10 just drops the socket. Others never notice."""
    other = pika_to.channel()
    raw_channel.send_frame(1, 1, payload)
    with contextlib.suppress(EOFError, ConnectionResetError):  # RabbitMQ 3.10.8
        assert raw_channel.expect_connection_close()[0] in (501, 502, 503)
    assert other.queue_declare("", exclusive=True).method.queue
