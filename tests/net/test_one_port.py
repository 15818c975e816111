"""Real clients of all protocols, at once, on one port (A67): in the plain, over WebSocket, TLS and PROXY."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pika
import pytest
import stomp
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.config_values import OFF
from pillarbox.protocols.kafka.beginning import STRANGER_BYTES_MAX
from pillarbox.protocols.kafka.beginning import begins as begins_kafka
from tests.clients.raw_client import RawClient
from tests.hostile.test_proxy_protocol import v2
from tests.hostile.test_tls import OPENSSL, make_pair
from tests.management.http import client
from tests.net.test_websocket import node_client
from tests.protocols.mqtt.talker import Talker
from tests.protocols.stomp.talking import Talking

pytestmark = pytest.mark.row("A67")

HOST = "127.0.0.1"
TIMEOUT_S = 20
WITH_TLS = pytest.mark.skipif(OPENSSL is None, reason="no openssl command to make certificates with")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Nothing else is open but the port for operators."""
    with Broker(port=OFF, auto_port=0, management_port=0) as running:
        yield running


# --- a client of each kind: publishes and gets its own message ----------------------------------------------


def by_pika(port: int, **more: Any) -> None:
    with contextlib.closing(pika.BlockingConnection(pika.ConnectionParameters(HOST, port, **more))) as client:
        channel = client.channel()
        channel.confirm_delivery()
        channel.queue_declare("one-port", durable=True)
        channel.basic_publish("", "one-port", b"by pika", pika.BasicProperties(delivery_mode=2))
        assert channel.basic_get("one-port", auto_ack=True)[2] == b"by pika"


class Heard(stomp.ConnectionListener):  # type: ignore[misc]
    """What stomp.py was sent."""

    def __init__(self) -> None:
        self.bodies: queue.Queue[str] = queue.Queue()

    def on_message(self, frame: Any) -> None:
        self.bodies.put(frame.body)


def by_stomp_py(port: int, authority: str = "") -> None:
    client, heard = stomp.Connection12([(HOST, port)], vhost="/", heartbeats=(5000, 5000)), Heard()
    if authority:
        client.set_ssl([(HOST, port)], ca_certs=authority)
    client.set_listener("", heard)
    client.connect("guest", "guest", wait=True)
    client.subscribe("/queue/one-port-stomp", "1")
    client.send("/queue/one-port-stomp", "by stomp.py")
    assert heard.bodies.get(timeout=TIMEOUT_S) == "by stomp.py"
    client.disconnect()


def by_paho(port: int, version: int, transport: str, context: ssl.SSLContext | None = None) -> None:
    found: queue.Queue[bytes] = queue.Queue()
    topic = f"one-port/{version}/{transport}"
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version, transport=transport)  # type: ignore[arg-type]
    if context is not None:
        client.tls_set_context(context)
    client.on_message = lambda client, data, message: found.put(message.payload)
    client.on_connect = lambda client, *said: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda client, *said: client.publish(topic, b"by paho", qos=1)
    client.connect_timeout = TIMEOUT_S
    client.connect(HOST, port)
    client.loop_start()
    assert found.get(timeout=TIMEOUT_S) == b"by paho"
    client.disconnect()
    client.loop_stop()


def by_confluent(port: int, **more: Any) -> None:
    settings = {"bootstrap.servers": f"{HOST}:{port}", **more}
    topic = f"one-port-{'tls' if more else 'plain'}"
    producer = Producer(settings)
    producer.produce(topic, b"by librdkafka")
    assert producer.flush(TIMEOUT_S) == 0
    consumer = Consumer({**settings, "group.id": "one-port", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = consumer.poll(TIMEOUT_S)
    assert message is not None
    assert message.error() is None
    assert message.value() == b"by librdkafka"
    consumer.close()


CLIENTS: dict[str, Callable[[int], None]] = {
    "pika": by_pika,
    "stomp.py": by_stomp_py,
    "confluent-kafka": by_confluent,
    **{
        f"paho {name}{'' if transport == 'tcp' else ' over WebSocket'}": (
            lambda port, version=version, transport=transport: by_paho(port, version, transport)  # type: ignore[misc]
        )
        for name, version in (("3.1", mqtt.MQTTv31), ("3.1.1", mqtt.MQTTv311), ("5", mqtt.MQTTv5))
        for transport in ("tcp", "websockets")
    },
}


@pytest.mark.row("A66", "A13")
def test_clients_of_all_protocols_share_one_port(broker: Broker) -> None:
    """All at the same time, and those of the browser among them where there is node."""
    failed: dict[str, BaseException] = {}
    skipped: list[str] = []
    web = {
        name: (lambda port, name=name: node_client(name, port))  # type: ignore[misc]
        for name in ("mqtt", "@stomp/stompjs")
    }

    def use(name: str, client: Callable[[int], None]) -> None:
        try:
            client(broker.auto_port)
        except pytest.skip.Exception as missing:
            skipped.append(f"{name}: {missing}")
        except BaseException as fault:
            failed[name] = fault

    everybody = {**CLIENTS, **web}
    threads = [threading.Thread(target=use, args=each) for each in everybody.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert not any(thread.is_alive() for thread in threads)
    if skipped:
        pytest.skip("; ".join(skipped))


@pytest.mark.row("T16")
def test_clients_of_kafka_are_told_the_port_that_they_came_by() -> None:
    """Not that of the other listener; one of a port for Kafka alone is told that one."""
    with Broker(auto_port=0, kafka_port=0) as broker:
        own = int(broker.kafka_bootstrap.rpartition(":")[2])
        for port in (broker.auto_port, own):
            told = AdminClient({"bootstrap.servers": f"{HOST}:{port}"}).list_topics(timeout=TIMEOUT_S).brokers
            assert [(each.host, each.port) for each in told.values()] == [(HOST, port)]


def test_operators_see_each_protocol_as_at_a_port_of_its_own(broker: Broker) -> None:
    port = broker.auto_port
    with Talking((HOST, port)) as by_stomp, client(broker) as api:
        by_stomp.connect()
        by_mqtt = Talker(port, 5)
        by_mqtt.connect("a")
        with contextlib.closing(pika.BlockingConnection(pika.ConnectionParameters(HOST, port))):
            listed = api.get("overview")["listeners"]
            here = {each["protocol"] for each in listed if each["port"] == port}
            assert here == {"amqp", "kafka", "mqtt", "stomp", "http/web-mqtt", "http/web-stomp"}
            shown = {each["protocol"]: each["port"] for each in api.get("connections")}
            assert shown == {"AMQP 0-9-1": port, "MQTT 5.0": port, "STOMP 1.2": port}
            for name in ("amqp", "kafka", "mqtt", "stomp"):
                assert api.get(f"health/checks/protocol-listener/{name}")["status"] == "ok"
            assert api.get(f"health/checks/port-listener/{port}")["status"] == "ok"
        by_mqtt.cut()


@pytest.mark.row("A12")
def test_heart_beats_and_what_they_forgive_are_the_same_here() -> None:
    with (
        Broker(auto_port=0, clock=ManualClock()) as broker,
        Talking((HOST, broker.auto_port)) as client,
    ):
        got = client.connect(heart_beat="5000,4000")
        assert got.headers["heart-beat"] == "4000,5000"
        broker.advance("2s")
        assert client.socket.recv(10) in (b"\n", b"\n\n")
        broker.advance("8s")
        assert client.ask("BEGIN", {"transaction": "t"}).command == "RECEIPT"
        broker.advance("11s")
        assert client.is_closed()


@pytest.mark.row("T12", "T13")
def test_what_stomp_promises_holds_here(tmp_path: Path) -> None:
    """Transient unless it says otherwise, and a prefetch that counts messages; over a restart."""
    with Broker(str(tmp_path), auto_port=0) as broker, Talking((HOST, broker.auto_port)) as client:
        client.connect()
        client.send("/queue/kept", "lost")
        client.send("/queue/kept", "one", persistent="true")
        client.done("SEND", {"destination": "/queue/kept", "persistent": "true"}, "two")
    with Broker(str(tmp_path), auto_port=0) as broker, Talking((HOST, broker.auto_port)) as client:
        client.connect()
        subscription = {"id": "1", "destination": "/queue/kept", "ack": "client"}
        client.say("SUBSCRIBE", {**subscription, "activemq.prefetchSize": "1"})
        first = client.message()
        assert first.body == b"one"
        client.done("BEGIN", {"transaction": "t"})
        client.say("ACK", {"id": first.headers["ack"]})
        assert client.message().body == b"two"


@WITH_TLS
def test_clients_of_all_protocols_share_one_port_over_tls(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "server")
    with Broker(auto_tls_port=0, tls_certificate=pair.certificate, tls_key=pair.key) as broker:
        port = broker.call(lambda server: server.addresses["autos"][0][1])

        def context() -> ssl.SSLContext:
            made = ssl.create_default_context(cafile=pair.certificate)
            made.check_hostname = False
            return made

        by_pika(port, ssl_options=pika.SSLOptions(context(), "localhost"))
        by_stomp_py(port, pair.certificate)
        by_paho(port, mqtt.MQTTv5, "tcp", context())
        by_paho(port, mqtt.MQTTv311, "websockets", context())
        more = {"ssl.ca.location": pair.certificate, "ssl.endpoint.identification.algorithm": "none"}
        by_confluent(port, **{"security.protocol": "ssl", **more})


@pytest.mark.row("R14")
def test_the_proxy_header_comes_first() -> None:
    """And says who the client is, whatever it speaks."""
    with (
        Broker(auto_port=0, proxy_protocol=True, loopback_users=()) as broker,
        RawClient(HOST, broker.auto_port) as by_amqp,
    ):
        by_amqp.send_bytes(v2())
        by_amqp.open()
        with socket.create_connection((HOST, broker.auto_port), timeout=TIMEOUT_S) as by_stomp:
            by_stomp.sendall(v2())
            by_stomp.sendall(b"CONNECT\naccept-version:1.2\nlogin:guest\npasscode:guest\n\n\0")
            assert by_stomp.recv(100).startswith(b"CONNECTED\n")
            names = broker.call(lambda server: [each.head.peer for each in server.core.sessions])
            assert [name.partition(" -> ")[0] for name in names] == ["192.0.2.7:5555"] * 2


def test_a_first_request_of_kafka_is_as_large_as_its_connection_takes() -> None:
    """The two go by one figure."""
    head = (STRANGER_BYTES_MAX).to_bytes(4, "big") + b"\0\x24\0\2"
    assert begins_kafka(head)
    assert begins_kafka((STRANGER_BYTES_MAX + 1).to_bytes(4, "big") + b"\0\x24\0\2") is False


def test_a_broker_of_one_port_shows_it(broker: Broker) -> None:
    assert repr(broker) == f"<Broker auto={broker.auto_port}>"
