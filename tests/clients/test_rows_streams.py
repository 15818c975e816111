"""Stream queues through pika (R43, R80, R81, R82, R84): kept messages, readers with an offset, refusals."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pika
import pytest
from broker_target import Target
from pika_tools import Pika, wait_until

from pillarbox import Broker
from pillarbox.clock import ManualClock

STREAM = {"x-queue-type": "stream"}


class Reader:
    """What one consumer of a stream got; it acknowledges everything at once unless told otherwise."""

    def __init__(self, channel: Any, queue: str, offset: Any = "first", *, prefetch: int = 100, **more: Any):
        self.channel = channel
        self.messages: list[tuple[int, bytes]] = []
        self.tags: list[int] = []
        self.headers: list[dict[str, Any]] = []
        self.acknowledges = more.pop("acknowledges", True)
        arguments = more | ({} if offset is None else {"x-stream-offset": offset})
        channel.basic_qos(prefetch_count=prefetch)
        self.tag = channel.basic_consume(queue, self._got, arguments=arguments)

    def _got(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.headers.append(properties.headers)
        self.messages.append((properties.headers["x-stream-offset"], body))
        self.tags.append(method.delivery_tag)
        if self.acknowledges:
            channel.basic_ack(method.delivery_tag)

    def wait(self, count: int) -> list[tuple[int, bytes]]:
        wait_until(self.channel, lambda: len(self.messages) >= count)
        return self.messages


def numbered(first: int, last: int) -> list[tuple[int, bytes]]:
    return [(n, str(n).encode()) for n in range(first, last + 1)]


def fill(channel: Any, queue: str, count: int, *, first: int = 0, **properties: Any) -> None:
    for n in range(first, first + count):
        channel.basic_publish("", queue, str(n).encode(), pika.BasicProperties(**properties))


@pytest.fixture
def stream(pika_to: Pika, name: str) -> tuple[Any, str]:
    channel = pika_to.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True, arguments=STREAM)
    return channel, name


@pytest.mark.row("R80", "R81")
def test_every_reader_gets_everything_from_where_it_begins(stream: tuple[Any, str], pika_to: Pika) -> None:
    """R81: first, a number, next; each with its own place, and nothing is taken away."""
    channel, name = stream
    fill(channel, name, 5)
    first = Reader(pika_to.channel(), name, "first")
    third = Reader(pika_to.channel(), name, 3)
    following = Reader(pika_to.channel(), name, "next")
    unsaid = Reader(pika_to.channel(), name, None)
    assert first.wait(5) == numbered(0, 4)
    assert third.wait(2) == numbered(3, 4)
    fill(channel, name, 2, first=5)
    assert first.wait(7) == numbered(0, 6)
    assert third.wait(4) == numbered(3, 6)
    assert following.wait(2) == unsaid.wait(2) == numbered(5, 6)


@pytest.mark.row("R81")
def test_offset_beyond_the_end_is_waited_for(stream: tuple[Any, str], pika_to: Pika) -> None:
    channel, name = stream
    fill(channel, name, 1)
    reader = Reader(pika_to.channel(), name, 3)
    fill(channel, name, 4, first=1)
    assert reader.wait(2) == numbered(3, 4)


@pytest.mark.row("R81")
def test_offset_may_be_a_time_or_an_interval(stream: tuple[Any, str], pika_to: Pika) -> None:
    """R81: what is younger than an hour is everything; what is younger than tomorrow is yet to come."""
    channel, name = stream
    fill(channel, name, 3)
    now = datetime.datetime.now(tz=datetime.UTC)
    assert Reader(pika_to.channel(), name, "1h").wait(3) == numbered(0, 2)
    assert Reader(pika_to.channel(), name, now - datetime.timedelta(hours=1)).wait(3) == numbered(0, 2)
    later = Reader(pika_to.channel(), name, now + datetime.timedelta(hours=1))
    fill(channel, name, 1, first=3)
    assert later.wait(1) == numbered(3, 3)


@pytest.mark.row("R81")
def test_credit_comes_back_with_answers(stream: tuple[Any, str], pika_to: Pika) -> None:
    channel, name = stream
    fill(channel, name, 6)
    reader = Reader(pika_to.channel(), name, prefetch=2, acknowledges=False)
    assert reader.wait(2) == numbered(0, 1)
    reader.channel.basic_ack(reader.tags[-1], multiple=True)
    assert reader.wait(4) == numbered(0, 3)


@pytest.mark.row("R81")
@pytest.mark.parametrize(
    ("act", "code", "text"),
    [
        (lambda channel, name: channel.basic_get(name), 540, "basic.get not supported by stream queues "),
        (lambda channel, name: channel.queue_purge(name), 540, "queue.purge not supported by stream queues "),
        (
            lambda channel, name: channel.basic_consume(name, lambda *_: None),
            406,
            "consumer prefetch count is not set for 'queue '",
        ),
    ],
    ids=["get", "purge", "no prefetch"],
)
def test_what_streams_do_not_do_is_refused(stream: tuple[Any, str], act: Any, code: int, text: str) -> None:
    channel, name = stream
    with pytest.raises((pika.exceptions.ConnectionClosed, pika.exceptions.ChannelClosed)) as caught:
        act(channel, name)
    kind = {540: "NOT_IMPLEMENTED", 406: "PRECONDITION_FAILED"}[code]
    assert caught.value.reply_code == code
    where = text if text.endswith(" ") else text.removesuffix("'queue '")
    assert caught.value.reply_text.startswith(f"{kind} - {where}")
    assert f"queue '{name}' in vhost '/'" in caught.value.reply_text


@pytest.mark.row("R81")
def test_reading_without_acknowledging_is_refused(stream: tuple[Any, str]) -> None:
    channel, name = stream
    channel.basic_qos(prefetch_count=10)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        channel.basic_consume(name, lambda *_: None, auto_ack=True)
    assert caught.value.reply_text == (
        "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues "
        f"queue '{name}' in vhost '/'"
    )


@pytest.mark.row("R43", "T10")
@pytest.mark.parametrize(
    "argument",
    [("x-max-length", 3), ("x-message-ttl", 1000), ("x-max-priority", 3), ("x-dead-letter-exchange", "")],
)
def test_argument_of_other_queues_is_refused(pika_to: Pika, name: str, argument: tuple[str, Any]) -> None:
    """T10: never ignored."""
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        pika_to.channel().queue_declare(name, durable=True, arguments={**STREAM, argument[0]: argument[1]})
    assert caught.value.reply_text == (
        f"PRECONDITION_FAILED - invalid arg '{argument[0]}' for queue '{name}' in vhost '/' "
        "of queue type rabbit_stream_queue"
    )


@pytest.mark.row("R43", "R80")
def test_stream_is_durable_and_nobodys_own(pika_to: Pika, name: str) -> None:
    for attributes, fault in (
        ({"durable": False}, "non-durable"),
        ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ({"durable": True, "auto_delete": True}, "auto-delete"),
    ):
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
            pika_to.channel().queue_declare(name, arguments=STREAM, **attributes)
        expected = f"PRECONDITION_FAILED - invalid property '{fault}' for queue '{name}' in vhost '/'"
        assert caught.value.reply_text == expected


@pytest.mark.row("R82")
def test_filters_leave_out_exactly_what_is_not_wanted(
    stream: tuple[Any, str], pika_to: Pika, broker: Target
) -> None:
    """R82: one value, several, and messages without any value only where they are asked for."""
    if broker.kind != "pillarbox":
        pytest.skip("RabbitMQ has filters since 3.13, and filters whole chunks")
    channel, name = stream
    for n, value in enumerate(("a", "b", None, "a", "c")):
        headers = {} if value is None else {"x-stream-filter-value": value}
        channel.basic_publish("", name, str(n).encode(), pika.BasicProperties(headers=headers))

    def offsets(count: int, **arguments: Any) -> list[int]:
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        reader = Reader(pika_to.channel(), name, "first", **arguments)
        return [offset for offset, _ in reader.wait(count)]

    assert offsets(2, x_stream_filter="a") == [0, 3]
    assert offsets(3, x_stream_filter=["b", "a"]) == [0, 1, 3]
    assert offsets(2, x_stream_filter="c", x_stream_match_unfiltered=True) == [2, 4]


@pytest.mark.row("R80", "R81")
def test_stream_and_its_readers_go_on_after_a_restart(tmp_path: Path) -> None:
    """R80: everything confirmed is there, transient messages too, under the same offsets."""
    data = tmp_path / "data"
    for turn in range(3):
        with Broker(str(data)) as broker:
            pika_here = Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port))
            channel = pika_here.channel()
            channel.confirm_delivery()
            channel.queue_declare("s", durable=True, arguments=STREAM)
            fill(channel, "s", 10, first=10 * turn, delivery_mode=1, headers={"turn": turn})
            assert Reader(pika_here.channel(), "s", 10 * turn).wait(10) == numbered(10 * turn, 10 * turn + 9)
            assert Reader(pika_here.channel(), "s").wait(10 * turn + 10) == numbered(0, 10 * turn + 9)
            assert broker.queue("s").ready == 10 * turn + 10
            pika_here.close()


@pytest.mark.row("R80")
def test_deleted_stream_leaves_nothing(tmp_path: Path) -> None:
    """A stream of the same name begins at 0, also after a restart."""
    data = tmp_path / "data"
    for _ in range(2):
        with Broker(str(data)) as broker:
            pika_here = Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port))
            channel = pika_here.channel()
            channel.confirm_delivery()
            for _ in range(2):
                channel.queue_declare("s", durable=True, arguments=STREAM)
                fill(channel, "s", 2)
                assert Reader(pika_here.channel(), "s").wait(2) == numbered(0, 1)
                channel.queue_delete("s")
            pika_here.close()
    assert not list((data / "logs").iterdir())


@pytest.mark.row("R80")
def test_whole_segments_go_when_a_stream_is_too_long_or_too_old(tmp_path: Path) -> None:
    """R80: x-max-length-bytes and x-max-age with x-stream-max-segment-size-bytes."""
    clock = ManualClock()
    with Broker(str(tmp_path / "data"), clock=clock) as broker:
        pika_here = Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port))
        channel = pika_here.channel()
        channel.confirm_delivery()
        limits = {"x-stream-max-segment-size-bytes": 2000}
        channel.queue_declare(
            "long", durable=True, arguments={**STREAM, **limits, "x-max-length-bytes": 5000}
        )
        channel.queue_declare("old", durable=True, arguments={**STREAM, **limits, "x-max-age": "1h"})
        for _ in range(40):
            channel.basic_publish("", "long", bytes(500))
            channel.basic_publish("", "old", bytes(500))
            assert broker.queue("long").ready <= 12
        assert broker.queue("old").ready == 40
        reader = Reader(pika_here.channel(), "long")
        reader.wait(broker.queue("long").ready)
        assert reader.messages[-1][0] == 39
        assert reader.messages[0][0] > 20
        pika_here.close()
        broker.advance("2h")
        channel = pika_here.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "old", b"young")
        broker.advance("1m")
        young = Reader(pika_here.channel(), "old")
        young.wait(1)
        assert young.messages[-1] == (40, b"young")
        pika_here.close()


@pytest.mark.row("R84")
def test_super_stream_is_an_exchange_and_its_partitions() -> None:
    """R84: the routing key chooses the partition, and each has its own offsets."""
    with Broker() as broker:
        assert broker.add_super_stream("orders", 3) == ["orders-0", "orders-1", "orders-2"]
        pika_here = Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port))
        channel = pika_here.channel()
        channel.confirm_delivery()
        for n in range(6):
            channel.basic_publish("orders", str(n % 3), str(n).encode(), mandatory=True)
        for partition in range(3):
            reader = Reader(pika_here.channel(), f"orders-{partition}")
            assert reader.wait(2) == [(0, str(partition).encode()), (1, str(partition + 3).encode())]
        pika_here.close()


@pytest.mark.row("R80")
def test_stream_after_stream_confirms() -> None:
    """What a deleted stream has stored is not waited for by the next one."""
    with Broker() as broker:
        pika_here = Pika(Target("pillarbox", "127.0.0.1", broker.amqp_port))
        for _ in range(3):
            channel = pika_here.channel()
            channel.confirm_delivery()
            channel.queue_declare("s", durable=True, arguments=STREAM)
            fill(channel, "s", 3)
            assert Reader(pika_here.channel(), "s").wait(3) == numbered(0, 2)
            channel.queue_delete("s")
        pika_here.close()
