"""What is published and who gets it, over sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox import Broker
from pillarbox.app.server import Server
from pillarbox.broker.administration import put_vhost
from pillarbox.broker.auth import Permission
from pillarbox.broker.policy import Policy
from pillarbox.clock import ManualClock
from pillarbox.protocols.mqtt.packets import (
    FILTERS_MAX,
    Answer,
    Disconnect,
    PingRequest,
    Publish,
    Subscribe,
    Subscription,
)
from pillarbox.protocols.mqtt.reasons import ReasonCode
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.conftest import Talk
from tests.protocols.mqtt.talker import PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Talker

KEPT = {"clean": False, "session_expiry_interval": 1000}


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_the_lower_quality_counts(talk: Talk, version: int, published: int, granted: int) -> None:
    reader, writer = talk("reader", version=version), talk("writer", version=version)
    assert reader.subscribe("a/+", qos=granted) == [granted]
    for number in range(3):
        writer.publish("a/b", b"%d" % number, qos=published)
    quality = min(published, granted)
    assert [reader.got() for _ in range(3)] == [("a/b", b"%d" % number, quality) for number in range(3)]
    assert reader.hears_nothing()


@pytest.mark.row("R141", "A64")
def test_nothing_comes_after_unsubscribe(talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("a/#", "b")
    assert talker.unsubscribe("a/#", "never") == [0, ReasonCode.NO_SUBSCRIPTION_EXISTED]
    talker.publish("a/1", qos=1)
    talker.publish("b", qos=1)
    assert talker.got()[0] == "b"
    assert talker.hears_nothing()


def test_an_asterisk_in_a_filter_is_no_wildcard(talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("a/*", "a/+/c")
    talker.publish("a/b", qos=1)
    assert talker.hears_nothing()
    talker.publish("a/*", qos=1)
    assert talker.got()[0] == "a/*"
    talker.subscribe("x/+", "x/*")
    talker.unsubscribe("x/*")
    talker.publish("x/y", qos=1)
    assert talker.got()[0] == "x/y"


@pytest.mark.parametrize(("filter_", "topic"), [("#", "$other/a"), ("+/a", "$other/a"), ("x/*", "x/y")])
def test_a_shared_subscription_takes_no_more_than_its_filter(talk: Talk, filter_: str, topic: str) -> None:
    """[MQTT-4.7.2-1]: the exchange of topics takes an asterisk for a wildcard, and a dollar for nothing."""
    member = talk("member")
    assert member.subscribe(f"$share/g/{filter_}") == [2]
    member.publish(topic, b"not this", qos=1)
    taken = {"#": "any", "+/a": "b/a", "x/*": "x/*"}[filter_]
    member.publish(taken, b"this", qos=1)
    assert member.got() == (taken, b"this", 1)
    assert member.hears_nothing()


def test_what_begins_nearly_like_a_shared_subscription_is_none(talk: Talk) -> None:
    for filter_ in ("$share", "$shared/a"):
        talker = talk("a", **KEPT)
        assert talker.subscribe(filter_, qos=1) == [1]
        talker.publish(filter_, qos=1)
        assert talker.got()[0] == filter_
        talker.leave()


def test_wildcards_do_not_take_what_begins_with_a_dollar(talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("#", "$mine/#")
    talker.publish("$other/a", qos=1)
    talker.publish("$mine/a", qos=1)
    assert talker.got()[0] == "$mine/a"
    assert talker.hears_nothing()


@pytest.mark.row("R141", "A64")
def test_a_message_that_several_filters_take_comes_once_with_all_their_identifiers(talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("a/#", qos=0, identifier=7)
    talker.subscribe("a/+", qos=1, identifier=9)
    talker.publish("a/b", qos=2)
    message = talker.receive()
    assert message.flags >> 1 == 1
    assert sorted(message.fields["properties"]["subscription_identifier"]) == [7, 9]
    assert talker.hears_nothing()


@pytest.mark.row("R141", "A64")
def test_properties_go_on_to_the_receiver_as_they_are(talk: Talk) -> None:
    reader, writer = talk("reader"), talk("writer")
    reader.subscribe("a")
    said = {
        "payload_format_indicator": 1,
        "content_type": "text/plain",
        "response_topic": "answers/1",
        "correlation_data": b"\x00\xff",
        "user_property": [("a", "1"), ("a", "2"), ("", "")],
    }
    writer.publish("a", qos=1, **said)
    assert reader.receive().fields["properties"] == said


@pytest.mark.row("R141", "A64")
def test_a_topic_alias_stands_for_its_topic(talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("#", qos=0)
    talker.publish("a/1", b"1", topic_alias=1)
    talker.publish("", b"2", topic_alias=1)
    talker.publish("a/2", b"3", topic_alias=1)
    talker.publish("", b"4", topic_alias=1)
    assert [talker.got()[:2] for _ in range(4)] == [
        ("a/1", b"1"), ("a/1", b"2"), ("a/2", b"3"), ("a/2", b"4"),
    ]  # fmt: skip


def test_a_client_may_keep_its_own_messages_out(talk: Talk) -> None:
    own, other = talk("own"), talk("other")
    own.subscribe("a", no_local=True)
    own.publish("a", b"mine", qos=1)
    other.publish("a", b"theirs", qos=1)
    assert own.got() == ("a", b"theirs", 1)
    assert own.hears_nothing()


@pytest.mark.row("R141", "A64")
def test_a_message_whose_time_is_over_is_not_sent_and_another_says_what_is_left(
    broker: Broker, talk: Talk
) -> None:
    reader, writer = talk("reader", **KEPT), talk("writer")
    reader.subscribe("a")
    reader.leave()
    writer.publish("a", b"short", qos=1, message_expiry_interval=10)
    writer.publish("a", b"long", qos=1, message_expiry_interval=100)
    broker.advance("30s")
    back = talk("reader", **KEPT)
    message = back.receive()
    assert message.fields["payload"] == b"long"
    assert message.fields["properties"]["message_expiry_interval"] == 70
    assert back.hears_nothing()


def test_a_clock_that_is_set_back_gives_nobody_more_time_than_can_be_told(
    broker: Broker, clock: ManualClock, talk: Talk
) -> None:
    longest = 0xFFFFFFFF
    reader = talk("reader", **KEPT)
    reader.subscribe("a")
    reader.leave()
    talk("writer").publish("a", qos=1, message_expiry_interval=longest)
    clock.advance(-5000)
    message = talk("reader", **KEPT).receive()
    assert message.fields["properties"] == {"message_expiry_interval": longest}


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_is_under_way_than_the_client_takes(talk: Talk, qos: int) -> None:
    reader, writer = talk("reader", receive_maximum=2), talk("writer")
    reader.subscribe("a")
    for number in range(4):
        writer.publish("a", b"%d" % number, qos=qos)
    first, second = reader.hear(), reader.hear()
    assert reader.hears_nothing()
    assert (first.fields["payload"], second.fields["payload"]) == (b"0", b"1")
    packet_id = first.fields["packet_id"]
    if qos == 2:
        # It is under way until PUBCOMP has come (4.9).
        reader.say(Answer(PUBREC, packet_id))
        assert reader.answered(PUBREL) == packet_id
        assert reader.hears_nothing()
    reader.say(Answer(PUBACK if qos == 1 else PUBCOMP, packet_id))
    assert reader.hear().fields["payload"] == b"2"
    assert reader.hears_nothing()


def test_a_message_that_is_refused_is_under_way_no_more(talk: Talk) -> None:
    reader, writer = talk("reader", receive_maximum=1), talk("writer")
    reader.subscribe("a")
    for number in range(2):
        writer.publish("a", b"%d" % number, qos=2)
    reader.say(Answer(PUBREC, reader.hear().fields["packet_id"], ReasonCode.UNSPECIFIED))
    assert reader.got() == ("a", b"1", 2)


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [4, 5])
def test_exchanges_that_no_client_completes_do_not_use_up_the_identifiers(talk: Talk, version: int) -> None:
    """Whatever it does, and how often it comes: then there would be none for the next message."""
    writer = talk("writer")
    kept = {"session_expiry_interval": 1000, "receive_maximum": 4} if version == 5 else {}
    count = 4 if version == 5 else 1000
    reader = talk("reader", version=version, clean=False, **kept)
    reader.subscribe("a")
    for number in range(2 * count):
        writer.say(Publish(topic="a", payload=b"%d" % number, qos=2, packet_id=number + 1))
    sent = [reader.hear() for _ in range(count)]
    assert [one.fields["payload"] for one in sent] == [b"%d" % number for number in range(count)]
    reader.write(b"".join([peer.encode(Answer(PUBREC, one.fields["packet_id"]), version) for one in sent]))
    released = [reader.answered(PUBREL) for _ in sent]
    assert reader.hears_nothing()
    reader.cut()
    back = talk("reader", version=version, clean=False, **kept)
    assert [back.answered(PUBREL) for _ in sent] == released
    assert back.hears_nothing()
    for packet_id in released[:2]:
        back.say(Answer(PUBCOMP, packet_id))
    assert [back.got()[1] for _ in range(3)] == [b"%d" % number for number in range(count, count + 3)]


@pytest.mark.parametrize("qos", [0, 1])
def test_what_is_too_large_for_a_client_is_not_there_for_it(talk: Talk, qos: int) -> None:
    reader, writer = talk("reader", maximum_packet_size=100), talk("writer")
    reader.subscribe("a", qos=qos)
    # First byte, size, topic with its size, identifier, size of the properties.
    before = 1 + 1 + 3 + 2 * qos + 1
    for size in (200, 101 - before, 100 - before, 5):
        writer.publish("a", bytes(size), qos=qos)
    assert [len(reader.got()[1]) for _ in range(2)] == [100 - before, 5]
    assert reader.hears_nothing()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 70_000, 1_000_000])
def test_bodies_of_any_size(talk: Talk, size: int) -> None:
    talker = talk("a")
    talker.subscribe("a")
    body = bytes(index % 251 for index in range(size))
    talker.publish("a", body, qos=1)
    assert talker.got() == ("a", body, 1)


@pytest.mark.row("R141", "A64")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_many_messages_in_one_write_come_as_they_were_sent(talk: Talk, data: st.DataObject) -> None:
    """What is taken and given many at a time, against the plain meaning of it: all of them, in order."""
    version = data.draw(st.sampled_from((4, 5)))
    writer, reader = talk("w", version=version), talk("r", version=version)
    reader.subscribe("a/#", qos=data.draw(st.sampled_from((0, 1))))
    granted = reader.subscribe("b", qos=1)[0]
    assert granted == 1
    said = []
    for number in range(data.draw(st.integers(1, 25))):
        topic = data.draw(st.sampled_from(("a/1", "a/2", "b", "c")))
        more = {"content_type": "x"} if version == 5 and data.draw(st.booleans()) else {}
        qos = data.draw(st.integers(0, 1))
        payload = b"%d" % number * data.draw(st.integers(0, 3))
        said.append(
            Publish(
                topic=topic, payload=payload, qos=qos, packet_id=number + 1 if qos else 0, properties=more
            )
        )
    writer.write(b"".join(peer.encode(packet, version) for packet in said))
    answers = [packet.packet_id for packet in said if packet.qos]
    assert [writer.answered(PUBACK) for _ in answers] == answers
    wanted = [packet for packet in said if packet.topic != "c"]
    got = [reader.receive() for _ in wanted]
    assert [(one.fields["topic"], one.fields["payload"]) for one in got] == [
        (packet.topic, packet.payload) for packet in wanted
    ]
    assert [one.fields.get("properties", {}) for one in got] == [packet.properties for packet in wanted]
    assert reader.hears_nothing()


# --- quality of service 2 --------------------------------------------------------------------------------


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [3, 4, 5])
def test_what_is_sent_twice_before_its_release_is_there_once(talk: Talk, version: int) -> None:
    reader, writer = talk("reader", version=version), talk("writer", version=version)
    reader.subscribe("a")
    message = Publish(topic="a", payload=b"once", qos=2, packet_id=5)
    for _ in range(3):
        writer.say(message)
        assert writer.answered(PUBREC) == 5
    writer.say(Answer(PUBREL, 5))
    assert writer.answered(PUBCOMP) == 5
    assert reader.got() == ("a", b"once", 2)
    assert reader.hears_nothing()
    writer.say(message)
    assert writer.answered(PUBREC) == 5
    assert reader.got() == ("a", b"once", 2)


@pytest.mark.row("R141", "A64")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_many_exchanges_in_one_write_are_each_seen_through_once(
    broker: Broker, talk: Talk, data: st.DataObject
) -> None:
    """Some messages come twice, in one write or in two, and answers in any order."""
    version, granted = data.draw(st.sampled_from((4, 5))), data.draw(st.sampled_from((1, 2)))
    writer, reader = talk("w", version=version), talk("r", version=version)

    def write(talker: Talker, said: list[Publish] | list[Answer]) -> None:
        cut = data.draw(st.integers(0, len(said)))
        for part in (said[:cut], said[cut:]):
            talker.write(b"".join([peer.encode(packet, version) for packet in part]))

    reader.subscribe("a", qos=granted)
    writer.publish("a", b"seen before", qos=2)
    assert reader.got()[1] == b"seen before"
    ids = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=20))
    write(writer, [Publish(topic="a", payload=b"%d" % one, qos=2, packet_id=one) for one in ids])
    assert sorted(writer.answered(PUBREC) for _ in ids) == sorted(ids)
    wanted = list(dict.fromkeys(ids))
    got = [reader.hear() for _ in wanted]
    assert [one.fields["payload"] for one in got] == [b"%d" % one for one in wanted]
    order = data.draw(st.permutations([one.fields["packet_id"] for one in got]))
    write(reader, [Answer(PUBACK if granted == 1 else PUBREC, one) for one in [*order, order[0]]])
    if granted == 2:
        assert [reader.answered(PUBREL) for _ in [*order, order[0]]] == [*order, order[0]]
        write(reader, [Answer(PUBCOMP, one) for one in order])
    write(writer, [Answer(PUBREL, one) for one in wanted])
    assert [writer.answered(PUBCOMP) for _ in wanted] == wanted
    assert reader.hears_nothing()
    queues = broker.call(lambda server: list(server.core.vhosts["/"].queues.values()))
    assert sum(queue.unacked_count + queue.ready_count for queue in queues) == 0


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [4, 5])
def test_an_exchange_goes_on_where_it_was_after_a_restart(tmp_path: Path, version: int) -> None:
    """The broker ends after each step; nobody sees anything twice (4.4)."""
    reader_says = {"session_expiry_interval": 1000} if version == 5 else {}

    def meet(broker: Broker, client_id: str) -> Talker:
        talker = Talker(broker.mqtt_port, version)
        talker.connect(client_id, clean=False, **reader_says)
        return talker

    with Broker(str(tmp_path), mqtt_port=0) as broker:
        reader, writer = meet(broker, "reader"), meet(broker, "writer")
        reader.subscribe("a")
        writer.say(Publish(topic="a", payload=b"once", qos=2, packet_id=5))
        assert writer.answered(PUBREC) == 5
        first = reader.hear()
        assert (first.kind, first.flags, first.fields["payload"]) == (PUBLISH, 4, b"once")
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        reader, writer = meet(broker, "reader"), meet(broker, "writer")
        writer.say(Publish(topic="a", payload=b"once", qos=2, packet_id=5, duplicate=True))
        assert writer.answered(PUBREC) == 5
        again = reader.hear()
        assert (again.flags, again.fields) == (12, first.fields)
        reader.say(Answer(PUBREC, again.fields["packet_id"]))
        assert reader.answered(PUBREL) == again.fields["packet_id"]
        assert reader.hears_nothing()
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        reader, writer = meet(broker, "reader"), meet(broker, "writer")
        assert reader.answered(PUBREL) == first.fields["packet_id"]
        reader.say(Answer(PUBCOMP, first.fields["packet_id"]))
        writer.say(Answer(PUBREL, 5))
        assert writer.answered(PUBCOMP) == 5
        assert reader.hears_nothing()
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        reader, writer = meet(broker, "reader"), meet(broker, "writer")
        assert reader.hears_nothing()
        writer.say(Publish(topic="a", payload=b"new", qos=2, packet_id=5))
        assert writer.answered(PUBREC) == 5
        assert reader.got() == ("a", b"new", 2)
        kept = broker.call(lambda server: [key for key, _ in server.core.kept('["mqtt","re')])
        assert kept == ['["mqtt","received","/","writer",5]']


# --- sessions --------------------------------------------------------------------------------------------


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_session_waits_for_its_client_over_a_restart(tmp_path: Path, version: int) -> None:
    kept = {"session_expiry_interval": 1000} if version == 5 else {}
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        reader = Talker(broker.mqtt_port, version)
        assert reader.connect("reader", clean=False, **kept).fields["session_present"] == 0
        reader.subscribe("a/+", qos=1)
        reader.leave()
        writer = Talker(broker.mqtt_port, version)
        writer.connect("writer")
        for number in range(3):
            writer.publish("a/b", b"%d" % number, qos=1)
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        reader = Talker(broker.mqtt_port, version)
        assert reader.connect("reader", clean=False, **kept).fields["session_present"] == (version > 3)
        assert [reader.got() for _ in range(3)] == [("a/b", b"%d" % number, 1) for number in range(3)]
        reader.publish("a/c", qos=1)
        assert reader.got()[0] == "a/c"


@pytest.mark.row("R141", "A64")
def test_who_wants_to_begin_anew_finds_nothing(talk: Talk) -> None:
    talk_kept = talk("a", **KEPT)
    talk_kept.subscribe("a")
    talk_kept.leave()
    talk("b").publish("a", qos=1)
    again = talk(connected=False)
    assert again.connect("a", clean=True).fields["session_present"] == 0
    assert again.hears_nothing()


@pytest.mark.row("R141", "A64")
def test_a_session_ends_when_its_time_is_over_and_its_queue_with_it(broker: Broker, talk: Talk) -> None:
    for client_id, expiry_s in (("short", 60), ("long", 600)):
        talker = talk(client_id, clean=False, session_expiry_interval=expiry_s)
        talker.subscribe("a", "$share/group/b")
        talker.leave()

    def queues() -> set[str]:
        return set(broker.call(lambda server: list(server.core.vhosts["/"].queues)))

    both = {"mqtt-subscription-shortqos1", "mqtt-subscription-longqos1", "mqtt-shared-group/b"}
    assert queues() == both
    broker.advance("61s")
    assert queues() == both - {"mqtt-subscription-shortqos1"}
    broker.advance("600s")
    assert queues() == set()
    assert broker.call(lambda server: list(server.core.kept("["))) == []


def test_a_client_may_change_how_long_its_session_lives_when_it_leaves(talk: Talk) -> None:
    for expiry_s, present in ((0, 0), (100, 1)):
        talker = talk("a", clean=True, session_expiry_interval=50)
        talker.subscribe("a")
        talker.leave(session_expiry_interval=expiry_s)
        back = talk(connected=False)
        assert back.connect("a", clean=False).fields["session_present"] == present
        back.leave()


def test_sessions_live_no_longer_than_the_operator_wants(clock: ManualClock) -> None:
    with Broker(mqtt_port=0, mqtt_session_expiry_max_s=50, clock=clock) as limited:
        for said in ({}, {"session_expiry_interval": 0xFFFFFFFF}):
            talker = Talker(limited.mqtt_port, 5)
            answer = talker.connect("a", session_expiry_interval=100)
            assert answer.fields["properties"]["session_expiry_interval"] == 50
            talker.leave(**said)
            limited.advance("51s")
            back = Talker(limited.mqtt_port, 5)
            assert back.connect("a", clean=False).fields["session_present"] == 0
            back.leave()


def test_a_session_that_was_to_end_with_its_connection_does(talk: Talk) -> None:
    """Also if it had been kept before (3.14.2.2.2)."""
    talk("a", **KEPT).leave()
    talker = talk("a", clean=False)
    talker.say(Disconnect(0, {"session_expiry_interval": 100}))
    assert talker.hear().fields["reason"] == ReasonCode.PROTOCOL_ERROR
    assert talk(connected=False).connect("a", clean=False).fields["session_present"] == 0


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("kept", [{}, KEPT])
def test_many_filters_in_one_packet_are_each_answered(talk: Talk, kept: dict[str, Any]) -> None:
    """In turns, so that nobody else waits for all of them; what comes behind the packet waits."""
    talker, other = talk("a", **kept), talk("other")
    filters = ["#" * 2 if number % 100 == 3 else f"t/{number}" for number in range(FILTERS_MAX)]
    said = Subscribe(9, [Subscription(one, 1) for one in filters], {})
    ping, there = peer.encode(PingRequest(), 5), Publish(topic="t/999", payload=b"x", qos=1, packet_id=1)
    talker.write(peer.encode(said, 5) + peer.encode(there, 5) + ping)
    for _ in range(5):
        assert other.hears_nothing()
    answer = talker.hear_answer()
    expected = [ReasonCode.TOPIC_FILTER_INVALID if one == "##" else 1 for one in filters]
    assert (answer.fields["packet_id"], answer.fields["reasons"]) == (9, expected)
    assert {talker.hear_answer().kind for _ in range(2)} == {PUBACK, PINGRESP}
    assert talker.got()[0] == "t/999"
    assert talker.unsubscribe(*filters) == [17 if one == "##" else 0 for one in filters]
    talker.publish("t/999", qos=1)
    assert talker.hears_nothing()


def test_a_filter_that_ends_the_connection_does_so_also_behind_others(talk: Talk) -> None:
    talker = talk("a")
    rows = [Subscription(f"t/{number}", 1) for number in range(60)] + [Subscription("$share/g/t", 1, True)]
    talker.say(Subscribe(9, rows, {}))
    assert talker.hear_answer().fields["reason"] == ReasonCode.PROTOCOL_ERROR
    assert talker.is_closed()
    gone = talk("b")
    gone.say(Subscribe(9, rows, {}))
    gone.cut()
    assert talk("c").hears_nothing()


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("filter_", ["a", "$share/g/a"])
def test_a_session_whose_queue_is_gone_begins_anew(
    broker: Broker, talk: Talk, version: int, filter_: str
) -> None:
    """It has expired, or an operator has deleted it: its client comes back all the same, and is told."""
    kept = {"clean": False, **({"session_expiry_interval": 1000} if version == 5 else {})}
    talker = talk("a", version=version, **kept)
    talker.subscribe(filter_, qos=1)

    def delete(server: Server) -> None:
        host = server.core.vhosts["/"]
        for queue in list(host.queues.values()):
            host.remove_queue(queue)

    for is_connected in (True, False):
        if not is_connected:
            talker.leave()
        broker.call(delete)
        if is_connected and version == 5:
            assert talker.hear().fields["reason"] == ReasonCode.ADMINISTRATIVE_ACTION
        assert talker.is_closed() or not is_connected
        talker = talk(connected=False, version=version)
        assert talker.connect("a", **kept).fields["session_present"] == 0
        talker.subscribe(filter_, qos=1)
        talker.publish("a", b"again", qos=1)
        assert talker.got() == ("a", b"again", 1)


@pytest.mark.row("R56", "R141")
def test_a_session_whose_queue_a_policy_let_expire_begins_anew(broker: Broker, talk: Talk) -> None:
    policy = Policy("/", "p", "^mqtt-subscription-", {"expires": 60_000}, 0, "queues")
    broker.call(lambda server: server.core.vhosts["/"].put_policy(policy))
    talker = talk("a", **KEPT)
    talker.subscribe("a")
    talker.leave()
    broker.advance("61s")
    back = talk(connected=False)
    assert back.connect("a", **KEPT).fields["session_present"] == 0
    assert back.hears_nothing()


@pytest.mark.row("R141")
@pytest.mark.parametrize("kind", ["quorum", "stream"])
@pytest.mark.parametrize("filter_", ["a", "$share/g/a"])
def test_what_queues_usually_are_is_no_matter_of_sessions(
    broker: Broker, talk: Talk, kind: str, filter_: str
) -> None:
    """The virtual host says what a queue is of which nobody says it."""
    talker = talk("a", **KEPT)
    talker.subscribe(filter_, "b")
    broker.call(lambda server: put_vhost(server.core, "/", default_queue_type=kind))
    for client_id in ("a", "new"):
        talker = talk(client_id, **KEPT)
        assert talker.subscribe(filter_, "b") == [2, 2]
        talker.publish("b", qos=1)
        assert talker.got()[0] == "b"


# --- retained messages -------------------------------------------------------------------------------------


@pytest.mark.row("R141", "A64")
def test_a_new_subscriber_is_told_what_was_retained(talk: Talk) -> None:
    writer = talk("writer")
    for topic in ("a/1", "a/2", "b/1", "$c/1"):
        writer.publish(topic, topic.encode(), qos=1, retain=True, content_type="x")
    writer.publish("a/1", b"newest", qos=1, retain=True)
    writer.publish("a/2", b"", qos=1, retain=True)
    reader = talk("reader")
    reader.subscribe("+/1")
    found = {}
    for _ in range(2):
        message = reader.receive()
        assert message.flags & 1
        found[message.fields["topic"]] = message.fields["payload"]
    assert found == {"a/1": b"newest", "b/1": b"b/1"}
    assert reader.hears_nothing()
    writer.publish("a/1", b"live", qos=1, retain=True)
    live = reader.receive()
    assert (live.fields["payload"], live.flags & 1) == (b"live", 0)


@pytest.mark.parametrize(("handling", "counts"), [(0, [1, 1]), (1, [1, 0]), (2, [0, 0])])
def test_a_subscriber_says_when_it_wants_to_be_told(talk: Talk, handling: int, counts: list[int]) -> None:
    talker = talk("a")
    talker.publish("t", b"kept", qos=1, retain=True)
    for count in counts:
        talker.subscribe("t", qos=0, retain_handling=handling)
        for _ in range(count):
            assert talker.got() == ("t", b"kept", 0)
        assert talker.hears_nothing()


def test_a_subscriber_may_see_that_a_message_is_to_be_retained(talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("t", retain_as_published=True)
    talker.publish("t", qos=1, retain=True)
    assert talker.receive().flags & 1


def test_retained_messages_survive_a_restart_and_die_in_time(tmp_path: Path) -> None:
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        writer = Talker(broker.mqtt_port, 5)
        writer.connect("writer")
        writer.publish("a/short", b"1", qos=1, retain=True, message_expiry_interval=1)
        writer.publish("a/long", b"2", qos=0, retain=True, user_property=[("a", "b")])
        writer.publish("a/gone", b"3", qos=1, retain=True)
        writer.publish("a/gone", b"", qos=1, retain=True)
    with Broker(str(tmp_path), mqtt_port=0) as broker:
        # What is kept is read at the start: a client that had to wait for it would have others wait too.
        assert broker.server.spoken["mqtt"].is_loaded
        reader = Talker(broker.mqtt_port, 5)
        reader.connect("reader")
        reader.subscribe("a/long", "a/gone")
        message = reader.receive()
        assert (message.fields["payload"], message.flags) == (b"2", 1)
        assert message.fields["properties"] == {"user_property": [("a", "b")]}
        assert reader.hears_nothing()


def test_many_retained_messages_come_in_parts_and_all(talk: Talk) -> None:
    writer = talk("writer")
    for number in range(350):
        writer.publish(f"many/{number}", b"x", retain=True)
    reader = talk("reader")
    reader.subscribe("many/#", qos=0)
    assert {reader.got()[0] for _ in range(350)} == {f"many/{number}" for number in range(350)}


# --- shared subscriptions ----------------------------------------------------------------------------------


@pytest.mark.row("R141", "A64")
def test_a_group_shares_messages_and_others_get_them_all(talk: Talk) -> None:
    members = [talk(f"member{number}") for number in range(2)]
    for member in members:
        assert member.subscribe("$share/workers/jobs/+", identifier=3) == [2]
    other = talk("other")
    other.subscribe("jobs/#")
    writer = talk("writer")
    for number in range(6):
        writer.publish("jobs/a", b"%d" % number, qos=1)
    assert [other.got()[1] for _ in range(6)] == [b"%d" % number for number in range(6)]
    found = []
    for member in members:
        for _ in range(3):
            message = member.receive()
            assert message.fields["properties"]["subscription_identifier"] == [3]
            found.append(message.fields["payload"])
        assert member.hears_nothing()
    assert sorted(found) == [b"%d" % number for number in range(6)]


def test_what_a_member_has_not_answered_goes_to_another(talk: Talk) -> None:
    first, writer = talk("first"), talk("writer")
    first.subscribe("$share/g/t")
    writer.publish("t", b"x", qos=1)
    assert first.hear().fields["payload"] == b"x"
    second = talk("second")
    second.subscribe("$share/g/t")
    first.cut()
    message = second.receive()
    assert (message.fields["payload"], message.flags & 8) == (b"x", 8)


def test_groups_share_with_nobody_else_whatever_their_names(talk: Talk) -> None:
    """Names of groups have no slash, and a group `a-b` of `c` is none `a` of `b-c`."""
    one, other, writer = talk("one"), talk("other"), talk("writer")
    one.subscribe("$share/a/b-c")
    other.subscribe("$share/a-b/c")
    for topic in ("b-c", "c") * 5:
        writer.publish(topic, qos=1)
    for member, topic in ((one, "b-c"), (other, "c")):
        assert [member.got()[0] for _ in range(5)] == [topic] * 5
        assert member.hears_nothing()
    one.unsubscribe("$share/a/b-c")
    writer.publish("c", qos=1)
    assert other.got()[0] == "c"


def test_a_shared_queue_goes_with_its_last_member(broker: Broker, talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("$share/g/t")
    assert "mqtt-shared-g/t" in broker.call(lambda server: list(server.core.vhosts["/"].queues))
    talker.unsubscribe("$share/g/t")
    assert broker.call(lambda server: list(server.core.vhosts["/"].queues)) == []


# --- rights and limits -------------------------------------------------------------------------------------


def everything(talker: Talker) -> Iterator[peer.Received]:
    """All that the broker says before it closes."""
    with contextlib.suppress(EOFError, ConnectionResetError):
        while True:
            yield talker.hear()


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [3, 4, 5])
def test_who_may_not_write_or_read_is_told_as_the_version_can(
    broker: Broker, talk: Talk, version: int
) -> None:
    broker.call(lambda server: server.core.add_user("reader", "reader"))
    broker.call(lambda server: server.core.set_permission(Permission("reader", "/", "^$", "^$", ".*")))
    login = {"username": "reader", "password": b"reader"}
    talker = talk("a", version=version, **login)
    assert talker.subscribe("a", qos=1) == [ReasonCode.NOT_AUTHORIZED if version == 5 else 0x80]
    talker.say(Publish(topic="a", payload=b"x", qos=1, packet_id=9))
    if version == 5:
        answer = talker.hear()
        assert (answer.kind, answer.fields["packet_id"]) == (PUBACK, 9)
        assert answer.fields["reason"] == ReasonCode.NOT_AUTHORIZED
        assert talker.hears_nothing()
    else:
        assert talker.is_closed()


@pytest.mark.row("R90", "R141")
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("filter_", ["a", "$share/g/a"])
def test_who_may_not_read_the_queue_of_its_subscription_is_told(
    broker: Broker, talk: Talk, version: int, filter_: str
) -> None:
    """When it subscribes; and who might once and may not any more, when it comes back."""
    broker.call(lambda server: server.core.add_user("reader", "reader"))

    def permit(read: str) -> None:
        permission = Permission("reader", "/", ".*", ".*", read)
        broker.call(lambda server: server.core.set_permission(permission))

    refused = ReasonCode.NOT_AUTHORIZED if version == 5 else 0x80
    kept = {"clean": False, **({"session_expiry_interval": 1000} if version == 5 else {})}
    login = {"username": "reader", "password": b"reader", "version": version, **kept}
    permit(r"^amq\.topic$")
    talker = talk("a", **login)
    assert talker.subscribe(filter_, qos=1) == [refused]
    assert talker.hears_nothing()
    assert broker.call(lambda server: list(server.core.vhosts["/"].queues)) == []
    permit(".*")
    assert talker.subscribe(filter_, qos=1) == [1]
    talker.leave()
    permit(r"^amq\.topic$")
    back = talk("a", **login)
    if version == 5:
        assert back.hear().fields["reason"] == ReasonCode.NOT_AUTHORIZED
    assert back.is_closed()


@pytest.mark.row("R47", "R141")
@pytest.mark.parametrize("version", [4, 5])
def test_a_full_queue_is_no_matter_of_who_asks_for_no_answer(
    broker: Broker, talk: Talk, version: int
) -> None:
    """The first message to a topic, and one with properties, are as good as those that are alike."""
    other = talk("other", version=version)
    other.subscribe("a", qos=0)
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        channel.queue_bind("q", "amq.topic", "a")
        channel.basic_publish("amq.topic", "a", b"first")
        assert other.got()[1] == b"first"
        writer = talk("writer", version=version)
        more = {"content_type": "x"} if version == 5 else {}
        for _ in range(3):
            writer.publish("a", b"dropped there", **more)
            assert other.got()[1] == b"dropped there"
        assert writer.hears_nothing()
        said = [Publish(topic=topic, payload=b"", qos=1, packet_id=number)
                for number, topic in enumerate(("b", "a", "b"), 1)]  # fmt: skip
        writer.write(b"".join([peer.encode(packet, version) for packet in said]))
        if version == 5:
            answers = [writer.hear().fields for _ in said]
            assert [(one["packet_id"], one["reason"]) for one in answers] == [
                (1, 0), (2, ReasonCode.QUOTA_EXCEEDED), (3, 0),
            ]  # fmt: skip
        else:
            # The one that was refused is not answered, whatever becomes of those around it.
            heard = list(everything(writer))
            assert {one.fields["packet_id"] for one in heard} <= {1, 3}


@pytest.mark.row("R141", "A64")
def test_publishers_are_held_up_by_an_alarm_and_go_on_after_it(broker: Broker, talk: Talk) -> None:
    reader, writer = talk("reader"), talk("writer")
    reader.subscribe("a")
    broker.call(lambda server: server.core.set_alarm("memory", True))
    writer.say(Publish(topic="a", payload=b"held", qos=1, packet_id=1))
    assert reader.hears_nothing()
    broker.call(lambda server: server.core.set_alarm("memory", False))
    assert writer.answered(PUBACK) == 1
    assert reader.got()[1] == b"held"


@pytest.mark.row("R141", "A64")
def test_clients_of_amqp_and_mqtt_meet_on_the_topic_exchange(broker: Broker, talk: Talk) -> None:
    talker = talk("a")
    talker.subscribe("from/amqp", qos=1)
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.queue_bind("q", "amq.topic", "from.*")
        talker.publish("from/mqtt", b"to amqp", qos=1)
        method, _, body = channel.basic_get("q", auto_ack=True)
        assert (method.routing_key, body) == ("from.mqtt", b"to amqp")
        channel.basic_publish("amq.topic", "from.amqp", b"to mqtt", pika.BasicProperties(delivery_mode=2))
        assert talker.got() == ("from/amqp", b"to mqtt", 1)
