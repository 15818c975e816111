"""STOMP, AMQP and MQTT clients of one broker: they see one another's messages."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pika
import pytest

from pillarbox import Broker
from tests.protocols.stomp.talking import Talking


@pytest.fixture
def amqp(broker: Broker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        yield connection.channel()


@pytest.mark.row("R142", "A6", "A7")
def test_amqp_client_gets_what_stomp_sent(client: Talking, amqp: Any, name: str) -> None:
    headers = {
        "destination": f"/queue/{name}",
        "content-type": "application/json",
        "correlation-id": "7",
        "persistent": "true",
        "priority": "3",
        "amqp-message-id": "m",
        "colour": "blue",
    }
    client.done("SEND", headers, b"\x00{}")
    method, properties, body = amqp.basic_get(name, auto_ack=True)
    assert (method.exchange, method.routing_key, body) == ("", name, b"\x00{}")
    assert properties.content_type == "application/json"
    assert properties.correlation_id == "7"
    assert properties.delivery_mode == 2
    assert properties.priority == 3
    assert properties.message_id == "m"
    assert properties.headers == {"colour": "blue"}


@pytest.mark.row("R142", "A6")
def test_amqp_client_sees_the_beginning_of_a_name_that_is_too_long_for_it(
    client: Talking, amqp: Any, name: str
) -> None:
    """Consumed, got and returned: nothing breaks, and others are served as before."""
    amqp.queue_declare(name, exclusive=True)
    amqp.queue_bind(name, "amq.topic", f"{name}.#")
    topic = f"{name}." + "ü" * 200
    expected = topic.encode()[:255].decode(errors="ignore")
    for body in (b"got", b"consumed"):
        client.done("SEND", {"destination": f"/topic/{topic}"}, body)
    method, _, body = amqp.basic_get(name, auto_ack=True)
    assert (method.routing_key, body) == (expected, b"got")
    method, _, body = next(amqp.consume(name, auto_ack=True))
    assert (method.routing_key, body) == (expected, b"consumed")
    amqp.cancel()


@pytest.mark.row("R142", "A6")
def test_message_of_amqp_cannot_put_a_frame_of_its_own_before_stomp_clients(
    client: Talking, amqp: Any, name: str
) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{name}.#"})
    properties = pika.BasicProperties(
        correlation_id="\0RECEIPT", headers={"a\0b": "\0MESSAGE\ndestination:/queue/forged\n\nx\0"}
    )
    amqp.basic_publish("amq.topic", f"{name}.\0", b"x", properties)
    got = client.message()
    assert got.headers["correlation-id"] == "\ufffdRECEIPT"
    assert got.headers["a\ufffdb"] == "\ufffdMESSAGE\ndestination:/queue/forged\n\nx\ufffd"
    assert got.headers["destination"] == f"/topic/{name}.%00"
    client.done("BEGIN", {"transaction": "goes on"})


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_header_of_amqp_cannot_pass_for_another_one(
    stranger: Talking, amqp: Any, name: str, version: str
) -> None:
    """STOMP 1.0 has no way to write a colon in a name."""
    stranger.connect(version)
    stranger.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{name}"})
    own = {"message-id:forged": "x", ":": "y", ":a": "z", "b": ":c:"}
    amqp.basic_publish("amq.topic", name, b"x", pika.BasicProperties(headers=own))
    got = stranger.message().headers
    assert got["b"] == ":c:"
    assert got["message-id"] != "forged:x"
    assert {key for key in got if ":" in key} == (set() if version == "1.0" else {*own} - {"b"})


@pytest.mark.row("R142", "A6")
def test_stomp_client_gets_what_amqp_sent(client: Talking, amqp: Any, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{name}.*"})
    properties = pika.BasicProperties(
        content_type="text/plain",
        delivery_mode=2,
        reply_to="answers",
        app_id="test",
        headers={"count": 3, "big": 1 << 40, "flag": True, "text": "ü:\n\\", "table": {"a": 1}},
    )
    amqp.basic_publish("amq.topic", f"{name}.x", b"\x00\xff", properties)
    got = client.message()
    assert got.body == b"\x00\xff"
    assert got.headers["destination"] == f"/topic/{name}.x"
    expected = {
        "content-type": "text/plain",
        "persistent": "true",
        "reply-to": "answers",
        "app-id": "test",
        "count": "3",
        "big": str(1 << 40),
        "flag": "true",
        "text": "ü:\n\\",
    }
    assert {header: got.headers.get(header) for header in expected} == expected
    assert "table" not in got.headers


@pytest.mark.row("R142")
def test_message_of_stomp_dies_as_one_of_amqp_does(client: Talking, amqp: Any, name: str) -> None:
    amqp.queue_declare(f"{name}-dead")
    headers = {
        "destination": f"/queue/{name}",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{name}-dead",
        "x-message-ttl": "0",
        "colour": "blue",
    }
    client.done("SEND", headers, "x")
    _, properties, body = amqp.basic_get(f"{name}-dead", auto_ack=True)
    assert body == b"x"
    assert properties.headers["x-death"][0]["queue"] == name
    assert properties.headers["colour"] == "blue"


@pytest.mark.row("R142")
def test_connection_is_listed_with_its_protocol(broker: Broker, client: Talking, name: str) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})

    def listed(server: Any) -> list[tuple[str, int]]:
        return [
            (session.head.client_facts().protocol, len(channel.consumers))
            for session in server.core.sessions
            if session.head is not None
            for channel in session.channels
        ]

    assert ("STOMP 1.2", 1) in broker.call(listed)


@pytest.mark.row("R142", "A65")
def test_mqtt_and_stomp_clients_meet_on_topics(name: str) -> None:
    got: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
    ready: queue.Queue[None] = queue.Queue()
    with Broker(stomp_port=0, mqtt_port=0) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SUBSCRIBE", {"id": "s", "destination": f"/topic/{name}.from.mqtt"})
        other = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        other.on_message = lambda client, data, message: got.put(message)
        other.on_subscribe = lambda client, data, number, codes, properties: ready.put(None)
        other.connect("127.0.0.1", broker.mqtt_port)
        other.loop_start()
        other.subscribe(f"{name}/from/stomp")
        ready.get(timeout=10)
        other.publish(f"{name}/from/mqtt", b"1", qos=1)
        message = client.message()
        assert (message.body, message.headers["persistent"]) == (b"1", "true")
        assert message.headers["destination"] == f"/topic/{name}.from.mqtt"
        client.send(f"/topic/{name}.from.stomp", "2", content_type="text/plain", colour="blue")
        found = got.get(timeout=10)
        assert (found.topic, found.payload) == (f"{name}/from/stomp", b"2")
        assert found.properties.ContentType == "text/plain"
        assert ("colour", "blue") in found.properties.UserProperty
        other.disconnect()
        other.loop_stop()


@pytest.mark.row("R142")
def test_amqp_client_gets_as_much_of_a_long_topic_as_a_key_holds(
    broker: Broker, client: Talking, amqp: Any, name: str
) -> None:
    topic = f"{name}." + "x" * 300
    amqp.queue_declare(name)
    amqp.queue_bind(name, "amq.topic", f"{name}.#")
    for _ in range(2):
        client.done("SEND", {"destination": f"/topic/{topic}"}, "x")
    method, _, body = amqp.basic_get(name, auto_ack=True)
    assert (method.routing_key, body) == (topic[:255], b"x")
    method, _, body = next(amqp.consume(name, auto_ack=True, inactivity_timeout=10))
    assert method is not None
    assert (method.routing_key, body) == (topic[:255], b"x")
    amqp.cancel()
    assert broker.call(lambda server: server.core.failure) is None
