"""Protocols told apart by their first bytes (A67): what the rows say of bytes, and sockets that say nothing.

That real clients of all protocols share a port is shown in `test_one_port`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.config import Config, ConfigError
from pillarbox.errors import RemoteProtocolError
from pillarbox.net import sniff, websocket
from pillarbox.net.lobby import Lobby
from pillarbox.net.sniff import Choice, Sniffer, recognise
from pillarbox.protocols.beginnings import FIRST_BYTES_MAX
from pillarbox.protocols.registry import PROTOCOLS
from tests.fuzzing import check_changed
from tests.net.net_tools import LOOPS, Net, loop_name, run

pytestmark = pytest.mark.row("A67")

TIMEOUT_S = 20

FIRST = {
    "amqp": (b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x0a", b"AMQP\x03\x01\x00\x00"),
    "stomp": (
        b"CONNECT\naccept-version:1.2\n\n\0",
        b"STOMP\r\naccept-version:1.2\r\n\r\n\0",
        b"\n\r\nCONNECT\n\n\0",
        b"CONNECT\r\n\r\n\0",
    ),
    "mqtt": (
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
        b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00",
        b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x00\x00\x00",
        b"\x10\xff\xff\x03\x00\x04MQTT\x04",
    ),
    "kafka": (
        struct.pack(">ihhih", 33, 18, 4, 1, 7) + b"rdkafka",
        struct.pack(">ihhih", 10, 3, 0, 0, -1),
        struct.pack(">ihhih", 64 << 10, 36, 2, 0, -1),
    ),
    "websocket": (b"GET /ws HTTP/1.1\r\n",),
}
"""What clients begin with, by who they are."""

STRANGERS = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01",  # TLS
    b"POST / HTTP/1.1\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 5672\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c",  # The same in version 2.
    b"SEND\ndestination:/queue/a\n\n\0",
    b"\x10\x0c\x00\x04HTTP",
    b"\x10\xff\xff\xff\xff\x01\x00\x04MQTT",
    b"\x30\x05\x00\x01a",
    struct.pack(">ihh", 7, 18, 4),
    struct.pack(">ihh", (64 << 10) + 1, 18, 4),
    struct.pack(">ihh", -1, 18, 4),
    struct.pack(">ihh", 33, -1, 4),
    struct.pack(">ihh", 33, 18, 400),
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\0" * 8,
    b"\n" * FIRST_BYTES_MAX,
)


def choices() -> list[Choice]:
    found = [Choice(each.name, each.begins, lambda *_: None) for each in PROTOCOLS]  # type: ignore[arg-type, return-value]
    return [*found, Choice("websocket", websocket.begins, lambda *_: None)]  # type: ignore[arg-type, return-value]


CHOICES = choices()
KNOWN = [
    pytest.param(choice.name, first, id=f"{choice.name}-{number}")
    for choice in CHOICES
    for number, first in enumerate(FIRST[choice.name])
]


def told(first: bytes) -> str | None:
    """Whose they are, or that they are nobody's; None: more are needed."""
    try:
        choice = recognise(first, CHOICES)
    except RemoteProtocolError:
        return "nobody"
    return choice and choice.name


@pytest.mark.parametrize(("name", "first"), KNOWN)
def test_clients_are_known_as_soon_as_they_can_be(name: str, first: bytes) -> None:
    answers = [told(first[:stop]) for stop in range(len(first) + 1)]
    assert answers[-1] == name
    assert set(answers) == {None, name}


@pytest.mark.parametrize("first", STRANGERS, ids=repr)
def test_strangers_are_nobody(first: bytes) -> None:
    assert told(first) == "nobody"


BYTES = (
    st.binary(max_size=FIRST_BYTES_MAX)
    | st.sampled_from([first for every in FIRST.values() for first in every]).flatmap(
        lambda first: st.integers(0, len(first)).flatmap(
            lambda cut: st.binary(max_size=8).map(lambda more: (first[:cut] + more)[:FIRST_BYTES_MAX])
        )
    )
    | st.text("\r\nCONECTSMP").map(lambda text: text.encode()[:FIRST_BYTES_MAX])
)


@given(BYTES)
@example(b"")
def test_any_bytes_have_one_answer_however_they_are_cut(data: bytes) -> None:
    """What was once said of some bytes is said of all that begin with them, and never by two rows."""
    for choice in CHOICES:
        answers = [choice.begins(data[:stop]) for stop in range(len(data) + 1)]
        decided = [answer for answer in answers if answer is not None]
        assert len(set(decided)) <= 1
        assert answers[len(answers) - len(decided) :] == decided
    assert sum([bool(choice.begins(data)) for choice in CHOICES]) <= 1


def test_no_changed_beginning_is_of_two_protocols() -> None:
    def check(data: bytes) -> None:
        for stop in range(min(len(data), FIRST_BYTES_MAX) + 1):
            assert sum([bool(choice.begins(data[:stop])) for choice in CHOICES]) <= 1

    check_changed(check, [*(first for every in FIRST.values() for first in every), *STRANGERS], 3000)


def test_everything_is_decided_within_the_bytes_that_are_read() -> None:
    """Only line ends are undecided to the last."""
    check_changed(
        lambda data: None if told(data.ljust(FIRST_BYTES_MAX, b"x")) else pytest.fail("undecided"),
        [*(first for every in FIRST.values() for first in every), *STRANGERS],
        1000,
    )


# --- a socket --------------------------------------------------------------------------------------------


class Scene:
    """A port on which two heads are told apart: who begins with `a`, and who begins with `bb`."""

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.make_loop = make_loop

    def play(self, steps: Callable[[Net, Lobby, int], object]) -> None:
        async def main() -> None:
            net = Net(asyncio.get_running_loop())
            lobby = Lobby(net.ticker, net.clock, timeout_s=10)
            pair = [
                Choice("one", lambda first: first[:1] == b"a" if first else None, net.driver_for),
                Choice("two", lambda first: websocket.begins_with(first, b"bb"), net.driver_for),
            ]
            async with net.listening(lambda: Sniffer(lobby, pair)) as port:
                await steps(net, lobby, port)  # type: ignore[misc]
                lobby.close()
                assert not len(lobby)

        run(self.make_loop, main())


@pytest.fixture(params=LOOPS, ids=loop_name)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


def test_what_was_read_goes_first_and_the_rest_follows(scene: Scene) -> None:
    async def steps(net: Net, lobby: Lobby, port: int) -> None:
        client = await net.connect(port, wait=False)
        said = b"bb" + bytes(range(256)).replace(b"!", b"").replace(b"?", b"") * 2000
        for first in (said[:1], said[1:3], said[3:]):
            await client.send(first)
            await asyncio.sleep(0)
        await net.accepted.wait()
        (head,) = net.heads
        await head.until(lambda: len(head.received) == len(said))
        assert head.received == said
        assert not len(lobby)
        await client.send(b"!")
        assert await client.read_to_end() == b"bye"
        client.close()

    scene.play(steps)


def test_the_driver_is_the_protocol_of_the_socket_from_then_on(scene: Scene) -> None:
    async def steps(net: Net, lobby: Lobby, port: int) -> None:
        client = await net.connect(port, wait=False)
        await client.send(b"a")
        await net.accepted.wait()
        transport = net.drivers[0]._transport
        assert transport is not None
        assert transport.get_protocol() is net.drivers[0]
        client.close()

    scene.play(steps)


def test_bytes_of_nobody_close_the_socket(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async def steps(net: Net, lobby: Lobby, port: int) -> None:
        client = await net.connect(port, wait=False)
        await client.send(b"bc, and a password")
        with contextlib.suppress(ConnectionError):
            assert await client.read_to_end() == b""
        client.close()
        assert not net.heads

    scene.play(steps)
    assert "it begins with b'bc, and '" in caplog.text
    assert "password" not in caplog.text


def test_a_slow_client_has_no_more_time_than_a_silent_one(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(net: Net, lobby: Lobby, port: int) -> None:
        silent = await net.connect(port, wait=False)
        slow = await net.connect(port, wait=False)
        while len(lobby) < 2:
            await asyncio.sleep(0)
        await slow.send(b"b")
        net.clock.advance("9s")
        net.ticker.check_deadlines()
        assert len(lobby) == 2
        net.clock.advance("1s")
        net.ticker.check_deadlines()
        for client in (silent, slow):
            with contextlib.suppress(ConnectionError):
                assert await client.read_to_end() == b""
            client.close()
        assert not net.heads

    scene.play(steps)
    assert caplog.text.count("nobody knows what it speaks after 10 s") == 2


def test_the_lobby_has_its_bounds(scene: Scene) -> None:
    async def steps(net: Net, lobby: Lobby, port: int) -> None:
        lobby._has_room = lambda: len(lobby) < 1
        first = await net.connect(port, wait=False)
        while not len(lobby):
            await asyncio.sleep(0)
        second = await net.connect(port, wait=False)
        with contextlib.suppress(ConnectionError):
            assert await second.read_to_end() == b""
        await first.send(b"a")
        await net.accepted.wait()
        for client in (first, second):
            client.close()

    scene.play(steps)


# --- a broker --------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(clock: ManualClock) -> Iterator[Broker]:
    with Broker(auto_port=0, clock=clock) as running:
        yield running


def stranger(broker: Broker, data: bytes) -> bytes:
    """All that the broker says to who says this."""
    with socket.create_connection(("127.0.0.1", broker.auto_port), timeout=TIMEOUT_S) as client:
        client.sendall(data)
        return to_end(client)


def to_end(client: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while more := client.recv(1 << 16):
            said += more
    return said


@pytest.mark.parametrize("first", STRANGERS, ids=repr)
def test_strangers_hear_nothing_and_the_log_says_why(
    broker: Broker, first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "pillarbox"):
        assert stranger(broker, first) == b""
    assert "which is spoken by nobody here" in caplog.text


def test_another_version_of_amqp_is_answered_with_the_one_that_is_spoken(broker: Broker) -> None:
    assert stranger(broker, b"AMQP\x00\x01\x00\x00") == b"AMQP\x00\x00\x09\x01"


@pytest.mark.parametrize("said", [b"", b"\n", b"GET /ws HTTP/1.1\r\nHost: a\r\n"], ids=repr)
def test_silent_clients_are_closed_after_the_handshake_timeout(broker: Broker, said: bytes) -> None:
    """Also in the middle of HTTP's upgrade."""
    with socket.create_connection(("127.0.0.1", broker.auto_port), timeout=TIMEOUT_S) as client:
        client.sendall(said)
        # It is asked after the client was accepted, as the one behind it has been answered.
        stranger(broker, b"nobody!!")
        broker.advance("11s")
        assert to_end(client) == b""


def test_a_stop_does_not_wait_for_strangers(broker: Broker) -> None:
    with socket.create_connection(("127.0.0.1", broker.auto_port), timeout=TIMEOUT_S) as client:
        client.sendall(b"AM")
        broker.stop()
        assert to_end(client) == b""


def test_only_protocols_that_are_named_are_spoken() -> None:
    with Broker(auto_port=0, auto_protocols=("amqp",)) as broker:
        assert list(broker.call(lambda server: server.spoken)) == ["amqp"]
        assert {stranger(broker, FIRST[name][0]) for name in FIRST.keys() - {"amqp"}} == {b""}


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"auto_protocols must be of amqp, .*, not gopher"):
        Config(auto_protocols=("gopher",))


def test_it_is_port_enough() -> None:
    config = Config(port=-1, tls_port=-1, auto_port=0)
    assert [each.name for each in config.listeners if each.is_open(False)] == ["auto"]


def test_there_is_none_unless_it_is_asked_for() -> None:
    with Broker() as broker:
        assert list(broker.call(lambda server: server.addresses)) == ["amqp"]


assert sniff.SHOWN_BYTES <= 8, "more might show a password"
