"""Clients of AMQP and MQTT on one exchange, where what the one says has no word with the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest

from pillarbox import Broker
from pillarbox.protocols.mqtt.reasons import ReasonCode
from tests.protocols.mqtt.conftest import Talk

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def amqp(broker: Broker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        yield connection.channel()


def bound(channel: Any, key: str, **declared: Any) -> str:
    """A queue that gets what is published under this key."""
    name: str = channel.queue_declare("q", **declared).method.queue
    channel.queue_bind(name, "amq.topic", key)
    return name


@pytest.mark.row("R141", "A65")
@pytest.mark.parametrize("filter_", ["#", "$share/g/#"])
@pytest.mark.parametrize("key", ["", "a.+", "+", "a.#.b", "x#", "a\0b"])
def test_what_amqp_publishes_under_no_topic_does_not_come(
    talk: Talk, amqp: Any, key: str, filter_: str
) -> None:
    """[MQTT-3.3.2-2], [MQTT-1.5.4-2]: a client has to hang up on such a topic, and would for ever."""
    talker = talk("a", clean=False, session_expiry_interval=100)
    talker.subscribe(filter_)
    amqp.basic_publish("amq.topic", key, b"odd", PERSISTENT)
    amqp.basic_publish("amq.topic", "a.b", b"good", PERSISTENT)
    assert talker.got() == ("a/b", b"good", 1)
    assert talker.hears_nothing()


@pytest.mark.parametrize("key", ["answers.#", "answers.+", ""])
def test_an_answer_is_wanted_at_a_topic_or_nowhere(talk: Talk, amqp: Any, key: str) -> None:
    """[MQTT-3.3.2-14]."""
    talker = talk("a")
    talker.subscribe("t")
    amqp.basic_publish("amq.topic", "t", b"", pika.BasicProperties(headers={"x-reply-to-topic": key}))
    assert talker.receive().fields["properties"] == {}


@pytest.mark.row("R141", "A65", "R52")
def test_a_quorum_queue_counts_how_often_a_message_of_mqtt_came_back(talk: Talk, amqp: Any) -> None:
    name = bound(amqp, "t", durable=True, arguments={"x-queue-type": "quorum"})
    talk("a").publish("t", b"body", qos=1, user_property=[("colour", "red")])
    method, properties, body = amqp.basic_get(name)
    assert (method.routing_key, body) == ("t", b"body")
    assert properties.headers == {"colour": "red", "x-delivery-count": 0, "x-mqtt-publish-qos": 1}
    amqp.basic_nack(method.delivery_tag)
    method, properties, body = next(amqp.consume(name, inactivity_timeout=10))
    assert (method.redelivered, body) == (True, b"body")
    assert properties.headers["colour"] == "red"
    assert properties.headers["x-delivery-count"] == 1
    assert properties.delivery_mode == 2
    amqp.cancel()


@pytest.mark.row("R141", "A65")
@pytest.mark.parametrize(
    "arguments", [{}, {"x-queue-type": "stream"}, {"x-dead-letter-exchange": "amq.fanout"}]
)
def test_a_user_property_whose_name_no_header_can_have_is_left_out(
    broker: Broker, talk: Talk, amqp: Any, arguments: dict[str, Any]
) -> None:
    name = bound(amqp, "t", durable=True, arguments=arguments)
    if "x-dead-letter-exchange" in arguments:
        dead = amqp.queue_declare("").method.queue
        amqp.queue_bind(dead, "amq.fanout", "")
    said = [("n" * 256, "long"), ("é" * 128, "long in bytes"), ("n" * 255, "fits"), ("colour", "red")]
    talk("a").publish("t", b"body", qos=1, user_property=said)
    if "x-dead-letter-exchange" in arguments:
        method, _, _ = amqp.basic_get(name)
        amqp.basic_reject(method.delivery_tag, requeue=False)
        name = dead
    amqp.basic_qos(prefetch_count=10)
    more = {"x-stream-offset": "first"} if "x-queue-type" in arguments else {}
    method, properties, body = next(amqp.consume(name, arguments=more, inactivity_timeout=10))
    assert method is not None
    assert body == b"body"
    own = {key: value for key, value in properties.headers.items() if not key.startswith("x-")}
    assert own == {"n" * 255: "fits", "colour": "red"}
    amqp.cancel()
    assert broker.call(lambda server: server.core.failure) is None


@pytest.mark.row("R22", "R141")
def test_an_exchange_of_headers_sees_user_properties(talk: Talk, amqp: Any) -> None:
    """Also behind the one of topics, as do those that hash a header or remember what came last."""
    amqp.exchange_declare("by-headers", "headers")
    amqp.exchange_bind("by-headers", "amq.topic", "t")
    for colour in ("red", "blue"):
        amqp.queue_declare(colour)
        amqp.queue_bind(colour, "by-headers", "", {"x-match": "all", "colour": colour})
    talker = talk("a")
    for colour in ("red", "blue", "green"):
        for _ in range(2):
            talker.publish("t", colour.encode(), qos=1, user_property=[("colour", colour)])
    for colour in ("red", "blue"):
        found = [amqp.basic_get(colour, auto_ack=True)[2] for _ in range(3)]
        assert found == [colour.encode(), colour.encode(), None]


@pytest.mark.parametrize("length", [255, 256, 400])
def test_a_dead_letter_whose_new_key_is_too_long_comes_with_as_much_as_there_is_room_for(
    broker: Broker, amqp: Any, length: int
) -> None:
    key = "é" * (length // 2) + "e" * (length % 2)
    dead = amqp.queue_declare("").method.queue
    amqp.queue_bind(dead, "amq.fanout", "")
    arguments = {"x-dead-letter-exchange": "amq.fanout", "x-dead-letter-routing-key": key}
    name = bound(amqp, "t", arguments=arguments)
    for consumed in (False, True):
        amqp.basic_publish("amq.topic", "t", b"body")
        method, _, _ = amqp.basic_get(name)
        amqp.basic_reject(method.delivery_tag, requeue=False)
        if consumed:
            method, _, body = next(amqp.consume(dead, inactivity_timeout=10))
        else:
            method, _, body = amqp.basic_get(dead)
        assert method is not None
        assert body == b"body"
        assert key.startswith(method.routing_key)
        assert 254 <= len(method.routing_key.encode()) <= 255
    amqp.cancel()
    assert broker.call(lambda server: server.core.failure) is None


@pytest.mark.parametrize("version", [4, 5])
def test_a_session_whose_queue_somebody_else_has_alone_is_told(talk: Talk, amqp: Any, version: int) -> None:
    kept = {"clean": False, **({"session_expiry_interval": 100} if version == 5 else {})}
    talker = talk("a", version=version, **kept)
    talker.subscribe("t", qos=1)
    talker.leave()
    amqp.basic_consume("mqtt-subscription-aqos1", lambda *_: None, exclusive=True)
    back = talk("a", version=version, **kept)
    if version == 5:
        assert back.hear().fields["reason"] == ReasonCode.NOT_AUTHORIZED
    assert back.is_closed()
