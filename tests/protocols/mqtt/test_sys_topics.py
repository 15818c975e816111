"""What the broker says of itself below `$SYS`, beside what Mosquitto says there."""

from __future__ import annotations

import re

import pytest

from bench.messaging_peers import Mosquitto
from pillarbox import Broker, __version__
from pillarbox.clock import ManualClock
from pillarbox.protocols.mqtt.packets import Answer, Publish, Will
from pillarbox.protocols.mqtt.reasons import ReasonCode
from pillarbox.protocols.mqtt.sys_topics import LOADS, MINUTES, VALUES
from tests.protocols.mqtt.conftest import Talk
from tests.protocols.mqtt.talker import PUBACK, Talker

COUNT = len(VALUES) + len(LOADS) * len(MINUTES)


def all_values(talker: Talker, count: int = COUNT) -> dict[str, str]:
    """What a new subscriber is told."""
    found = {}
    for _ in range(count):
        message = talker.receive()
        assert message.flags & 1
        found[message.fields["topic"]] = message.fields["payload"].decode()
    return found


@pytest.mark.row("A64")
def test_a_subscriber_is_told_all_values_at_once(talk: Talk, clock: ManualClock) -> None:
    writer = talk("writer")
    writer.publish("a/1", b"12345", qos=1, retain=True)
    writer.publish("a/2", b"1", qos=1)
    talk("gone", session_expiry_interval=100).leave()
    clock.advance("61s")
    reader = talk("reader")
    assert reader.subscribe("a/2", "$share/group/a/3") == [2, 2]
    reader.subscribe("$SYS/#")
    found = all_values(reader)
    assert reader.hears_nothing()
    assert len(found) == COUNT
    broker = {topic.removeprefix("$SYS/broker/"): text for topic, text in found.items()}
    expected = {
        "version": f"pillarbox version {__version__}",
        "uptime": "61 seconds",
        "clients/connected": "2",
        "clients/disconnected": "1",
        "clients/total": "3",
        "clients/maximum": "2",
        "subscriptions/count": "3",
        "shared_subscriptions/count": "1",
        "retained messages/count": "1",
        # CONNECT and two PUBLISH; CONNECT and DISCONNECT; CONNECT and SUBSCRIBE twice.
        "messages/received": "8",
        # Three CONNACK, two PUBACK, a SUBACK: the other is not sent yet.
        "messages/sent": "6",
        "publish/messages/received": "2",
        "publish/messages/sent": "0",
        "publish/bytes/received": "6",
    }
    assert {topic: broker[topic] for topic in expected} == expected
    assert float(broker["load/publish/received/1min"]) > float(broker["load/publish/received/15min"]) > 0


def test_what_has_changed_is_told_every_interval(talk: Talk, clock: ManualClock) -> None:
    reader = talk("reader")
    reader.subscribe("$SYS/broker/uptime", "$SYS/broker/version", "$SYS/broker/clients/+", qos=0)
    all_values(reader, 9)
    clock.advance("9s")
    assert reader.hears_nothing()
    clock.advance("1s")
    assert reader.got() == ("$SYS/broker/uptime", b"10 seconds", 0)
    talk("other")
    clock.advance("10s")
    messages = [reader.receive() for _ in range(5)]
    assert not any(one.flags & 1 for one in messages)
    assert {one.fields["topic"]: one.fields["payload"] for one in messages} == {
        "$SYS/broker/uptime": b"20 seconds",
        **{f"$SYS/broker/clients/{name}": b"2" for name in ("active", "connected", "maximum", "total")},
    }
    assert reader.hears_nothing()


def test_nothing_is_worked_out_for_nobody(talk: Talk, broker: Broker, clock: ManualClock) -> None:
    """Also when those have gone, or want no more of it; who is away has nothing waiting."""
    sys_topics = broker.call(lambda server: server.spoken["mqtt"]._connect.__self__.sys_topics)
    reader = talk("reader", session_expiry_interval=1000)
    reader.subscribe("#", "+/broker/uptime")
    assert not sys_topics._timed
    reader.subscribe("$SYS/broker/uptime")
    assert reader.got()[0] == "$SYS/broker/uptime"
    assert sys_topics._timed
    reader.unsubscribe("$SYS/broker/uptime")
    clock.advance("10s")
    assert reader.hears_nothing()
    assert not sys_topics._timed
    reader.subscribe("$SYS/broker/uptime")
    assert reader.got() == ("$SYS/broker/uptime", b"10 seconds", 2)
    reader.leave()
    clock.advance("30s")
    assert talk("other").hears_nothing()
    assert not sys_topics._timed
    back = talk(connected=False)
    assert back.connect("reader", clean=False, session_expiry_interval=1000).fields["session_present"]
    assert back.hears_nothing()
    clock.advance("10s")
    assert back.got() == ("$SYS/broker/uptime", b"50 seconds", 2)


def test_wildcards_at_the_beginning_do_not_take_it(talk: Talk, clock: ManualClock) -> None:
    talk("other").subscribe("$SYS/#", qos=0)
    reader = talk("reader")
    reader.subscribe("#", "+/broker/+")
    clock.advance("10s")
    assert reader.hears_nothing()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_clients_may_not_publish_there(talk: Talk, qos: int) -> None:
    writer = talk("writer")
    writer.say(Publish(topic="$SYS/broker/uptime", payload=b"x", qos=qos, packet_id=1 if qos else 0))
    answer = writer.hear()
    assert answer.fields["reason"] == ReasonCode.NOT_AUTHORIZED
    old = talk("old", version=4)
    old.say(Publish(topic="$SYS/x", payload=b"x", qos=qos, packet_id=1 if qos else 0, retain=True))
    assert old.is_closed()


def test_wills_may_not_either(talk: Talk) -> None:
    reader = talk("reader")
    reader.subscribe("$SYS/x")
    talk("a", will=Will(topic="$SYS/x", payload=b"x", qos=1, retain=True, properties={})).leave(4)
    assert reader.hears_nothing()
    other = talk("other")
    other.subscribe("$SYS/x")
    assert other.hears_nothing()


def test_there_may_be_none() -> None:
    with Broker(mqtt_port=0, mqtt_sys_interval_s=0) as broker:
        reader = Talker(broker.mqtt_port, 5)
        reader.connect("reader")
        assert reader.subscribe("$SYS/#") == [2]
        assert reader.hears_nothing()
        reader.cut()


def form(text: str) -> str:
    """A value without what differs from broker to broker, and from time to time."""
    return re.sub(r"\d+", "0", re.sub(r"^\w+ version [\d.]+$", "name version 0", text))


def test_topics_and_forms_are_those_of_mosquitto(talk: Talk) -> None:
    if reason := Mosquitto.missing():
        pytest.skip(reason)
    ours = talk("reader")
    ours.subscribe("$SYS/#", qos=0)
    found = {topic: form(text) for topic, text in all_values(ours).items()}
    with Mosquitto(config=("sys_interval 1",)) as peer:
        theirs = Talker(peer.port, 5)
        theirs.connect("reader")
        theirs.subscribe("$SYS/#", qos=1)
        shown: dict[str, str] = {}
        while not found.keys() <= shown.keys():
            message = theirs.receive()
            assert message.flags >> 1 & 3 == 1
            shown[message.fields["topic"]] = form(message.fields["payload"].decode())
        theirs.cut()
    assert found == {topic: shown[topic] for topic in found}


def test_quality_is_what_was_asked_for(talk: Talk) -> None:
    for qos in (0, 1, 2):
        reader = talk(f"reader{qos}")
        reader.subscribe("$SYS/broker/version", qos=qos)
        assert reader.got() == ("$SYS/broker/version", f"pillarbox version {__version__}".encode(), qos)


def test_what_was_answered_is_settled(talk: Talk, broker: Broker) -> None:
    reader = talk("reader")
    reader.subscribe("$SYS/broker/version", qos=1)
    message = reader.hear()
    reader.say(Answer(PUBACK, message.fields["packet_id"]))
    assert reader.hears_nothing()
    (queue,) = broker.call(lambda server: list(server.core.vhosts["/"].queues.values()))
    assert (queue.ready_count, queue.unacked_count) == (0, 0)


def test_what_was_not_sent_is_not_counted(talk: Talk) -> None:
    """Messages that are too large for their receiver."""
    small = talk("small", maximum_packet_size=50)
    small.subscribe("a", qos=1)
    writer = talk("writer")
    writer.publish("a", bytes(100), qos=1)
    writer.publish("a", bytes(10), qos=1)
    assert small.got() == ("a", bytes(10), 1)
    reader = talk("reader")
    reader.subscribe("$SYS/broker/publish/+/+")
    values = all_values(reader, 4)
    assert values == {
        "$SYS/broker/publish/messages/received": "2",
        "$SYS/broker/publish/messages/sent": "1",
        "$SYS/broker/publish/bytes/received": "110",
        "$SYS/broker/publish/bytes/sent": "10",
    }
