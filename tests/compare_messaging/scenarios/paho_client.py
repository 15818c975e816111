"""paho-mqtt, in all three versions of the protocol."""

from __future__ import annotations

import queue
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario

PROTOCOL = "mqtt"
PEER = "mosquitto"

VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
WAIT_S = 10
HOST = "127.0.0.1"


def properties(kind: int, **values: Any) -> Properties:
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Client:
    """A client in a thread of its own, whose events are waited for."""

    def __init__(
        self, case: Case, word: str, version: str = "5", *, clean: bool = True, will: Any = None
    ) -> None:
        five = version == "5"
        self.five = five
        self._port = case.port
        self._clean = clean
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=case.name(word) if word else "",
            protocol=VERSIONS[version],
            clean_session=None if five else clean,
        )
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.events: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        self.client.on_subscribe = lambda client, data, number, codes, more: self.events.put(
            ("subscribed", [int(code.value) for code in codes])
        )
        self.client.on_unsubscribe = lambda client, data, number, codes, more: self.events.put(
            ("unsubscribed", [int(code.value) for code in codes or ()])
        )
        self.client.on_connect = lambda client, data, flags, code, more: self.events.put(
            ("connected", int(flags.session_present), int(code.value))
        )
        self.client.on_disconnect = lambda client, data, flags, code, more: self.events.put(
            ("disconnected", bool(flags.is_disconnect_packet_from_server), int(code.value))
        )
        if will:
            self.client.will_set(*will)

    def connect(self, keepalive: int = 60, **said: Any) -> tuple[Any, ...]:
        more: dict[str, Any] = {}
        if self.five:
            more = {"clean_start": self._clean, "properties": properties(PacketTypes.CONNECT, **said)}
        self.client.connect(HOST, self._port, keepalive, **more)
        self.client.loop_start()
        return self.event()

    def event(self) -> tuple[Any, ...]:
        return self.events.get(timeout=WAIT_S)

    def subscribe(self, *arguments: Any, **said: Any) -> tuple[Any, ...]:
        self.client.subscribe(*arguments, **said)
        return self.event()

    def unsubscribe(self, topic: str) -> tuple[Any, ...]:
        self.client.unsubscribe(topic)
        return self.event()

    def publish(
        self, topic: str, payload: bytes = b"x", qos: int = 1, retain: bool = False, **said: Any
    ) -> int:
        more = properties(PacketTypes.PUBLISH, **said) if said else None
        sent = self.client.publish(topic, payload, qos, retain, more)
        sent.wait_for_publish(WAIT_S)
        return int(sent.rc)

    def got(self) -> tuple[Any, ...]:
        """Topic, payload, quality, retain flag and duplicate flag of the next message."""
        message = self.messages.get(timeout=WAIT_S)
        return message.topic, message.payload, message.qos, message.retain, message.dup

    def message(self) -> mqtt.MQTTMessage:
        return self.messages.get(timeout=WAIT_S)

    def got_all(self) -> bool:
        """Is nothing left, as far as a message of its own is ahead of everything that comes?"""
        topic = f"last/{self.client._client_id.decode()}"
        self.subscribe(topic, 1)
        self.publish(topic)
        return self.messages.get(timeout=WAIT_S).topic == topic and self.messages.empty()

    def leave(self) -> tuple[Any, ...]:
        self.client.disconnect()
        event = self.event()
        self.client.loop_stop()
        return event

    def cut(self) -> None:
        """Go without a word."""
        sock = self.client.socket()
        self.client.loop_stop()
        if sock is not None:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@scenario("R141")
def every_version_and_quality(case: Case) -> None:
    for version in VERSIONS:
        with Client(case, "reader", version) as reader, Client(case, "writer", version) as writer:
            case.saw(version, reader.connect(), writer.connect())
            topic = case.name("t") + "/" + version
            for granted in (0, 1, 2):
                case.saw("subscribed", reader.subscribe(f"{topic}/{granted}/+", granted))
                for qos in (0, 1, 2):
                    writer.publish(f"{topic}/{granted}/{qos}", b"%d" % qos, qos)
                    case.saw("got", reader.got())
            case.saw("left", reader.leave(), writer.leave())


@scenario("R141")
def wildcards(case: Case) -> None:
    root = case.name("w")
    with Client(case, "a", "3.1.1") as client:
        client.connect()
        for pattern in ("+", "#", "a/#", "+/b", "a/+/c", "/", "+/+", "a//b"):
            client.subscribe(f"{root}/{pattern}", 0)
            for topic in ("a", "b", "a/b", "a/b/c", "", "/", "a/", "/b", "a//b"):
                client.publish(f"{root}/{topic}", topic.encode(), 1)
            client.publish(f"{root}/{pattern}".replace("+", "end").replace("#", "end"), b"end", 1)
            found = []
            while not found or found[-1] != b"end":
                found.append(client.got()[1])
            case.saw(pattern, found)
            client.unsubscribe(f"{root}/{pattern}")


@scenario("R141")
def refused_filters(case: Case) -> None:
    with Client(case, "a") as client:
        client.connect()
        for pattern in ("a/#/b", "a#", "a/b+"):
            try:
                case.saw(pattern, client.subscribe(pattern, 1))
            except ValueError as error:
                case.saw(pattern, "refused by the client", str(error))


@scenario("R141")
def retained(case: Case) -> None:
    root = case.name("r")
    with Client(case, "writer") as writer, Client(case, "reader") as reader:
        writer.connect()
        reader.connect()
        for name in ("a", "b", "c"):
            writer.publish(f"{root}/{name}", name.encode(), 1, True)
        writer.publish(f"{root}/b", b"", 1, True)
        writer.publish(f"{root}/c", b"newer", 1, True)
        reader.subscribe(f"{root}/+", 2)
        case.saw("told", sorted([reader.got(), reader.got()]))
        writer.publish(f"{root}/a", b"live", 1, True)
        case.saw("live", reader.got())
        for handling in (0, 1, 2):
            reader.subscribe(f"{root}/a", options=SubscribeOptions(1, retainHandling=handling))
            case.saw("handling", handling, [reader.got()] if handling == 0 else [])
        reader.unsubscribe(f"{root}/+")
        reader.subscribe(f"{root}/d", options=SubscribeOptions(1, retainAsPublished=True))
        writer.publish(f"{root}/d", b"as published", 1, True)
        case.saw("as published", reader.got())
        case.saw("all", reader.got_all())


@scenario("R141")
def sessions(case: Case) -> None:
    topic = case.name("s")
    for version in VERSIONS:
        said = {"SessionExpiryInterval": 1000} if version == "5" else {}
        with Client(case, f"writer{version}", version) as writer:
            writer.connect()
            first = Client(case, f"reader{version}", version, clean=False)
            case.saw(version, first.connect(**said))
            first.subscribe(topic, 1)
            first.leave()
            for number in range(3):
                writer.publish(topic, b"%d" % number, 1)
            with Client(case, f"reader{version}", version, clean=False) as again:
                case.saw("again", again.connect(**said))
                case.saw("waited", [again.got() for _ in range(3)])
            anew = Client(case, f"reader{version}", version)
            case.saw("anew", anew.connect())
            case.saw("nothing", anew.got_all())
            anew.leave()


@scenario("R141")
def wills(case: Case) -> None:
    topic = case.name("will")
    with Client(case, "heir") as heir:
        heir.connect()
        heir.subscribe(topic, 2)
        for version in VERSIONS:
            polite = Client(case, f"polite{version}", version, will=(topic, b"polite", 1, False))
            polite.connect()
            polite.leave()
            rude = Client(case, f"rude{version}", version, will=(topic, version.encode(), 1, False))
            rude.connect()
            rude.cut()
            case.saw(version, heir.got())


@scenario("R141")
def takeover(case: Case) -> None:
    first = Client(case, "same")
    case.saw("first", first.connect(SessionExpiryInterval=100))
    first.client.reconnect_delay_set(1000, 1000)
    with Client(case, "same", clean=False) as second:
        case.saw("second", second.connect(SessionExpiryInterval=100))
        case.saw("first ends", first.event())
        first.client.loop_stop()


@scenario("R141")
def properties_of_messages(case: Case) -> None:
    topic = case.name("p")
    with Client(case, "reader") as reader, Client(case, "writer") as writer:
        reader.connect()
        writer.connect()
        reader.subscribe(topic, 1, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=7))
        writer.publish(
            topic,
            b"body",
            PayloadFormatIndicator=1,
            ContentType="text/plain",
            ResponseTopic="answers",
            CorrelationData=b"\x01\x02",
            UserProperty=[("a", "1"), ("a", "2")],
            MessageExpiryInterval=1000,
        )
        case.saw("properties", sorted(reader.message().properties.json().items()))


@scenario("R141")
def topic_alias(case: Case) -> None:
    topic = case.name("alias")
    with Client(case, "a") as client:
        client.connect()
        client.subscribe(topic, 0)
        client.publish(topic, b"1", 0, TopicAlias=3)
        client.publish("", b"2", 0, TopicAlias=3)
        case.saw("got", client.got(), client.got())


@scenario("R141")
def shared_subscriptions(case: Case) -> None:
    topic = case.name("jobs")
    with Client(case, "m1") as one, Client(case, "m2") as two, Client(case, "writer") as writer:
        for each in (one, two, writer):
            each.connect()
        case.saw("subscribed", one.subscribe(f"$share/g/{topic}", 1), two.subscribe(f"$share/g/{topic}", 1))
        for number in range(10):
            writer.publish(topic, b"%d" % number)
        found = [each.got()[1] for each in (one, two) for _ in range(5)]
        case.saw("all of them, half each", sorted(found))


@scenario("R141")
def no_local(case: Case) -> None:
    topic = case.name("own")
    with Client(case, "own") as own, Client(case, "other") as other:
        own.connect()
        other.connect()
        own.subscribe(topic, options=SubscribeOptions(1, noLocal=True))
        own.publish(topic, b"mine")
        other.publish(topic, b"theirs")
        case.saw("got", own.got())
        case.saw("all", own.got_all())


@scenario("R141")
def unsubscribing(case: Case) -> None:
    topic = case.name("u")
    for version in VERSIONS:
        with Client(case, f"a{version}", version) as client:
            client.connect()
            client.subscribe(topic, 1)
            case.saw(version, client.unsubscribe(topic), client.unsubscribe(topic))
            client.publish(topic)
            case.saw("all", client.got_all())


@scenario("R141")
def bodies(case: Case) -> None:
    topic = case.name("b")
    with Client(case, "a", "3.1.1") as client:
        client.connect()
        client.subscribe(topic, 2)
        for size in (0, 1, 127, 128, 16_384, 2_097_152):
            body = bytes(size)
            client.publish(topic, body, 2)
            case.saw("size", size, client.got()[1] == body)
