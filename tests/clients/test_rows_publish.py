"""Publishing (R60-R62) and direct reply-to (R70)."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pika
import pytest
from pamqp import commands
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import Pika, closes_channel, consume, drain, publish, ready, wait_ready, wait_until
from raw_client import RawClient

Basic, Confirm, Tx = commands.Basic, commands.Confirm, commands.Tx


@pytest.fixture
def channel(pika_to: Pika) -> BlockingChannel:
    return pika_to.channel()


# Properties and bodies ------------------------------------------------------------------------------


@pytest.mark.row("R60")
def test_every_property_arrives_as_it_was_sent(channel: BlockingChannel, name: str) -> None:
    """R60: all fourteen."""
    channel.queue_declare(name, exclusive=True)
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"h": "v"},
        delivery_mode=2,
        priority=7,
        correlation_id="correlation ☂",
        reply_to="replies",
        expiration="60000",
        message_id="message-1",
        timestamp=1_700_000_000,
        type="order.created",
        user_id="guest",
        app_id="tests",
        cluster_id="cluster",
    )
    channel.basic_publish("", name, b"body", sent)
    _, got, body = channel.basic_get(name, auto_ack=True)
    assert body == b"body"
    assert vars(got) == vars(sent)


@pytest.mark.row("R60")
def test_no_property_is_made_up(channel: BlockingChannel, name: str) -> None:
    """R60: what was not sent is not there."""
    channel.queue_declare(name, exclusive=True)
    channel.basic_publish("", name, b"")
    _, got, body = channel.basic_get(name, auto_ack=True)
    assert body == b""
    assert vars(got) == vars(pika.BasicProperties())


@pytest.mark.row("R60")
def test_header_values_of_every_type(channel: BlockingChannel, name: str) -> None:
    """R60: nested tables and lists, decimals, timestamps, void, large and negative integers."""
    channel.queue_declare(name, exclusive=True)
    headers = {
        "string": "ünïcode ☂",
        "empty": "",
        "true": True,
        "small": 7,
        "negative": -7,
        "large": 2**40,
        "decimal": decimal.Decimal("3.14"),
        "time": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "void": None,
        "list": [1, "two", None, [3, {"four": 4}]],
        "table": {"nested": {"deep": [True]}},
    }
    channel.basic_publish("", name, b"x", pika.BasicProperties(headers=headers))
    got = channel.basic_get(name, auto_ack=True)[1].headers
    got["time"] = got["time"].replace(tzinfo=datetime.UTC)
    assert got == headers


@pytest.mark.row("R60")
def test_header_bytes_are_not_touched(raw_channel: RawClient, name: str) -> None:
    """R60: every field type of the table comes back with the octets that were sent."""
    fields = {
        b"t": b"\x01",
        b"b": b"\xff",
        b"B": b"\xff",
        b"s": b"\xff\xfe",
        b"u": b"\xff\xfe",
        b"I": b"\xff\xff\xff\xfe",
        b"i": b"\xff\xff\xff\xfe",
        b"l": b"\xff" * 8,
        b"f": b"\x3f\xc0\x00\x00",
        b"d": b"\x3f\xf8" + bytes(6),
        b"D": b"\x02\x00\x00\x01\x3a",
        b"S": b"\x00\x00\x00\x02ab",
        b"x": b"\x00\x00\x00\x02\x00\xff",
        b"T": b"\x00\x00\x00\x00\x65\x53\xf1\x00",
        b"V": b"",
        b"A": b"\x00\x00\x00\x03b\x01V",
        b"F": b"\x00\x00\x00\x04\x01kt\x01",
    }
    entries = b"".join(b"\x01" + kind + kind + value for kind, value in fields.items())
    table = len(entries).to_bytes(4, "big") + entries
    raw_channel.send(commands.Queue.Declare(queue=name, exclusive=True), 1)
    raw_channel.expect(commands.Queue.DeclareOk, 1)
    raw_channel.send(Basic.Publish(routing_key=name), 1)
    raw_channel.send_frame(2, 1, b"\0\x3c\0\0" + bytes(8) + b"\x20\0" + table)
    raw_channel.send(Basic.Get(queue=name, no_ack=True), 1)
    raw_channel.expect(Basic.GetOk, 1)
    start = raw_channel.receive_bytes(7)
    payload = raw_channel.receive_bytes(int.from_bytes(start[3:7], "big"))
    assert start[0] == 2
    assert sorted_fields(payload[14 + 4 :]) == sorted_fields(entries)


def sorted_fields(entries: bytes) -> list[bytes]:
    """Split a table whose keys are one octet and equal to the type; RabbitMQ sorts what it has decoded."""
    sizes = {b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"f": 4}
    sizes |= {b"d": 8, b"D": 5, b"T": 8, b"V": 0}
    found = []
    while entries:
        kind = entries[2:3]
        size = sizes[kind] if kind in sizes else 4 + int.from_bytes(entries[3:7], "big")
        found.append(entries[: 3 + size])
        entries = entries[3 + size :]
    return sorted(found)


@pytest.mark.row("R60")
@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 1_000_000])
def test_bodies_of_any_size(channel: BlockingChannel, name: str, size: int) -> None:
    """R60: around one frame, and many frames."""
    channel.queue_declare(name, exclusive=True)
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    channel.basic_publish("", name, body)
    received = consume(channel, name).wait(1)
    assert received.bodies == [body]


@pytest.mark.row("R60", "406")
def test_user_id_has_to_be_the_user(pika_to: Pika, name: str) -> None:
    """R60: 406 for somebody else's name."""
    channel = pika_to.channel()
    channel.queue_declare(name, exclusive=True)
    publish(channel, name, b"x", user_id="guest")
    publish(channel, name, b"x", user_id="somebody")
    with closes_channel(
        406, "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'"
    ):
        channel.queue_declare(name, passive=True)


@pytest.mark.row("R60", "406")
@pytest.mark.parametrize("expiration", ["soon", "-1", "1.5"])
def test_expiration_has_to_be_a_number(channel: BlockingChannel, name: str, expiration: str) -> None:
    """R44, R60: 406; a publisher with confirms learns it as well."""
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        publish(channel, name, b"x", expiration=expiration)
    assert caught.value.reply_code == 406
    assert caught.value.reply_text.startswith(f"PRECONDITION_FAILED - invalid expiration '{expiration}': ")


@pytest.mark.row("R60")
def test_persistent_and_transient_keep_one_order(channel: BlockingChannel, name: str) -> None:
    """R60, R71: the delivery mode does not change the place in a durable queue."""
    channel.queue_declare(name, durable=True)
    for n in range(20):
        publish(channel, name, str(n).encode(), delivery_mode=2 if n % 2 else 1)
    wait_ready(channel, name, 20)
    assert drain(channel, name) == [str(n).encode() for n in range(20)]
    channel.queue_delete(name)


# Confirms -------------------------------------------------------------------------------------------


@pytest.mark.row("R61")
@pytest.mark.parametrize("durable", [False, True])
def test_confirm_comes_for_every_publish(pika_to: Pika, name: str, durable: bool) -> None:
    """R61: also for what is unroutable; afterwards the message is in the queue."""
    channel = pika_to.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=durable, auto_delete=True)
    for n in range(1, 21):
        publish(channel, name, b"x", delivery_mode=2)
        publish(channel, f"no-{name}", b"unroutable", delivery_mode=2)
        assert ready(channel, name) == n
    channel.queue_delete(name)


def settle_confirms(raw_channel: RawClient, last: int) -> list[tuple[int, bool]]:
    """Read confirms until all tags up to `last` are covered; each exactly once, return what came."""
    open_tags = set(range(1, last + 1))
    seen = []
    while open_tags:
        ack = raw_channel.expect(Basic.Ack, 1)
        seen.append((ack.delivery_tag, ack.multiple))
        covered = (
            {tag for tag in open_tags if tag <= ack.delivery_tag} if ack.multiple else {ack.delivery_tag}
        )
        assert ack.delivery_tag in open_tags, seen
        open_tags -= covered
    return seen


@pytest.mark.row("R61")
def test_confirm_numbers_start_at_one_and_cover_each_publish_once(raw_channel: RawClient, name: str) -> None:
    """R61: sequence numbers count publishes on the channel since confirm.select; `multiple` may sum up."""
    raw_channel.send(commands.Queue.Declare(queue=name, exclusive=True), 1)
    raw_channel.expect(commands.Queue.DeclareOk, 1)
    raw_channel.publish(name, b"before")
    raw_channel.send(Confirm.Select(), 1)
    raw_channel.expect(Confirm.SelectOk, 1)
    for n in range(200):
        raw_channel.publish(name if n % 3 else f"no-{name}", str(n).encode())
    settle_confirms(raw_channel, 200)
    raw_channel.send(Confirm.Select(), 1)
    raw_channel.expect(Confirm.SelectOk, 1)
    raw_channel.publish(name, b"one more")
    ack = raw_channel.expect(Basic.Ack, 1)
    assert ack.delivery_tag == 201


@pytest.mark.row("R61", "R27")
def test_return_is_sent_before_the_confirm(raw_channel: RawClient, name: str) -> None:
    """R27: method, header and body of the return, then the ack."""
    raw_channel.send(Confirm.Select(), 1)
    raw_channel.expect(Confirm.SelectOk, 1)
    raw_channel.publish(name, b"lost", mandatory=True)
    returned = raw_channel.expect(Basic.Return, 1)
    assert (returned.reply_code, returned.reply_text) == (312, "NO_ROUTE")
    assert (returned.exchange, returned.routing_key) == ("", name)
    raw_channel.receive()
    _, body = raw_channel.receive()
    assert body.value == b"lost"
    assert raw_channel.expect(Basic.Ack, 1).delivery_tag == 1


@pytest.mark.row("R61")
def test_confirm_select_nowait_has_no_answer(raw_channel: RawClient, name: str) -> None:
    """R61: the next frame is the confirm itself."""
    raw_channel.send(Confirm.Select(nowait=True), 1)
    raw_channel.publish(name, b"x")
    assert raw_channel.expect(Basic.Ack, 1).delivery_tag == 1


@pytest.mark.row("R61")
def test_channels_count_their_confirms_apart(raw_channel: RawClient, name: str) -> None:
    """R61: two channels of one connection."""
    raw_channel.open_channel(2)
    for channel in (1, 2):
        raw_channel.send(Confirm.Select(), channel)
        raw_channel.expect(Confirm.SelectOk, channel)
    for channel in (1, 2):
        raw_channel.publish(name, b"x", channel=channel)
        assert raw_channel.expect(Basic.Ack, channel).delivery_tag == 1


@pytest.mark.row("R61", "R63")
def test_confirm_comes_also_if_the_consumer_acknowledged_already(pika_to: Pika, name: str) -> None:
    """R61: a message that is consumed at once still is confirmed."""
    consumer = pika_to.channel()
    consumer.queue_declare(name, durable=True)
    received = consume(consumer, name)
    channel = pika_to.channel()
    channel.confirm_delivery()
    for n in range(50):
        publish(channel, name, str(n).encode(), delivery_mode=2)
    assert received.settled(50) == [str(n).encode() for n in range(50)]
    channel.queue_delete(name)


# Transactions ---------------------------------------------------------------------------------------


@pytest.mark.row("R62")
def test_transaction_publishes_at_commit(channel: BlockingChannel, name: str) -> None:
    """R62: nothing is seen before tx.commit."""
    channel.queue_declare(name, exclusive=True)
    channel.tx_select()
    publish(channel, name, b"1", b"2")
    assert ready(channel, name) == 0
    channel.tx_commit()
    assert ready(channel, name) == 2


@pytest.mark.row("R62")
def test_transaction_rollback_forgets(channel: BlockingChannel, name: str) -> None:
    """R62: publishes are dropped; the channel stays transactional."""
    channel.queue_declare(name, exclusive=True)
    channel.tx_select()
    publish(channel, name, b"forgotten")
    channel.tx_rollback()
    publish(channel, name, b"kept")
    channel.tx_commit()
    assert drain(channel, name) == [b"kept"]


@pytest.mark.row("R62")
def test_transaction_covers_acknowledgements(pika_to: Pika, name: str) -> None:
    """R62: an ack that was rolled back may be given again; without commit the message returns."""
    publisher = pika_to.channel()
    publisher.confirm_delivery()
    publisher.queue_declare(name, auto_delete=False)
    publish(publisher, name, b"x")
    channel = pika_to.channel()
    channel.tx_select()
    tag = channel.basic_get(name)[0].delivery_tag
    channel.basic_ack(tag)
    channel.tx_rollback()
    channel.basic_ack(tag)
    channel.close()
    wait_ready(publisher, name, 1)
    publisher.queue_delete(name)


@pytest.mark.row("R62", "406")
def test_transaction_and_confirm_exclude_each_other(pika_to: Pika) -> None:
    """R62: 406 both ways."""
    connection = pika_to.connect()
    channel = connection.channel()
    channel.tx_select()
    with closes_channel(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
        channel.confirm_delivery()
    channel = connection.channel()
    channel.confirm_delivery()
    with closes_channel(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
        channel.tx_select()


@pytest.mark.row("R62", "R27")
def test_transaction_returns_unroutable_at_commit(raw_channel: RawClient, name: str) -> None:
    """R62: basic.return comes before commit-ok."""
    raw_channel.send(Tx.Select(), 1)
    raw_channel.expect(Tx.SelectOk, 1)
    raw_channel.publish(name, b"lost", mandatory=True)
    raw_channel.send(Tx.Commit(), 1)
    raw_channel.expect(Basic.Return, 1)
    raw_channel.receive()
    raw_channel.receive()
    raw_channel.expect(Tx.CommitOk, 1)


@pytest.mark.row("R62", "R27")
def test_transaction_returns_what_has_no_queue_any_more(raw_channel: RawClient, name: str) -> None:
    """R62: a queue that is there at the publish and gone at the commit takes no message with it."""
    raw_channel.send(commands.Queue.Declare(queue=name), 1)
    raw_channel.expect(commands.Queue.DeclareOk, 1)
    raw_channel.send(Tx.Select(), 1)
    raw_channel.expect(Tx.SelectOk, 1)
    raw_channel.publish(name, b"x", mandatory=True)
    raw_channel.send(commands.Queue.Delete(queue=name), 1)
    raw_channel.expect(commands.Queue.DeleteOk, 1)
    raw_channel.send(Tx.Commit(), 1)
    assert raw_channel.expect(Basic.Return, 1).reply_code == 312
    raw_channel.receive()
    assert raw_channel.receive()[1].value == b"x"
    raw_channel.expect(Tx.CommitOk, 1)


# Direct reply-to ------------------------------------------------------------------------------------

REPLY_TO = "amq.rabbitmq.reply-to"


@pytest.mark.row("R70")
def test_direct_reply_to_round_trip(pika_to: Pika, name: str) -> None:
    """R70: the server sees a reply_to of its own making, and a publish to it reaches the asking channel."""
    server, client = pika_to.channel(), pika_to.channel()
    server.queue_declare(name, exclusive=True)

    def answer(channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        assert properties.reply_to.startswith(f"{REPLY_TO}.")
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, body.upper(), reply)

    server.basic_consume(name, answer, auto_ack=True)
    replies = consume(client, REPLY_TO)
    for word in ("one", "two"):
        publish(client, name, word.encode(), reply_to=REPLY_TO, correlation_id=word)
    wait_until(server, lambda: client.connection.process_data_events(0) or len(replies.messages) == 2)
    assert replies.bodies == [b"ONE", b"TWO"]
    assert [each.correlation_id for each in replies.properties] == ["one", "two"]
    assert [method.exchange for method in replies.methods] == ["", ""]


@pytest.mark.row("R70")
def test_direct_reply_to_can_be_asked_for(pika_to: Pika, name: str) -> None:
    """R70: a passive declare of the address says 1 while the asker is there, and 404 afterwards."""
    server, client = pika_to.channel(), pika_to.channel()
    server.queue_declare(name, exclusive=True)
    consume(client, REPLY_TO)
    publish(client, name, b"x", reply_to=REPLY_TO)
    wait_ready(server, name, 1)
    address = server.basic_get(name, auto_ack=True)[1].reply_to
    declared = server.queue_declare(address, passive=True).method
    assert (declared.queue, declared.message_count, declared.consumer_count) == (address, 0, 1)
    assert server.queue_declare(REPLY_TO, passive=True).method.queue == REPLY_TO
    client.connection.close()
    connection = server.connection

    def gone() -> bool:
        try:
            connection.channel().queue_declare(address, passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            return bool(error.reply_code == 404)
        return False

    wait_until(server, gone)


@pytest.mark.row("R70")
def test_direct_reply_to_nobody_is_unroutable(pika_to: Pika, name: str) -> None:
    """R70: a reply for somebody who left is dropped, and returned if it is mandatory."""
    server, client = pika_to.channel(), pika_to.channel()
    server.queue_declare(name, exclusive=True)
    consume(client, REPLY_TO)
    publish(client, name, b"x", reply_to=REPLY_TO)
    wait_ready(server, name, 1)
    address = server.basic_get(name, auto_ack=True)[1].reply_to
    client.connection.close()
    server.confirm_delivery()
    publish(server, address, b"too late")

    def returned() -> bool:
        try:
            server.basic_publish("", address, b"too late", mandatory=True)
        except pika.exceptions.UnroutableError:
            return True
        return False

    wait_until(server, returned)


@pytest.mark.row("R70")
def test_direct_reply_to_is_consumed_by_its_asker_alone(pika_to: Pika, name: str) -> None:
    """R70: who answers a request knows the address; for consumers there is no such queue."""
    server, client = pika_to.channel(), pika_to.channel()
    server.queue_declare(name, exclusive=True)
    replies = consume(client, REPLY_TO)
    publish(client, name, b"x", reply_to=REPLY_TO)
    wait_ready(server, name, 1)
    address = server.basic_get(name, auto_ack=True)[1].reply_to
    with closes_channel(404, f"NOT_FOUND - no queue '{address}' in vhost '/'"):
        consume(pika_to.channel(), address)
    publish(server, address, b"for the asker")
    wait_until(client, lambda: replies.bodies == [b"for the asker"])


@pytest.mark.row("R70", "406")
def test_direct_reply_to_rules(pika_to: Pika, name: str) -> None:
    """R70: only without acknowledgements, one consumer per channel, and asking needs the consumer."""
    connection = pika_to.connect()
    with closes_channel(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge"):
        connection.channel().basic_consume(REPLY_TO, lambda *_: None)
    channel = connection.channel()
    consume(channel, REPLY_TO)
    with closes_channel(406, "PRECONDITION_FAILED - reply consumer already set"):
        consume(channel, REPLY_TO)
    channel = connection.channel()
    channel.confirm_delivery()
    with closes_channel(406, "PRECONDITION_FAILED - fast reply consumer does not exist"):
        publish(channel, name, b"x", reply_to=REPLY_TO)


@pytest.mark.row("R70")
def test_direct_reply_to_consumer_can_be_cancelled_and_set_again(pika_to: Pika, name: str) -> None:
    """R70: after the cancel the channel may consume the pseudo-queue again."""
    channel = pika_to.channel()
    channel.queue_declare(name, exclusive=True)
    tag = channel.basic_consume(REPLY_TO, lambda *_: None, auto_ack=True)
    channel.basic_cancel(tag)
    replies = consume(channel, REPLY_TO)
    publish(channel, name, b"question", reply_to=REPLY_TO)
    address = channel.basic_get(name, auto_ack=True)[1].reply_to
    publish(channel, address, b"answer")
    assert replies.wait(1).bodies == [b"answer"]


@pytest.mark.row("R70", "R65")
def test_direct_reply_comes_although_the_channel_has_all_the_work_it_may_have(
    pika_to: Pika, name: str
) -> None:
    """R70: whoever asks while it works on a message, and may have one for all its consumers, is answered."""
    channel = pika_to.channel()
    channel.queue_declare(name, exclusive=True)
    channel.basic_qos(prefetch_count=1, global_qos=True)
    work = consume(channel, name, auto_ack=False)
    publish(channel, name, b"work")
    publish(channel, name, b"more work")
    assert work.wait(1).bodies == [b"work"]
    replies = consume(channel, REPLY_TO)
    server = channel.connection.channel()
    server.queue_declare(f"{name}-server", exclusive=True)
    publish(channel, f"{name}-server", b"question", reply_to=REPLY_TO)
    wait_ready(server, f"{name}-server", 1)
    address = server.basic_get(f"{name}-server", auto_ack=True)[1].reply_to
    publish(server, address, b"answer")
    assert replies.wait(1).bodies == [b"answer"]
    assert work.bodies == [b"work"]
