"""CONNECT, and how connections end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pillarbox import Broker
from pillarbox.app.server import Server
from pillarbox.broker.administration import put_global_parameter
from pillarbox.broker.auth import Permission
from pillarbox.protocols.mqtt.packets import (
    Answer,
    Auth,
    Connect,
    PingRequest,
    Publish,
    Subscribe,
    Subscription,
    Will,
)
from pillarbox.protocols.mqtt.reasons import ReasonCode
from tests.protocols.mqtt import peer
from tests.protocols.mqtt.conftest import Talk
from tests.protocols.mqtt.talker import CONNACK, DISCONNECT, PINGRESP, Talker

WILL = Will(topic="wills/a", payload=b"gone", qos=1, retain=False, properties={})

AGAIN = Connect(
    version=5,
    clean=True,
    keep_alive_s=0,
    client_id="b",
    will=None,
    username=None,
    password=None,
    properties={},
)


def hears_the_end(talker: Talker) -> int:
    """The reason that the broker gives before it closes."""
    said = talker.hear()
    assert said.kind == DISCONNECT, said
    assert talker.is_closed()
    reason: int = said.fields["reason"]
    return reason


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_client_connects_and_is_alive(talk: Talk, version: int) -> None:
    talker = talk(connected=False, version=version)
    answer = talker.connect("a")
    assert (answer.fields["session_present"], answer.fields["reason"]) == (0, 0)
    talker.say(PingRequest())
    assert talker.hear().kind == PINGRESP
    talker.leave()


@pytest.mark.row("R141", "A64")
def test_a_client_of_version_5_is_told_what_the_broker_can(talk: Talk) -> None:
    talker = talk(connected=False)
    properties = talker.connect("").fields["properties"]
    assert properties["assigned_client_identifier"].startswith("auto-")
    assert properties["maximum_packet_size"] == 134_217_728
    assert properties["topic_alias_maximum"] == 100


@pytest.mark.parametrize(("version", "reason"), [(4, 2), (5, 0)])
def test_a_session_that_is_kept_needs_a_name_before_version_5(talk: Talk, version: int, reason: int) -> None:
    talker = talk(connected=False, version=version)
    assert talker.connect("", clean=False).fields["reason"] == reason


@pytest.mark.parametrize(("version", "reason"), [(3, 2), (4, 2), (5, ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)])
def test_a_name_that_is_too_long_is_refused(talk: Talk, version: int, reason: int) -> None:
    talker = talk(connected=False, version=version)
    assert talker.connect("a" * 201).fields["reason"] == reason
    assert talker.is_closed()


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize(("version", "reason"), [(3, 4), (4, 4), (5, ReasonCode.BAD_USER_NAME_OR_PASSWORD)])
def test_a_wrong_password_is_refused(talk: Talk, version: int, reason: int) -> None:
    talker = talk(connected=False, version=version)
    assert talker.connect("a", username="guest", password=b"wrong").fields["reason"] == reason
    assert talker.is_closed()


@pytest.mark.row("R141", "A64")
def test_the_virtual_host_may_stand_before_the_user_name(broker: Broker, talk: Talk) -> None:
    broker.call(lambda server: server.core.add_vhost("other"))
    refused = talk(connected=False)
    answer = refused.connect("a", username="other:guest", password=b"guest")
    assert answer.fields["reason"] == ReasonCode.NOT_AUTHORIZED
    broker.call(lambda server: server.core.set_permission(Permission("guest", "other", ".*", ".*", ".*")))
    there = talk("a", username="other:guest", password=b"guest")
    here = talk("a", username="guest", password=b"guest")
    there.subscribe("t")
    here.publish("t", qos=1)
    assert there.hears_nothing()


@pytest.mark.row("R97")
@pytest.mark.parametrize("named", [True, False])
def test_port_may_say_which_virtual_host_it_is(broker: Broker, talk: Talk, named: bool) -> None:
    """`mqtt_port_to_vhost_mapping`; a virtual host before the name goes before it."""

    def prepare(server: Server) -> None:
        for vhost in ("shop", "other"):
            server.core.add_vhost(vhost)
            server.core.set_permission(Permission("guest", vhost, ".*", ".*", ".*"))
        ports = {str(broker.mqtt_port): "shop", "1": "other"}
        put_global_parameter(server.core, "mqtt_port_to_vhost_mapping", ports)

    def entered(server: Server) -> list[str]:
        return [session.vhost.name for session in server.core.sessions]

    broker.call(prepare)
    said = {"username": "guest", "password": b"guest"} if named else {}
    talk("a", **said)
    assert broker.call(entered) == ["shop"]
    talk("b", username="other:guest", password=b"guest")
    assert broker.call(entered) == ["shop", "other"]
    broker.call(lambda server: put_global_parameter(server.core, "mqtt_port_to_vhost_mapping", ["nonsense"]))
    talk("c", **said)
    assert broker.call(entered) == ["shop", "other", "/"]


@pytest.mark.parametrize("version", [4, 5])
def test_who_gives_no_name_is_nobody_where_that_is_so_set(version: int) -> None:
    with Broker(mqtt_port=0, mqtt_anonymous_user="none") as broker:
        talker = Talker(broker.mqtt_port, version)
        assert talker.connect("a").fields["reason"] == (
            ReasonCode.BAD_USER_NAME_OR_PASSWORD if version == 5 else 4
        )
        assert talker.is_closed()


def test_an_authentication_method_is_none_that_is_offered(talk: Talk) -> None:
    talker = talk(connected=False)
    answer = talker.connect("a", authentication_method="SCRAM-SHA-1")
    assert answer.fields["reason"] == ReasonCode.BAD_AUTHENTICATION_METHOD
    assert talker.is_closed()


@pytest.mark.parametrize(
    "data",
    [
        b"\xc0\x00",
        b"\x30\x03\x00\x01a",
        b"GET / HTTP/1.1\r\n\r\n",
        b"AMQP\x00\x00\x09\x01",
        b"\x10\xff\xff\xff\xff\x01",
        b"\x10\x80\x80\x10",
        bytes(64),
    ],
)
def test_strangers_are_shown_the_door(talk: Talk, data: bytes) -> None:
    talker = talk(connected=False)
    talker.write(data)
    assert talker.is_closed()


def test_a_version_that_nobody_knows_is_refused_in_the_oldest_words(talk: Talk) -> None:
    talker = talk(connected=False, version=4)
    talker.write(b"\x10\x0c\x00\x04MQTT\x06\x02\x00\x00\x00\x00")
    assert talker.hear().fields == {"session_present": 0, "reason": 1}
    assert talker.is_closed()


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (AGAIN, ReasonCode.PROTOCOL_ERROR),
        (Auth(0x18, {}), ReasonCode.PROTOCOL_ERROR),
        (Publish(topic="a/#", payload=b""), ReasonCode.TOPIC_NAME_INVALID),
        (Publish(topic="", payload=b""), ReasonCode.TOPIC_NAME_INVALID),
        (Publish(topic="", payload=b"", properties={"topic_alias": 1}), ReasonCode.PROTOCOL_ERROR),
        (Publish(topic="a", payload=b"", properties={"topic_alias": 101}), ReasonCode.TOPIC_ALIAS_INVALID),
        (Subscribe(1, [Subscription("$share/g/a", 1, True)], {}), ReasonCode.PROTOCOL_ERROR),
    ],
)  # fmt: skip
def test_what_is_not_allowed_ends_the_connection_with_the_reason(
    talk: Talk, packet: Publish, reason: ReasonCode
) -> None:
    talker = talk("a")
    talker.say(packet)
    assert hears_the_end(talker) == reason


def test_answers_to_nothing_are_no_fault(talk: Talk) -> None:
    talker = talk("a")
    for kind in (4, 7):
        talker.say(Answer(kind, 77))
    talker.say(Answer(6, 77))
    assert talker.hear().fields == {"packet_id": 77, "reason": ReasonCode.PACKET_IDENTIFIER_NOT_FOUND}
    talker.say(Answer(5, 77))
    assert talker.hear().fields == {"packet_id": 77, "reason": ReasonCode.PACKET_IDENTIFIER_NOT_FOUND}
    assert talker.hears_nothing()


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_it_makes_no_difference_how_the_bytes_arrive(talk: Talk, size: int) -> None:
    said = [
        replace(AGAIN, client_id="pieces"),
        Subscribe(1, [Subscription("a/#", 2), Subscription("b", 1)], {"subscription_identifier": [200]}),
        Publish(topic="a/1", payload=bytes(300), qos=1, packet_id=2, properties={"content_type": "x"}),
        Publish(topic="b", payload=b"", qos=0),
        PingRequest(),
    ]
    data = b"".join(peer.encode(packet, 5) for packet in said)
    talker = talk(connected=False)
    for at in range(0, len(data), size):
        talker.write(data[at : at + size])
    heard = sorted((talker.hear() for _ in range(6)), key=lambda packet: packet.kind)
    assert [packet.kind for packet in heard] == [2, 3, 3, 4, 9, 13]
    assert sorted(len(packet.fields["payload"]) for packet in heard if packet.kind == 3) == [0, 300]


@pytest.mark.row("R141", "A64")
def test_the_newest_connection_takes_the_session_over(talk: Talk) -> None:
    first = talk("a", session_expiry_interval=100)
    first.subscribe("t")
    second = talk(connected=False)
    answer = second.connect("a", clean=False, session_expiry_interval=100)
    assert answer.fields["session_present"] == 1
    assert hears_the_end(first) == ReasonCode.SESSION_TAKEN_OVER
    second.publish("t", b"still mine", qos=1)
    assert second.got() == ("t", b"still mine", 1)


@pytest.mark.row("R141", "A64")
def test_a_silent_client_is_gone_after_one_and_a_half_times_its_keep_alive(
    broker: Broker, talk: Talk
) -> None:
    heir = talk("heir")
    heir.subscribe("wills/#")
    silent = talk("silent", keep_alive_s=10, will=WILL)
    broker.advance("14s")
    assert silent.hears_nothing()
    broker.advance("14s")
    assert silent.hears_nothing()
    broker.advance("16s")
    assert hears_the_end(silent) == ReasonCode.KEEP_ALIVE_TIMEOUT
    assert heir.got() == ("wills/a", b"gone", 1)


def test_who_never_says_connect_is_shown_the_door(broker: Broker, talk: Talk) -> None:
    talker = talk(connected=False)
    talker.write(b"\x10")
    broker.advance("11s")
    assert talker.is_closed()


# --- wills -----------------------------------------------------------------------------------------------


@pytest.mark.row("R141", "A64")
@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_will_is_published_for_who_goes_without_a_word(talk: Talk, version: int) -> None:
    heir = talk("heir")
    heir.subscribe("wills/#")
    talk("polite", version=version, will=WILL).leave()
    talk("rude", version=version, will=WILL).cut()
    assert heir.got() == ("wills/a", b"gone", 1)
    assert heir.hears_nothing()


def test_who_leaves_with_the_will_has_it_published(talk: Talk) -> None:
    heir = talk("heir")
    heir.subscribe("wills/#")
    talk("a", will=WILL).leave(ReasonCode.DISCONNECT_WITH_WILL)
    assert heir.got() == ("wills/a", b"gone", 1)


@pytest.mark.row("R141", "A64")
def test_a_will_waits_as_long_as_it_was_told_and_not_longer_than_the_session(
    broker: Broker, talk: Talk
) -> None:
    heir = talk("heir")
    heir.subscribe("wills/#")
    later = Will(topic="wills/a", payload=b"x", qos=0, retain=False, properties={"will_delay_interval": 60})
    for session_s, wait in ((100, 60), (30, 30)):
        talk("a", will=later, session_expiry_interval=session_s).cut()
        assert heir.hears_nothing()
        broker.advance(f"{wait - 5}s")
        assert heir.hears_nothing()
        broker.advance("6s")
        assert heir.got()[0] == "wills/a"


def test_a_will_is_void_when_its_client_comes_back_in_time(broker: Broker, talk: Talk) -> None:
    heir = talk("heir")
    heir.subscribe("wills/#")
    later = Will(topic="wills/a", payload=b"x", qos=0, retain=False, properties={"will_delay_interval": 60})
    talk("a", will=later, session_expiry_interval=100).cut()
    assert heir.hears_nothing()
    talk("a", clean=False, session_expiry_interval=100).leave()
    broker.advance("90s")
    assert heir.hears_nothing()


def test_a_will_that_may_not_be_published_hurts_nobody(broker: Broker, talk: Talk) -> None:
    broker.call(lambda server: server.core.add_user("reader", "reader"))
    broker.call(lambda server: server.core.set_permission(Permission("reader", "/", ".*", "^mqtt-.*", ".*")))
    talk("a", username="reader", password=b"reader", will=WILL).cut()
    assert talk("b").hears_nothing()


@pytest.mark.row("R141", "A64")
def test_an_operator_closes_a_connection_and_the_client_is_told(broker: Broker, talk: Talk) -> None:
    talker = talk("a")

    def close(server: object) -> None:
        for session in list(server.core.sessions):  # type: ignore[attr-defined]
            session.head.shut_down("enough")

    broker.call(close)
    said = talker.hear()
    assert said.fields["reason"] == ReasonCode.ADMINISTRATIVE_ACTION
    assert said.fields["properties"] == {"reason_string": "enough"}
    assert said.kind == DISCONNECT != CONNACK
    assert talker.is_closed()


@pytest.mark.row("A64")
@pytest.mark.parametrize(
    "reason", [ReasonCode.DISCONNECT_WITH_WILL, ReasonCode.UNSPECIFIED, ReasonCode.RECEIVE_MAXIMUM_EXCEEDED]
)
def test_only_a_good_end_keeps_a_will_from_being_published(talk: Talk, reason: ReasonCode) -> None:
    """[MQTT-3.1.2-8], [MQTT-3.14.4-3]."""
    heir = talk("heir")
    heir.subscribe("wills/#")
    talk("polite", will=WILL).leave(ReasonCode.SUCCESS)
    assert heir.hears_nothing()
    talk("a", will=WILL).leave(reason)
    assert heir.got() == ("wills/a", b"gone", 1)


# --- how large packets are, and what they say -------------------------------------------------------------


@pytest.mark.parametrize(("said", "shown"), [({}, True), ({"maximum_packet_size": 20}, False)])
def test_a_reason_in_words_does_not_make_a_packet_too_large(
    broker: Broker, talk: Talk, said: dict[str, int], shown: bool
) -> None:
    """[MQTT-3.1.2-24], [MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.14.2-3]."""
    refused = talk(connected=False).connect("a", authentication_method="SCRAM-SHA-1", **said)
    assert ("reason_string" in refused.fields["properties"]) == shown
    talker = talk("a", **said)
    talker.say(Publish(topic="$SYS/x", payload=b"x", qos=1, packet_id=9))
    answer = talker.hear()
    assert answer.fields["reason"] == ReasonCode.NOT_AUTHORIZED
    assert ("properties" in answer.fields) == shown
    talker.say(AGAIN)
    end = talker.hear()
    assert (end.kind, end.fields["reason"]) == (DISCONNECT, ReasonCode.PROTOCOL_ERROR)
    assert end.fields["properties"] == ({"reason_string": "a second CONNECT"} if shown else {})


def test_a_client_may_want_no_reasons_in_words(talk: Talk) -> None:
    """But where the connection ends ([MQTT-3.1.2-29])."""
    talker = talk("a", request_problem_information=0)
    for qos in (1, 2):
        talker.say(Publish(topic="$SYS/x", payload=b"x", qos=qos, packet_id=9))
        assert talker.hear().fields == {"packet_id": 9, "reason": ReasonCode.NOT_AUTHORIZED}
    talker.say(AGAIN)
    assert "reason_string" in talker.hear().fields["properties"]


@pytest.mark.parametrize("version", [4, 5])
def test_a_message_that_ends_before_its_identifier_ends_the_connection(talk: Talk, version: int) -> None:
    """Also where the topic was seen before, so that nobody looks closely."""
    for end in (b"", b"\0"):
        talker = talk("a", version=version)
        talker.publish("a", qos=1)
        talker.write(peer.packet(0x32, b"\x00\x01a" + end))
        if version == 5:
            assert hears_the_end(talker) == ReasonCode.MALFORMED_PACKET
        else:
            assert talker.is_closed()


@pytest.mark.parametrize(
    "packet",
    [
        Publish(topic="a", payload=b"", properties={"subscription_identifier": [1]}),
        Subscribe(1, [Subscription("a", 1)], {"subscription_identifier": [1, 2]}),
    ],
)
def test_subscription_identifiers_stand_once_and_with_subscriptions(talk: Talk, packet: Publish) -> None:
    """[MQTT-3.3.4-6], 3.8.2.1.2."""
    talker = talk("a")
    talker.say(packet)
    assert hears_the_end(talker) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.row("R5", "R141")
def test_a_password_without_a_name_is_wrong_and_nobody_elses(talk: Talk) -> None:
    """Version 5 has clients say only that (3.1.2.9): they want to be somebody."""
    answer = talk(connected=False, version=5).connect("a", password=b"guest")
    assert answer.fields["reason"] == ReasonCode.BAD_USER_NAME_OR_PASSWORD


@pytest.mark.row("R15")
def test_a_client_for_whom_there_is_no_place_is_refused() -> None:
    """Who goes on with its own session takes the place of the connection that it ends."""
    with Broker(mqtt_port=0, connection_max=1) as broker:
        first, second = Talker(broker.mqtt_port, 5), Talker(broker.mqtt_port, 5)
        assert first.connect("a").fields["reason"] == ReasonCode.SUCCESS
        assert second.connect("a").fields["reason"] == ReasonCode.SUCCESS
        refused = Talker(broker.mqtt_port, 5)
        assert refused.connect("b").fields["reason"] == ReasonCode.QUOTA_EXCEEDED
        assert refused.is_closed()
        second.leave()
        assert second.is_closed()
        assert Talker(broker.mqtt_port, 5).connect("b").fields["reason"] == ReasonCode.SUCCESS
