"""A broker with queues, topics and subscribers of STOMP and MQTT, some of them offline.

orders     queue: three messages, one of them out and not answered
news.sport topic: a durable subscription of billing (offline, two messages), one that is active (selector),
           and an unnamed one without a client id
sensor 1   an MQTT session with two filters, which is offline
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
import stomp

from bench.peers import await_true
from pillarbox import Broker

HOST = "127.0.0.1"
TIMEOUT_S = 20


class Listener(stomp.ConnectionListener):
    """Keeps what comes, and who has asked for a receipt."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.receipts: set[str] = set()

    def on_message(self, frame: Any) -> None:
        self.messages.append(frame)

    def on_receipt(self, frame: Any) -> None:
        self.receipts.add(frame.headers["receipt-id"])


class Stomp:
    """A client that waits for receipts."""

    def __init__(self, broker: Broker, client_id: str = "") -> None:
        self.listener = Listener()
        self.connection = stomp.Connection12([(HOST, broker.stomp_address[1])], vhost="/")
        self.connection.set_listener("", self.listener)
        headers = {"client-id": client_id} if client_id else {}
        self.connection.connect("guest", "guest", wait=True, headers=headers)
        self._count = 0

    def _receipt(self) -> dict[str, str]:
        self._count += 1
        return {"receipt": str(self._count)}

    def _wait(self) -> None:
        await_true(lambda: str(self._count) in self.listener.receipts, TIMEOUT_S, "a receipt")

    def send(self, destination: str, body: str, **headers: str) -> None:
        self.connection.send(destination, body, headers={**headers, **self._receipt()})
        self._wait()

    def subscribe(self, destination: str, identity: str = "1", ack: str = "auto", **headers: str) -> None:
        named = {name.replace("_", "."): text for name, text in headers.items()}
        self.connection.subscribe(destination, identity, ack, headers={**named, **self._receipt()})
        self._wait()

    def got(self, count: int) -> list[Any]:
        await_true(lambda: len(self.listener.messages) >= count, TIMEOUT_S, f"{count} messages")
        return self.listener.messages

    def close(self) -> None:
        self.connection.disconnect(str(self._receipt()["receipt"]))
        self._wait()


def mqtt_session(broker: Broker, client_id: str, *filters: str) -> None:
    """Subscribe, and go; the session stays."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, clean_session=False)
    client.username_pw_set("guest", "guest")
    answered: list[Any] = []
    client.on_subscribe = lambda *told: answered.append(told)
    client.connect(HOST, broker.mqtt_port)
    client.loop_start()
    await_true(client.is_connected, TIMEOUT_S, "the connection")
    client.subscribe([(each, 1) for each in filters])
    await_true(lambda: answered, TIMEOUT_S, "the subscription")
    client.disconnect()
    client.loop_stop()


@contextmanager
def scene(**options: Any) -> Iterator[Broker]:
    """See the module."""
    ports = {"stomp_port": 0, "mqtt_port": 0, "stomp_dialect": "activemq"}
    with Broker(**{**ports, **options}) as broker:
        billing = Stomp(broker, "billing")
        billing.subscribe("/topic/news.sport", activemq_subscriptionName="all")
        billing.close()
        active = Stomp(broker, "audit")
        active.subscribe("/topic/news.sport", activemq_subscriptionName="red", selector="colour = 'red'")
        unnamed = Stomp(broker)
        unnamed.subscribe("/topic/news.sport")
        mqtt_session(broker, "sensor 1", "plant/+/heat", "plant/#")
        sender = Stomp(broker)
        sender.send("/topic/news.sport", "one", colour="red")
        sender.send("/topic/news.sport", "two", colour="blue")
        active.got(1)
        unnamed.got(2)
        for number in range(3):
            sender.send("/queue/orders", f"m{number}", persistent="true")
        worker = Stomp(broker, "worker")
        worker.connection.subscribe(
            "/queue/orders", "9", "client", headers={"activemq.prefetchSize": "1", "receipt": "sub"}
        )
        worker.got(1)
        yield broker
        for client in (active, unnamed, sender, worker):
            client.connection.transport.disconnect_socket()


def deaths(broker: Broker) -> None:
    """Of the queue `short` one message expires and one is refused; one of `patient`, which is refused, waits
    to be tried again, and one more for the time that its sender wants, as one for the queue `gone`, which is
    not there any more, and one for a topic."""
    client = Stomp(broker)
    for destination in ("/queue/gone", "/topic/news.later"):
        client.send(destination, "later", AMQ_SCHEDULED_DELAY="600000")
    broker.call(lambda server: server.core.vhosts["/"].remove_queue(server.core.vhosts["/"].queues["gone"]))
    client.send("/queue/short", "expires", expires="1")
    client.send("/queue/short", "killed")
    client.send("/queue/patient", "held", **{"x-redelivery-delay": "600000"})
    client.send("/queue/patient", "later", AMQ_SCHEDULED_DELAY="600000")
    for position, name in enumerate(("short", "patient")):
        client.subscribe(f"/queue/{name}", name, "client-individual")
        client.connection.nack(client.got(position + 1)[position].headers["ack"])
    client.close()
