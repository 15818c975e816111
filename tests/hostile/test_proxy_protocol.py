"""The PROXY protocol: the client's address behind a load balancer, and headers that are none (R14)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from pillarbox import Broker
from pillarbox.errors import RemoteProtocolError
from pillarbox.net.proxy import SIGNATURE, read_header
from tests.clients.raw_client import PROTOCOL_HEADER, RawClient
from tests.hostile.test_tls import OPENSSL, TIMEOUT_S, make_pair

pytestmark = pytest.mark.row("R14")

HOST = "127.0.0.1"


def v2(command: int = 0x21, family: int = 0x11, addresses: bytes | None = None, extra: bytes = b"") -> bytes:
    if addresses is None:
        addresses = (
            socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 5555, 5672)
        )
    rest = addresses + extra
    return SIGNATURE + struct.pack(">BBH", command, family, len(rest)) + rest


V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack(">HH", 5555, 5672)
GOOD = {
    b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 5672\r\n": ("192.0.2.7", 5555),
    b"PROXY TCP6 2001:db8::7 2001:db8::1 5555 5672\r\n": ("2001:db8::7", 5555),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": None,
    v2(): ("192.0.2.7", 5555),
    v2(family=0x21, addresses=V6): ("2001:db8::7", 5555),
    v2(extra=b"\x04\x00\x03abc"): ("192.0.2.7", 5555),
    v2(command=0x20): None,
    v2(command=0x20, addresses=b""): None,
    v2(family=0x00, addresses=b""): None,
    v2(family=0x31, addresses=bytes(216)): None,
}
BAD = {
    PROTOCOL_HEADER + bytes(20): "a PROXY header was expected, and something else came",
    b"\x16\x03\x01\x02\x00" + bytes(20): "something else came",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 5672 extra\r\n": "cannot be understood",
    b"PROXY UDP4 192.0.2.7 192.0.2.1 5555 5672\r\n": "cannot be understood",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 567200\r\n": "has bad addresses",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 5672\r\n": "has bad addresses",
    b"PROXY TCP4 2001:db8::7 192.0.2.1 5555 5672\r\n": "has bad addresses",
    b"PROXY TCP4 not.an.address 192.0.2.1 5555 5672\r\n": "has bad addresses",
    b"PROXY TCP4 " + b"1" * 200: "does not end",
    v2(command=0x22): "version and command 0x22",
    v2(command=0x11): "version and command 0x11",
    v2(addresses=b"\x01\x02"): "ends within its addresses",
    SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 60_000): "has 60000 bytes",
}


def parse(data: bytes) -> tuple[tuple[str, int] | None, int]:
    """What the header says, and how many bytes of the input were taken."""
    position = 0

    async def read(size: int) -> bytes:
        nonlocal position
        if position + size > len(data):
            raise EOFError
        position += size
        return data[position - size : position]

    return asyncio.run(read_header(read)), position


@pytest.mark.parametrize("header", GOOD, ids=repr)
def test_header_says_who_the_client_is_and_nothing_behind_it_is_taken(header: bytes) -> None:
    assert parse(header + PROTOCOL_HEADER) == (GOOD[header], len(header))


@pytest.mark.parametrize("header", BAD, ids=repr)
def test_anything_else_is_refused_with_a_reason(header: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=BAD[header]):
        parse(header)


@given(
    st.binary(max_size=200)
    | st.binary(max_size=150).map(SIGNATURE.__add__)
    | st.binary(max_size=110).map(b"PROXY ".__add__)
)
def test_no_bytes_at_all_do_anything_else(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError, EOFError):
        parse(data)


# Through sockets ----------------------------------------------------------------------------------------


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(proxy_protocol=True, loopback_users=()) as running:
        yield running


def peers(broker: Broker) -> list[str]:
    names = broker.call(lambda server: [session.head.peer for session in server.core.sessions])
    return [name.partition(" -> ")[0] for name in names]


@pytest.mark.parametrize("header", [header for header, address in GOOD.items() if address], ids=repr)
def test_client_is_known_by_the_address_in_the_header(broker: Broker, header: bytes) -> None:
    with RawClient(HOST, broker.amqp_port) as client:
        client.send_bytes(header)
        client.open()
        host, port = GOOD[header] or ("", 0)
        assert peers(broker) == [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(command=0x20, addresses=b"")], ids=repr)
def test_load_balancer_may_speak_for_itself(broker: Broker, header: bytes) -> None:
    """As for its health checks: then the address is that of the socket."""
    with RawClient(HOST, broker.amqp_port) as client:
        own = client.socket.getsockname()
        client.send_bytes(header)
        client.open()
        assert peers(broker) == [f"{own[0]}:{own[1]}"]


def test_loopback_users_are_told_by_the_address_in_the_header() -> None:
    """R9: guest comes from elsewhere, whatever the socket says."""
    with Broker(proxy_protocol=True) as broker, RawClient(HOST, broker.amqp_port) as client:
        client.send_bytes(v2())
        client.log_in()
        close = client.expect(commands.Connection.Close)
        assert (close.reply_code, "can only connect via localhost" in close.reply_text) == (403, True)


@pytest.mark.parametrize("hello", list(BAD)[:3], ids=repr)
def test_connection_without_a_header_is_closed_and_the_log_says_why(
    broker: Broker, hello: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "pillarbox"), RawClient(HOST, broker.amqp_port) as client:
        client.send_bytes(hello)
        with contextlib.suppress(ConnectionError):
            assert client.receive_bytes(1) == b""
    assert "refused, because proxy_protocol is on: a PROXY" in caplog.text


def test_client_that_leaves_in_the_middle_of_the_header_is_forgotten(broker: Broker) -> None:
    with RawClient(HOST, broker.amqp_port) as client:
        client.send_bytes(b"PROXY TCP4 192.")
    with RawClient(HOST, broker.amqp_port) as client:
        client.send_bytes(v2())
        client.open()
        assert len(peers(broker)) == 1


def test_header_is_not_waited_for_when_the_broker_stops() -> None:
    broker = Broker(proxy_protocol=True).start()
    with RawClient(HOST, broker.amqp_port) as client:
        client.send_bytes(b"PROXY ")
        broker.stop()
        with contextlib.suppress(ConnectionError):
            assert client.receive_bytes(1) == b""


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command to make certificates with")
def test_tls_begins_right_behind_the_header(tmp_path: Path) -> None:
    """In one write with it, too."""
    pair = make_pair(tmp_path, "server")
    options = {"tls_port": 0, "tls_certificate": pair.certificate, "tls_key": pair.key}
    with Broker(proxy_protocol=True, loopback_users=(), **options) as broker:
        port = broker.call(lambda server: server.addresses["amqps"][0][1])
        context = ssl.create_default_context(cafile=pair.certificate)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        wrapped = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection((HOST, port), timeout=TIMEOUT_S) as client:
            client.sendall(v2()[:20])
            first = v2()[20:]
            sent = False
            answer = b""
            while not answer:
                try:
                    if not sent:
                        wrapped.do_handshake()
                        wrapped.write(PROTOCOL_HEADER)
                        sent = True
                    client.sendall(outgoing.read())
                    answer = wrapped.read(7)
                except ssl.SSLWantReadError:
                    client.sendall(first + outgoing.read())
                    first = b""
                    incoming.write(client.recv(1 << 16))
            assert answer[:1] == b"\x01"
