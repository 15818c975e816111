"""Connection and protocol (R1-R5, R7, R10-R13): header, start, tune, login, open, heartbeat, close."""

from __future__ import annotations

import contextlib
import socket
import time

import pika
import pytest
from broker_target import Target
from pamqp import commands, encode
from pamqp import heartbeat as heartbeat_frame
from pika_tools import Pika, exists, wait_until
from raw_client import PROTOCOL_HEADER, WAIT_S, RawClient

LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism {}. "
    "For details see the broker logfile."
)
NINE_CAPABILITIES = {
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
}


# Protocol header ----------------------------------------------------------------------------------


@pytest.mark.row("R1")
@pytest.mark.parametrize("hello", [PROTOCOL_HEADER, b"AMQP\x01\x01\x00\x09"], ids=["0-9-1", "0-9"])
def test_protocol_header_is_answered_with_start(raw: RawClient, hello: bytes) -> None:
    """R1: 0-9-1 starts, and 0-9 is treated as 0-9-1."""
    raw.send_bytes(hello)
    start = raw.expect(commands.Connection.Start)
    assert (start.version_major, start.version_minor) == (0, 9)


@pytest.mark.row("R1")
@pytest.mark.parametrize(
    "hello",
    [b"AMQP\x00\x01\x00\x00", b"AMQP\x00\x00\x09\x02", b"GET / HT", b"\x16\x03\x01\x02\x00\x01\x00\x01"],
    ids=["AMQP 1.0 without SASL", "unknown version", "HTTP", "TLS"],
)
def test_any_other_header_is_answered_with_the_own_one_and_a_close(raw: RawClient, hello: bytes) -> None:
    """R1: the server writes the header that it would have liked, and closes the socket."""
    raw.send_bytes(hello)
    assert raw.receive_bytes(8) == PROTOCOL_HEADER
    raw.expect_closed_socket()


# Start and tune -----------------------------------------------------------------------------------


@pytest.mark.row("R2")
def test_start_offers_mechanisms_and_locale(raw: RawClient) -> None:
    """R2, R5: mechanisms are one string; AMQPLAIN has to be among them (amqpy knows no other)."""
    start = raw.start()
    assert {"PLAIN", "AMQPLAIN"} <= set(start.mechanisms.split())
    assert start.locales == "en_US"


@pytest.mark.row("R2", "T1")
def test_start_names_product_version_and_capabilities(raw: RawClient) -> None:
    """R2, T1: kombu decides by product and version, most clients index the capabilities."""
    properties = raw.start().server_properties
    assert properties["product"] == "RabbitMQ"
    version = [int(part) for part in properties["version"].split(".")]
    assert len(version) == 3
    assert version[0] >= 3
    assert {name for name, on in properties["capabilities"].items() if on is True} >= NINE_CAPABILITIES
    for key in ("cluster_name", "copyright", "information", "platform"):
        assert isinstance(properties[key], str)
        assert properties[key]


@pytest.mark.row("R3")
def test_tune_proposes_the_usual_limits(raw: RawClient) -> None:
    """R3: channel_max 2047, frame_max 131072, heartbeat 60."""
    tune = raw.tune()
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131072, 60)


@pytest.mark.row("R3")
def test_tune_client_may_lower_every_limit(pika_to: Pika, name: str) -> None:
    """R3, T11: a frame_max of 4096 is accepted, and a larger body still passes in several frames."""
    channel = pika_to.channel(channel_max=5, frame_max=4096, heartbeat=10)
    channel.queue_declare(name, exclusive=True)
    body = bytes(range(256)) * 100
    channel.basic_publish("", name, body)
    assert channel.basic_get(name, auto_ack=True)[2] == body


@pytest.mark.row("R3")
@pytest.mark.parametrize(
    ("channel_max", "frame_max"), [(2048, 131072), (0, 131072), (2047, 131073), (2047, 0), (2047, 4095)]
)
def test_tune_beyond_the_offer_closes_the_socket(raw: RawClient, channel_max: int, frame_max: int) -> None:
    """R3: the socket is closed without a method (RabbitMQ waits three seconds); 0 means "no limit"."""
    raw.tune()
    raw.send(commands.Connection.TuneOk(channel_max, frame_max, 0))
    raw.send(commands.Connection.Open("/"))
    raw.expect_closed_socket()


@pytest.mark.row("R3", "530")
def test_one_channel_more_than_channel_max_closes_the_connection(raw: RawClient) -> None:
    """R3, 530: RabbitMQ counts open channels."""
    raw.tune()
    raw.send(commands.Connection.TuneOk(2, 131072, 0))
    raw.send(commands.Connection.Open("/"))
    raw.expect(commands.Connection.OpenOk)
    raw.open_channel(1)
    raw.open_channel(2)
    raw.send(commands.Channel.Open(), 3)
    assert raw.expect_connection_close() == (
        530,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
        0,
        0,
    )


# Heartbeat ----------------------------------------------------------------------------------------


@pytest.mark.row("R4")
def test_heartbeats_come_at_half_the_interval(raw: RawClient) -> None:
    """R4: with an interval of one second the broker sends frames of type 8 on channel 0."""
    raw.open(heartbeat_s=1)
    for _ in range(2):
        channel, got = raw.receive(skip_heartbeats=False)
        assert (channel, type(got)) == (0, heartbeat_frame.Heartbeat)
        raw.send(heartbeat_frame.Heartbeat())


@pytest.mark.row("R4")
def test_a_silent_client_loses_its_socket_after_two_intervals(raw: RawClient) -> None:
    """R4: about two missed intervals and the socket is closed, without a method."""
    raw.open(heartbeat_s=1)
    since = time.monotonic()
    raw.expect_closed_socket()
    assert 1.5 <= time.monotonic() - since <= 6


@pytest.mark.row("R4", "505")
def test_heartbeat_on_another_channel_is_refused(raw: RawClient) -> None:
    """R4: a heartbeat belongs on channel 0."""
    raw.open()
    raw.open_channel(1)
    raw.send_frame(8, 1, b"")
    code, text, _, _ = raw.expect_connection_close()
    assert (code, text.split(" - ")[0]) == (505, "UNEXPECTED_FRAME")


# Login --------------------------------------------------------------------------------------------


def amqplain(user: str, password: str) -> str:
    """Return the AMQPLAIN response: the entries of a field table, without the table's length."""
    return encode.field_table({"LOGIN": user, "PASSWORD": password})[4:].decode("latin-1")


@pytest.mark.row("R5")
@pytest.mark.parametrize(
    ("mechanism", "response"),
    [("PLAIN", "\0guest\0guest"), ("AMQPLAIN", amqplain("guest", "guest"))],
    ids=["PLAIN", "AMQPLAIN"],
)
def test_login_by_mechanism(raw: RawClient, mechanism: str, response: str) -> None:
    """R5: PLAIN is NUL user NUL password; AMQPLAIN a table with LOGIN and PASSWORD."""
    raw.log_in(mechanism=mechanism, response=response)
    raw.expect(commands.Connection.Tune)


@pytest.mark.row("R5", "R7", "403")
@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", "\0guest\0wrong"),
        ("PLAIN", "\0nobody\0guest"),
        ("AMQPLAIN", amqplain("guest", "wrong")),
    ],
)
def test_failed_login_is_told_to_a_client_that_can_hear_it(
    raw: RawClient, mechanism: str, response: str
) -> None:
    """R7: connection.close 403 with the capability authentication_failure_close."""
    raw.log_in(mechanism=mechanism, response=response)
    assert raw.expect_connection_close() == (403, LOGIN_REFUSED.format(mechanism), 0, 0)


@pytest.mark.row("R7")
def test_failed_login_of_an_old_client_closes_the_socket(raw: RawClient) -> None:
    """R7: without the capability there is no method, only the end of the socket."""
    raw.log_in(response="\0guest\0wrong", capabilities={})
    raw.expect_closed_socket()


@pytest.mark.row("R5")
def test_unknown_mechanism_closes_the_socket(raw: RawClient) -> None:
    """R5: a mechanism that was not offered. RabbitMQ just closes the socket; saying why is allowed."""
    raw.log_in(mechanism="NOSUCH", response="")
    with contextlib.suppress(EOFError):
        assert raw.expect_connection_close()[0] in (403, 504)
    raw.expect_closed_socket()


@pytest.mark.row("R10")
def test_pika_reports_a_missing_vhost(pika_to: Pika) -> None:
    """R10: pika's exception carries the broker's text."""
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError, match="NOT_ALLOWED - vhost nope not found"):
        pika_to.connect(vhost="nope")


@pytest.mark.row("R7")
def test_pika_reports_a_wrong_password(pika_to: Pika) -> None:
    """R7: pika raises its authentication error, with the broker's text."""
    with pytest.raises(pika.exceptions.ProbableAuthenticationError, match="ACCESS_REFUSED"):
        pika_to.connect(password="wrong")


# Open ---------------------------------------------------------------------------------------------


@pytest.mark.row("R10", "530")
def test_open_of_a_missing_vhost_is_refused(raw: RawClient) -> None:
    """R10: 530, the connection is closed."""
    raw.tune()
    raw.send(commands.Connection.TuneOk(2047, 131072, 0))
    raw.send(commands.Connection.Open("nope"))
    assert raw.expect_connection_close() == (530, "NOT_ALLOWED - vhost nope not found", 10, 40)


@pytest.mark.row("R10", "R92")
def test_open_without_permission_is_refused(raw: RawClient) -> None:
    """R10: a user without any permission in the virtual host."""
    raw.log_in(response="\0pb-nopermission\0nothing")
    raw.expect(commands.Connection.Tune)
    raw.send(commands.Connection.TuneOk(2047, 131072, 0))
    raw.send(commands.Connection.Open("/"))
    assert raw.expect_connection_close() == (
        530,
        "NOT_ALLOWED - access to vhost '/' refused for user 'pb-nopermission'",
        10,
        40,
    )


@pytest.mark.row("R12")
def test_close_is_answered(raw: RawClient) -> None:
    """R12: 200 is the normal close."""
    raw.open()
    raw.send(commands.Connection.Close(200, "Goodbye", 0, 0))
    raw.expect(commands.Connection.CloseOk)


@pytest.mark.row("R12")
def test_a_cut_socket_releases_what_the_connection_held(pika_to: Pika, broker: Target, name: str) -> None:
    """R12, R40: an exclusive queue goes with its connection, also when nobody said goodbye."""
    with RawClient(broker.host, broker.port) as raw:
        raw.open()
        raw.open_channel(1)
        raw.send(commands.Queue.Declare(queue=name, exclusive=True), 1)
        raw.expect(commands.Queue.DeclareOk, 1)
    connection = pika_to.connect()
    wait_until(connection.channel(), lambda: not exists(connection, queue=name))


@pytest.mark.row("R13")
def test_client_properties_of_any_kind_are_accepted(pika_to: Pika) -> None:
    """R13: connection_name and nested tables in the client's properties."""
    connection = pika_to.connect(
        client_properties={"connection_name": "orders ☂", "nested": {"a": [1, None, True]}}
    )
    assert connection.channel().is_open


# The plain life of a connection -------------------------------------------------------------------


@pytest.mark.row("R12")
def test_channel_number_is_free_again_after_close(pika_to: Pika) -> None:
    """Clients want number 1 again right after close-ok, by either side."""
    connection = pika_to.connect()
    connection.channel(1).close()
    channel = connection.channel(1)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare("no-such-queue", passive=True)
    assert connection.channel(1).is_open


@pytest.mark.row("R3")
def test_two_hundred_channels_on_one_connection(pika_to: Pika, name: str) -> None:
    """R3: channels are cheap, and each answers for itself."""
    connection = pika_to.connect()
    channels = [connection.channel() for _ in range(200)]
    channels[0].queue_declare(name, exclusive=True)
    for channel in channels:
        channel.basic_publish("", name, b"x")
        assert channel.queue_declare(name, passive=True).method.queue == name
    for channel in channels:
        channel.close()


@pytest.mark.row("R12")
def test_fifty_connections_opened_and_cut_in_a_row(broker: Target, pika_to: Pika) -> None:
    """Clients connect and leave often, in the middle of a frame as well; nobody else notices."""
    witness = pika_to.channel()
    for turn in range(50):
        with socket.create_connection((broker.host, broker.port), timeout=WAIT_S) as cut:
            cut.sendall(PROTOCOL_HEADER)
            cut.recv(4)
            cut.sendall(b"\x01\x00\x00\x00\x00\x01\x00"[: turn % 8])
    assert witness.queue_declare("", exclusive=True).method.queue


@pytest.mark.row("R8")
def test_update_secret_is_answered(pika_to: Pika) -> None:
    """connection.update-secret gets update-secret-ok, whatever the login was."""
    connection = pika_to.connect()
    connection.update_secret("guest", "renewed")
    assert connection.channel().is_open


@pytest.mark.row("R11", "T2")
def test_client_with_blocked_capability_works_unblocked(pika_to: Pika, name: str) -> None:
    """R11: without an alarm no connection.blocked is sent, and publishing goes on."""
    connection = pika_to.connect()
    seen: list[object] = []
    connection.add_on_connection_blocked_callback(lambda *frame: seen.append(frame))
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    channel.confirm_delivery()
    for _ in range(10):
        channel.basic_publish("", name, b"x" * 10_000)
    assert seen == []
