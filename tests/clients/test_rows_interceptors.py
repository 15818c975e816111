"""R76: message interceptors, through a real client."""

from __future__ import annotations

from typing import Any

import pika
import pytest

from pillarbox import Broker, ManualClock


def sent(properties: pika.BasicProperties, exchange: str = "", key: str = "q", **options: Any) -> Any:
    """The properties with which a message arrives at a broker with these options, and the time in ms."""
    clock = ManualClock()
    with Broker(clock=clock, **options) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q")
        channel.queue_bind("q", "amq.match", arguments={"x-match": "any-with-x", "x-routed-by": NODE})
        channel.basic_publish(exchange, key, b"body", properties)
        _, found, body = channel.basic_get("q", auto_ack=True)
        connection.close()
        assert body == b"body"
        return found, clock.now_ms()


NODE = "pillarbox@localhost"
OWN = {"timestamp_in_ms": 5, "x-routed-by": "me", "n": 1}


@pytest.mark.row("R76")
def test_message_is_stamped_with_time_and_node() -> None:
    found, now_ms = sent(
        pika.BasicProperties(headers={"n": 1}), message_timestamp="keep", message_routing_node="keep"
    )
    assert found.headers == {"n": 1, "timestamp_in_ms": now_ms, "x-routed-by": NODE}
    assert found.timestamp == now_ms // 1000
    found, now_ms = sent(pika.BasicProperties(), message_timestamp="overwrite")
    assert found.headers == {"timestamp_in_ms": now_ms}


@pytest.mark.row("R76")
@pytest.mark.parametrize("how", ["keep", "overwrite"])
def test_stamps_of_the_publisher_are_kept_or_overwritten(how: str) -> None:
    own = pika.BasicProperties(headers=OWN, timestamp=7)
    found, now_ms = sent(own, message_timestamp=how, message_routing_node=how)
    if how == "keep":
        assert (found.headers, found.timestamp) == (OWN, 7)
    else:
        assert found.headers == {"timestamp_in_ms": now_ms, "x-routed-by": NODE, "n": 1}
        assert found.timestamp == now_ms // 1000


@pytest.mark.row("R76")
def test_property_and_header_of_the_time_are_kept_each_by_itself() -> None:
    found, now_ms = sent(pika.BasicProperties(timestamp=7), message_timestamp="keep")
    assert (found.timestamp, found.headers) == (7, {"timestamp_in_ms": now_ms})


@pytest.mark.row("R76")
def test_messages_are_stamped_before_they_are_routed() -> None:
    found, _ = sent(pika.BasicProperties(), "amq.match", "", message_routing_node="keep")
    assert found.headers == {"x-routed-by": NODE}


@pytest.mark.row("R76")
def test_nothing_is_stamped_unless_told() -> None:
    found, _ = sent(pika.BasicProperties())
    assert (found.headers, found.timestamp) == (None, None)
