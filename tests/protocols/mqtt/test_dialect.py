"""What messages of MQTT say to clients of AMQP, and the other way round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox import Broker
from pillarbox.broker.dialects import Neutral
from pillarbox.engine.base import Address, Message
from pillarbox.protocols.amqp091.dialect import DIALECT as AMQP
from pillarbox.protocols.mqtt import stored, topics
from pillarbox.protocols.mqtt.dialect import DIALECT as MQTT
from tests.protocols.mqtt.conftest import Talk

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
names = texts.filter(lambda name: not name.startswith("x-"))
ADDRESSES = {"mqtt": Address("mqtt", "amq.topic", "k"), "amqp091": Address("amqp091", "amq.topic", "k")}


def message(origin: str, properties: bytes, persistent: bool = False) -> Message:
    return Message(ADDRESSES[origin], properties, b"", 0, persistent=persistent)


said = st.builds(
    Neutral,
    content_type=st.none() | texts,
    headers=st.dictionaries(names, texts, max_size=4),
    persistent=st.booleans(),
    correlation_id=st.none() | texts.filter(bool) | st.binary(min_size=1, max_size=300),
    reply_topic=st.none() | texts.filter(topics.is_name),
)


@pytest.mark.row("R141", "A65")
@given(said)
def test_what_both_protocols_can_say_passes_through_both(neutral: Neutral) -> None:
    over_mqtt = MQTT.read(message("mqtt", MQTT.write(neutral, message("amqp091", b"\0\0"))))
    headers = dict(over_mqtt.headers)
    assert headers.pop("x-mqtt-publish-qos") == int(neutral.persistent)
    back = AMQP.read(message("amqp091", AMQP.write(over_mqtt, message("mqtt", b"\0\0"))))
    assert headers == neutral.headers
    assert back.headers == over_mqtt.headers
    assert back.content_type == neutral.content_type
    assert back.persistent == neutral.persistent
    assert back.reply_topic == neutral.reply_topic

    def plain(value: str | bytes | None) -> bytes | None:
        return value.encode() if isinstance(value, str) else value

    assert plain(back.correlation_id) == plain(neutral.correlation_id)


@given(st.binary(max_size=60))
def test_properties_are_stored_as_they_are_sent(raw: bytes) -> None:
    packed = stored.pack(2, stored.NO_PROPERTIES + raw, retain=True, sender="ä")
    facts = stored.facts(message("mqtt", packed))
    assert facts == (2, True, False, "ä", stored.NO_PROPERTIES + raw)


@pytest.mark.row("R141", "A65")
def test_properties_pass_between_amqp_and_mqtt(broker: Broker, talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("t/#")
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.queue_bind("q", "amq.topic", "t.#")
        talker.publish(
            "t/1",
            b"body",
            qos=2,
            content_type="text/plain",
            response_topic="answers/1",
            correlation_data=b"\xff",
            user_property=[("colour", "red")],
        )
        for consumed in (False, True):
            if consumed:
                _, properties, body = next(channel.consume("q", auto_ack=True))
            else:
                _, properties, body = channel.basic_get("q")
                channel.basic_nack(1)
            assert body == b"body"
            assert (properties.content_type, properties.delivery_mode) == ("text/plain", 2)
            assert properties.headers == {
                "colour": "red",
                "x-mqtt-publish-qos": 2,
                "x-reply-to-topic": "answers.1",
            }
        channel.cancel()
        assert talker.receive().fields["payload"] == b"body"
        headers = {"colour": "blue", "size": 3, "x-hidden": "y", "list": [1]}
        channel.basic_publish(
            "amq.topic",
            "t.2",
            b"",
            pika.BasicProperties(headers=headers, content_type="a/b", delivery_mode=2),
        )
    received = talker.receive()
    assert (received.fields["topic"], received.flags) == ("t/2", 2)
    assert received.fields["properties"] == {
        "content_type": "a/b",
        "user_property": [("colour", "blue"), ("size", "3")],
    }


@pytest.mark.row("R141", "R52", "A65")
def test_a_queue_that_counts_tells_amqp_how_often_a_message_of_mqtt_came_back(
    broker: Broker, talk: Talk
) -> None:
    """Got, and consumed a second time: what the client of MQTT has said stands beside."""
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("counts", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind("counts", "amq.topic", "counts")
        talk("a").publish("counts", b"body", qos=1, user_property=[("colour", "red")])
        said = {"colour": "red", "x-mqtt-publish-qos": 1}
        method, properties, _ = channel.basic_get("counts")
        assert properties.headers == {**said, "x-delivery-count": 0}
        channel.basic_nack(method.delivery_tag)
        for count in (1, 2):
            method, properties, body = next(channel.consume("counts"))
            assert (method.redelivered, body) == (True, b"body")
            assert properties.headers == {**said, "x-delivery-count": count}
            channel.basic_nack(method.delivery_tag)
        channel.cancel()


@pytest.mark.row("R141", "A65")
def test_a_message_whose_key_is_no_topic_is_passed_over(broker: Broker, talk: Talk) -> None:
    """Of whatever protocol: no client of MQTT could take a topic that is empty, or has wildcards in it."""
    talker = talk("a")
    talker.subscribe("#", qos=1)
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for key in ("", "#", "a.#", "+", "a\0b", "a.b"):
            channel.basic_publish("amq.topic", key, key.encode(), pika.BasicProperties(delivery_mode=2))
    received = talker.receive()
    assert (received.fields["topic"], received.fields["payload"]) == ("a/b", b"a.b")


def test_a_message_of_mqtt_becomes_a_dead_letter_of_amqp(broker: Broker, talk: Talk) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("dead")
        arguments: dict[str, Any] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        channel.queue_declare("q", arguments=arguments)
        channel.queue_bind("q", "amq.topic", "t")
        talk("a").publish("t", b"body", qos=1, user_property=[("colour", "red")])
        method, _, _ = channel.basic_get("q")
        channel.basic_reject(method.delivery_tag, requeue=False)
        _, properties, body = next(channel.consume("dead", auto_ack=True))
        channel.cancel()
    assert body == b"body"
    assert properties.headers["colour"] == "red"
    assert properties.headers["x-death"][0]["queue"] == "q"


@pytest.mark.row("R141", "A65")
def test_a_property_that_amqp_has_no_room_for_goes_unsaid(broker: Broker, talk: Talk) -> None:
    """To a consumer, to basic.get, and to a queue for dead letters."""
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("long-dead")
        arguments: dict[str, Any] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "long-dead"}
        channel.queue_declare("long", arguments=arguments)
        channel.queue_bind("long", "amq.topic", "long")
        pairs = [("n" * 256, "too long"), ("n" * 255, "just so"), ("colour", "red")]
        talk("a").publish("long", b"body", qos=1, user_property=pairs)
        method, properties, _ = channel.basic_get("long")
        assert properties.headers == {**dict(pairs[1:]), "x-mqtt-publish-qos": 1}
        channel.basic_reject(method.delivery_tag, requeue=False)
        _, properties, body = next(channel.consume("long-dead", auto_ack=True))
        channel.cancel()
        assert (body, properties.headers["colour"]) == (b"body", "red")


def test_a_message_of_mqtt_is_a_record_of_a_stream(tmp_path: Path) -> None:
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        from tests.protocols.mqtt.talker import Talker

        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            channel = connection.channel()
            channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
            channel.queue_bind("s", "amq.topic", "#")
            talker = Talker(broker.mqtt_port, 5)
            talker.connect("a")
            talker.publish("t/1", b"body", qos=1, user_property=[("colour", "red")])
            channel.basic_qos(prefetch_count=10)
            method, properties, body = next(channel.consume("s", arguments={"x-stream-offset": "first"}))
            channel.cancel()
    assert (method.routing_key, body) == ("t.1", b"body")
    assert properties.headers["colour"] == "red"
    assert properties.headers["x-stream-offset"] == 0
