"""Consuming and settling (R63-R69, R71)."""

from __future__ import annotations

import pika
import pytest
from pamqp import commands
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import (
    Pika,
    closes_channel,
    closes_connection,
    consume,
    consumers,
    drain,
    publish,
    ready,
    wait_ready,
    wait_until,
)
from raw_client import RawClient


@pytest.fixture
def channel(pika_to: Pika) -> BlockingChannel:
    """Return a confirming channel: what was published is in its queue when the call returns."""
    made = pika_to.channel()
    made.confirm_delivery()
    return made


@pytest.fixture
def queue(channel: BlockingChannel, name: str) -> str:
    """Return a queue that the test's connections share; it is deleted at the end."""
    channel.queue_declare(name)
    yield name
    if channel.is_open:
        channel.queue_delete(name)


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [str(n).encode() for n in range(start, start + count)]


# Consume and cancel ---------------------------------------------------------------------------------


@pytest.mark.row("R63")
def test_server_makes_consumer_tags(raw_channel: RawClient, queue: str) -> None:
    """R63: amq.ctag- and something unique. pika makes its own tags."""
    tags = []
    for _ in range(2):
        raw_channel.send(commands.Basic.Consume(queue=queue), 1)
        tags.append(raw_channel.expect(commands.Basic.ConsumeOk, 1).consumer_tag)
    assert all(tag.startswith("amq.ctag-") for tag in tags)
    assert len(set(tags)) == 2


@pytest.mark.row("R63")
def test_consumer_gets_what_was_there_and_what_comes(channel: BlockingChannel, queue: str) -> None:
    """R63: in order, with exchange, key, growing tags, and not marked redelivered."""
    publish(channel, queue, *numbers(3))
    received = consume(channel, queue, auto_ack=False)
    publish(channel, queue, *numbers(3, 3))
    assert received.settled(6) == numbers(6)
    assert [method.delivery_tag for method in received.methods] == [1, 2, 3, 4, 5, 6]
    assert {(method.exchange, method.routing_key, method.redelivered) for method in received.methods} == {
        ("", queue, False)
    }


@pytest.mark.row("R63")
def test_consumer_without_acknowledgements_owes_nothing(
    channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R63: no_ack messages are gone with their delivery, also when the connection ends."""
    publish(channel, queue, *numbers(5))
    other = pika_to.channel()
    consume(other, queue, auto_ack=True).wait(5)
    other.connection.close()
    assert ready(channel, queue) == 0


@pytest.mark.row("R63", "530")
def test_consumer_tag_is_unique_on_its_channel(channel: BlockingChannel, queue: str) -> None:
    """R63: used twice the connection is closed with 530; on another channel it is fine."""
    other = channel.connection.channel()
    other.basic_consume(queue, lambda *_: None, consumer_tag="tag")
    channel.basic_consume(queue, lambda *_: None, consumer_tag="tag")
    channel._impl._send_method(pika.spec.Basic.Consume(queue=queue, consumer_tag="tag"))
    with closes_connection(530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'"):
        channel.queue_declare(queue, passive=True)


@pytest.mark.row("R63", "403")
def test_exclusive_consumer_is_alone(channel: BlockingChannel, pika_to: Pika, queue: str) -> None:
    """R63: 403 for a second one, either way round; after its cancel others may come."""
    text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
    tag = channel.basic_consume(queue, lambda *_: None, exclusive=True)
    other = pika_to.connect()
    with closes_channel(403, text):
        other.channel().basic_consume(queue, lambda *_: None)
    channel.basic_cancel(tag)
    other.channel().basic_consume(queue, lambda *_: None)
    with closes_channel(403, text):
        channel.connection.channel().basic_consume(queue, lambda *_: None, exclusive=True)


@pytest.mark.row("R51", "403")
def test_single_active_consumer_is_followed_by_the_next(
    channel: BlockingChannel, pika_to: Pika, name: str
) -> None:
    """R51: one gets everything; when its channel closes the next one gets what it had. None is exclusive."""
    channel.queue_declare(name, arguments={"x-single-active-consumer": True})
    first, second = pika_to.channel(), pika_to.channel()
    active = consume(first, name, auto_ack=False)
    waiting = consume(second, name, auto_ack=False)
    publish(channel, name, *numbers(3))
    assert active.settled(3) == numbers(3)
    assert consumers(channel, name) == 2
    assert waiting.settled(0) == []
    with closes_channel(403, f"ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use"):
        pika_to.channel().basic_consume(name, lambda *_: None, exclusive=True)
    first.close()
    publish(channel, name, *numbers(2, 3))
    assert waiting.settled(5) == numbers(5)
    assert [method.redelivered for method in waiting.methods] == [True] * 3 + [False] * 2
    channel.queue_delete(name)


@pytest.mark.row("R63")
def test_no_local_is_ignored(raw_channel: RawClient, queue: str) -> None:
    """R63: RabbitMQ never implemented it: the connection's own messages come."""
    raw_channel.send(commands.Basic.Consume(queue=queue, no_local=True, no_ack=True), 1)
    raw_channel.expect(commands.Basic.ConsumeOk, 1)
    raw_channel.publish(queue, b"own")
    assert raw_channel.expect(commands.Basic.Deliver, 1).routing_key == queue


@pytest.mark.row("R64")
def test_cancelled_consumer_gets_nothing_more(channel: BlockingChannel, queue: str) -> None:
    """R64: after cancel-ok messages stay in the queue; what was delivered may still be acknowledged."""
    publish(channel, queue, b"first")
    received = consume(channel, queue, auto_ack=False, consumer_tag="tag").wait(1)
    channel.basic_cancel("tag")
    publish(channel, queue, b"second")
    assert ready(channel, queue) == 1
    channel.basic_ack(received.methods[0].delivery_tag)
    assert received.bodies == [b"first"]
    assert drain(channel, queue) == [b"second"]


@pytest.mark.row("R64")
def test_cancel_of_an_unknown_tag_is_answered(raw_channel: RawClient) -> None:
    """R64: cancel-ok, no error."""
    raw_channel.send(commands.Basic.Cancel(consumer_tag="never"), 1)
    assert raw_channel.expect(commands.Basic.CancelOk, 1).consumer_tag == "never"


@pytest.mark.row("R64")
def test_server_cancels_consumers_of_a_deleted_queue(
    channel: BlockingChannel, pika_to: Pika, name: str
) -> None:
    """R64: basic.cancel from the server for each of its consumers."""
    channel.queue_declare(name)
    consumer = pika_to.channel()
    cancelled: list[str] = []
    consumer.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    for tag in ("one", "two"):
        consumer.basic_consume(name, lambda *_: None, consumer_tag=tag)
    channel.queue_delete(name)
    wait_until(consumer, lambda: len(cancelled) == 2)
    assert sorted(cancelled) == ["one", "two"]
    assert consumer.queue_declare("", exclusive=True).method.queue


@pytest.mark.row("R64")
def test_deleting_channel_hears_delete_ok_before_its_cancel(raw_channel: RawClient, name: str) -> None:
    """R64: py-amqp raises on basic.cancel, so it must not come while the client waits for delete-ok."""
    raw_channel.send(commands.Queue.Declare(queue=name), 1)
    raw_channel.expect(commands.Queue.DeclareOk, 1)
    raw_channel.send(commands.Basic.Consume(queue=name, consumer_tag="tag"), 1)
    raw_channel.expect(commands.Basic.ConsumeOk, 1)
    raw_channel.send(commands.Queue.Delete(queue=name), 1)
    raw_channel.expect(commands.Queue.DeleteOk, 1)
    assert raw_channel.expect(commands.Basic.Cancel, 1).consumer_tag == "tag"


# Prefetch -------------------------------------------------------------------------------------------


@pytest.mark.row("R65")
def test_prefetch_bounds_what_is_unacknowledged(channel: BlockingChannel, queue: str) -> None:
    """R65: global=false, each new consumer on the channel gets its own limit."""
    publish(channel, queue, *numbers(10))
    channel.basic_qos(prefetch_count=2)
    received = consume(channel, queue, auto_ack=False)
    assert received.settled(2) == numbers(2)
    channel.basic_ack(1)
    assert received.settled(3) == numbers(3)
    channel.basic_ack(3, multiple=True)
    assert received.settled(5) == numbers(5)


@pytest.mark.row("R65")
def test_prefetch_holds_per_consumer(channel: BlockingChannel, name: str) -> None:
    """R65: two consumers on one channel with prefetch 2 hold two messages each."""
    first, second = f"{name}-1", f"{name}-2"
    for each in (first, second):
        channel.queue_declare(each, exclusive=True)
        publish(channel, each, *numbers(5))
    channel.basic_qos(prefetch_count=2)
    received = [consume(channel, each, auto_ack=False) for each in (first, second)]
    assert [each.settled(2) for each in received] == [numbers(2), numbers(2)]


@pytest.mark.row("R65")
def test_prefetch_concerns_new_consumers_only(channel: BlockingChannel, name: str) -> None:
    """R65: a consumer keeps the limit that was in force when it began."""
    first, second = f"{name}-1", f"{name}-2"
    for each in (first, second):
        channel.queue_declare(each, exclusive=True)
        publish(channel, each, *numbers(5))
    channel.basic_qos(prefetch_count=1)
    early = consume(channel, first, auto_ack=False)
    channel.basic_qos(prefetch_count=3)
    late = consume(channel, second, auto_ack=False)
    assert (early.settled(1), late.settled(3)) == (numbers(1), numbers(3))


@pytest.mark.row("R65")
def test_global_prefetch_holds_for_the_channel(channel: BlockingChannel, name: str) -> None:
    """R65: global=true is one limit for all consumers of the channel, also for those that are there."""
    first, second = f"{name}-1", f"{name}-2"
    for each in (first, second):
        channel.queue_declare(each, exclusive=True)
    received = [consume(channel, each, auto_ack=False) for each in (first, second)]
    channel.basic_qos(prefetch_count=3, global_qos=True)
    publish(channel, first, *numbers(5))
    publish(channel, second, *numbers(5))
    received[0].settled(3)
    assert received[1].bodies == []
    channel.basic_ack(0, multiple=True)
    wait_until(
        channel,
        lambda: sum(len(each.messages) for each in received) == 6,
        lambda: [each.bodies for each in received],
    )
    received[0].settled(len(received[0].messages))
    received[1].settled(len(received[1].messages))
    assert sum(len(each.messages) for each in received) == 6


@pytest.mark.row("R65")
def test_prefetch_zero_is_no_limit(channel: BlockingChannel, queue: str) -> None:
    """R65: also as a way back from a limit."""
    publish(channel, queue, *numbers(100))
    channel.basic_qos(prefetch_count=1)
    channel.basic_qos(prefetch_count=0)
    assert consume(channel, queue, auto_ack=False).settled(100) == numbers(100)


@pytest.mark.row("R65")
def test_prefetch_does_not_bound_no_ack_consumers_or_get(channel: BlockingChannel, queue: str) -> None:
    """R65: without acknowledgements there is nothing to count; basic.get is not counted either."""
    channel.basic_qos(prefetch_count=1)
    publish(channel, queue, *numbers(5))
    for _ in range(2):
        channel.basic_get(queue)
    assert consume(channel, queue, auto_ack=True).settled(3) == numbers(3, 2)


@pytest.mark.row("R65", "540")
def test_prefetch_size_is_not_implemented(channel: BlockingChannel) -> None:
    """R65: 540 for any size but 0."""
    with closes_connection(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1000)"):
        channel.basic_qos(prefetch_size=1000)


# Settling -------------------------------------------------------------------------------------------


@pytest.mark.row("R66")
def test_unacknowledged_messages_return_in_order_when_the_channel_closes(
    channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R66: at their original place, marked redelivered."""
    publish(channel, queue, *numbers(4))
    other = pika_to.channel()
    other.basic_qos(prefetch_count=2)
    consume(other, queue, auto_ack=False).settled(2)
    other.close()
    wait_ready(channel, queue, 4)
    received = consume(channel, queue)
    assert received.settled(4) == numbers(4)
    assert [method.redelivered for method in received.methods] == [True, True, False, False]


@pytest.mark.row("R66")
@pytest.mark.parametrize("whole_connection", [False, True], ids=["channel", "connection"])
def test_everything_is_back_when_the_close_is_answered(
    whole_connection: bool, channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R66: also what is too much to be given back at once, and in its order."""
    count = 1500
    publish(channel, queue, *numbers(count + 1))
    other = pika_to.channel()
    assert [other.basic_get(queue)[2] for _ in range(count)] == numbers(count)
    assert ready(channel, queue) == 1
    if whole_connection:
        other.connection.close()
    else:
        other.close()
    assert ready(channel, queue) == count + 1
    assert drain(channel, queue) == numbers(count + 1)


@pytest.mark.row("R66")
def test_unacknowledged_messages_return_when_the_connection_is_closed(
    channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R66: what was acknowledged before is not among them."""
    publish(channel, queue, *numbers(4))
    other = pika_to.channel()
    consume(other, queue, auto_ack=False).settled(4)
    other.basic_ack(2)
    other.connection.close()
    wait_ready(channel, queue, 3)
    assert drain(channel, queue) == [b"0", b"2", b"3"]


@pytest.mark.row("R66")
@pytest.mark.parametrize("how", ["nack", "reject"])
def test_requeued_message_goes_back_to_its_place(channel: BlockingChannel, queue: str, how: str) -> None:
    """R66: before those that were published later, and redelivered."""
    publish(channel, queue, *numbers(3))
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(2)]
    settle = channel.basic_nack if how == "nack" else channel.basic_reject
    settle(tags[1], requeue=True)
    wait_ready(channel, queue, 2)
    settle(tags[0], requeue=True)
    wait_ready(channel, queue, 3)
    got = [channel.basic_get(queue, auto_ack=True) for _ in range(3)]
    assert [(body, method.redelivered) for method, _, body in got] == [
        (b"0", True),
        (b"1", True),
        (b"2", False),
    ]


@pytest.mark.row("R66")
@pytest.mark.parametrize("how", ["nack", "reject"])
def test_rejected_without_requeue_is_gone(channel: BlockingChannel, queue: str, how: str) -> None:
    """R66: without a dead-letter exchange it is dropped."""
    publish(channel, queue, b"bad")
    tag = channel.basic_get(queue)[0].delivery_tag
    if how == "nack":
        channel.basic_nack(tag, requeue=False)
    else:
        channel.basic_reject(tag, requeue=False)
    channel.close()
    assert ready(channel.connection.channel(), queue) == 0
    channel.connection.channel().queue_delete(queue)


@pytest.mark.row("R66")
def test_multiple_settles_up_to_its_tag(channel: BlockingChannel, queue: str) -> None:
    """R66: ack multiple takes all up to the tag, nack multiple likewise, also with gaps."""
    publish(channel, queue, *numbers(6))
    consume(channel, queue, auto_ack=False, consumer_tag="tag").wait(6)
    channel.basic_ack(2)
    channel.basic_ack(4, multiple=True)
    channel.basic_cancel("tag")
    channel.basic_nack(6, multiple=True, requeue=True)
    wait_ready(channel, queue, 2)
    assert drain(channel, queue) == [b"4", b"5"]


@pytest.mark.row("R66")
def test_tag_zero_with_multiple_is_everything(channel: BlockingChannel, queue: str) -> None:
    """R66: and nothing outstanding is no error."""
    publish(channel, queue, *numbers(3))
    consume(channel, queue, auto_ack=False, consumer_tag="tag").wait(3)
    channel.basic_cancel("tag")
    channel.basic_nack(0, multiple=True, requeue=True)
    wait_ready(channel, queue, 3)
    channel.basic_ack(0, multiple=True)
    for _ in range(3):
        channel.basic_get(queue)
    channel.basic_ack(0, multiple=True)
    channel.basic_ack(0, multiple=True)
    assert ready(channel, queue) == 0


@pytest.mark.row("R66", "406")
@pytest.mark.parametrize(("tag", "multiple"), [(0, False), (1, False), (2, False), (5, True)])
def test_unknown_tags_close_the_channel(
    channel: BlockingChannel, queue: str, tag: int, multiple: bool
) -> None:
    """R66: 406; tag 1 was acknowledged already, the others were never given out."""
    other = channel.connection.channel()
    publish(channel, queue, b"x")
    other.basic_ack(other.basic_get(queue)[0].delivery_tag)
    with closes_channel(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"):
        other.basic_ack(tag, multiple=multiple)
        other.queue_declare(queue, passive=True)


@pytest.mark.row("R66")
def test_tags_belong_to_their_channel(channel: BlockingChannel, queue: str) -> None:
    """R66: counting starts at one on every channel, over all its consumers and gets."""
    publish(channel, queue, *numbers(3))
    first, second = channel.connection.channel(), channel.connection.channel()
    assert [each.basic_get(queue)[0].delivery_tag for each in (first, second, first)] == [1, 1, 2]


@pytest.mark.row("R66", "R68")
def test_recover_redelivers(channel: BlockingChannel, queue: str) -> None:
    """R68: basic.recover(requeue=true) gives back everything that is unacknowledged on the channel."""
    publish(channel, queue, *numbers(2))
    received = consume(channel, queue, auto_ack=False).wait(2)
    channel.basic_recover(requeue=True)
    received.wait(4)
    assert received.bodies == numbers(2) * 2
    assert [method.redelivered for method in received.methods] == [False, False, True, True]


@pytest.mark.row("R68", "540")
def test_recover_without_requeue_is_not_implemented(channel: BlockingChannel) -> None:
    """R68: 540 closes the connection."""
    with closes_connection(540, "NOT_IMPLEMENTED - requeue=false"):
        channel.basic_recover(requeue=False)


# Get ------------------------------------------------------------------------------------------------


@pytest.mark.row("R67")
def test_get_tells_how_many_are_left(channel: BlockingChannel, queue: str) -> None:
    """R67: message_count in get-ok is what remains ready; an empty queue says get-empty."""
    publish(channel, queue, *numbers(3))
    got = [channel.basic_get(queue, auto_ack=True) for _ in range(4)]
    assert [(method.message_count, body) for method, _, body in got[:3]] == [(2, b"0"), (1, b"1"), (0, b"2")]
    assert got[3] == (None, None, None)


@pytest.mark.row("R67")
def test_get_with_acknowledgement_holds_the_message(
    channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R67: nobody else sees it until it is given back, then it is redelivered."""
    publish(channel, queue, b"x")
    other = pika_to.channel()
    method, _, _ = other.basic_get(queue)
    assert (method.redelivered, method.exchange, method.routing_key) == (False, "", queue)
    assert channel.basic_get(queue) == (None, None, None)
    other.close()
    wait_ready(channel, queue, 1)
    assert channel.basic_get(queue, auto_ack=True)[0].redelivered is True


# Fairness, priority, order --------------------------------------------------------------------------


@pytest.mark.row("R71")
def test_equal_consumers_take_turns(channel: BlockingChannel, pika_to: Pika, queue: str) -> None:
    """R71: round robin, message by message, in the order in which they came."""
    received = [consume(pika_to.channel(), queue) for _ in range(3)]
    publish(channel, queue, *numbers(9))
    assert [each.settled(3) for each in received] == [
        [b"0", b"3", b"6"],
        [b"1", b"4", b"7"],
        [b"2", b"5", b"8"],
    ]


@pytest.mark.row("R71", "R65")
def test_slow_consumer_does_not_hold_up_the_fast_one(
    channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R71: with prefetch 1 work goes to whoever is free."""
    slow_channel, fast_channel = pika_to.channel(), pika_to.channel()
    for each in (slow_channel, fast_channel):
        each.basic_qos(prefetch_count=1)
    slow = consume(slow_channel, queue, auto_ack=False)
    fast = consume(fast_channel, queue, auto_ack=False)
    publish(channel, queue, *numbers(6))
    for count in range(1, 6):
        fast.wait(count)
        fast_channel.basic_ack(fast.methods[-1].delivery_tag)
    assert (slow.wait(1).bodies, fast.bodies) == ([b"0"], numbers(5, 1))


@pytest.mark.row("R71")
def test_order_holds_from_one_channel_to_one_queue(
    channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R71: two thousand messages without a confirm between them."""
    received = consume(pika_to.channel(), queue)
    publisher = pika_to.channel()
    publish(publisher, queue, *numbers(2000))
    assert received.wait(2000).bodies == numbers(2000)


@pytest.mark.row("R69")
def test_consumer_priority_goes_first_while_it_has_credit(
    channel: BlockingChannel, pika_to: Pika, queue: str
) -> None:
    """R69: x-priority; the lower one gets what the higher one cannot take."""
    low_channel, high_channel = pika_to.channel(), pika_to.channel()
    high_channel.basic_qos(prefetch_count=2)
    low = consume(low_channel, queue, auto_ack=False)
    high = consume(high_channel, queue, auto_ack=False, arguments={"x-priority": 10})
    publish(channel, queue, *numbers(4))
    assert (high.settled(2), low.settled(2)) == (numbers(2), numbers(2, 2))


@pytest.mark.row("R72")
def test_flow_is_answered(channel: BlockingChannel) -> None:
    """R72: active=true is answered with flow-ok."""
    assert channel.flow(True) is True


@pytest.mark.row("R42", "R63")
def test_consumers_of_a_closed_channel_are_gone(channel: BlockingChannel, pika_to: Pika, queue: str) -> None:
    """R63: a channel's end cancels its consumers."""
    other = pika_to.channel()
    consume(other, queue)
    assert consumers(channel, queue) == 1
    other.close()
    wait_until(channel, lambda: consumers(channel, queue) == 0)
