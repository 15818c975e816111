"""Peers that are gone without a word, or never come to the point. Time is moved by hand."""

from __future__ import annotations

import contextlib

import pytest
from pamqp import commands, heartbeat

from tests.clients.raw_client import PROTOCOL_HEADER, RawClient
from tests.hostile.conftest import Scene

STRANGERS = 1000


def expect_end(client: RawClient) -> None:
    """The socket is closed, without a method before."""
    with contextlib.suppress(ConnectionError):
        client.expect_closed_socket()


@pytest.mark.row("R4")
def test_half_open_peer_is_cut_after_two_intervals(manual_scene: Scene) -> None:
    """4.2.7: it agreed to heartbeats and is silent; what it held is given back."""
    scene = manual_scene
    with scene.logged_in(heartbeat_s=30) as silent:
        silent.send(commands.Queue.Declare(queue="its own", exclusive=True), 1)
        silent.expect(commands.Queue.DeclareOk, 1)
        scene.broker.advance("60s")
        scene.neighbour.wait_rounds(1)
        assert scene.resident().drivers == 2
        scene.broker.advance("1s")
        scene.eventually(lambda: scene.resident().drivers == 1)
        assert scene.resident().queues == 1
        expect_end(silent)


@pytest.mark.row("R4")
def test_peer_that_sends_anything_at_all_is_alive(manual_scene: Scene) -> None:
    """4.2.7: any octet is as good as a heartbeat, also one in the middle of a frame."""
    scene = manual_scene
    with scene.logged_in(heartbeat_s=30) as slow:
        frame = b"\x01\0\1\0\0\0\x05\0\x14\0\x14\1\xce"
        for octet in frame:
            slow.send_bytes(bytes([octet]))
            scene.neighbour.wait_rounds(2)
            scene.broker.advance("59s")
        slow.expect(commands.Channel.FlowOk, 1)


@pytest.mark.row("R4")
def test_peer_that_wants_no_heartbeats_may_be_silent(manual_scene: Scene) -> None:
    scene = manual_scene
    with scene.logged_in(heartbeat_s=0) as silent:
        scene.broker.advance("30d")
        silent.send(heartbeat.Heartbeat())
        silent.open_channel(2)


def _nothing(client: RawClient) -> None:
    """Says nothing at all."""


def _half_a_header(client: RawClient) -> None:
    client.send_bytes(PROTOCOL_HEADER[:5])


def _header_alone(client: RawClient) -> None:
    client.start()


def _login_without_open(client: RawClient) -> None:
    client.tune()
    client.send(commands.Connection.TuneOk(10, 4096, 1))


@pytest.mark.row("R1")
@pytest.mark.parametrize("so_far", [_nothing, _half_a_header, _header_alone, _login_without_open])
def test_login_must_be_over_in_ten_seconds(manual_scene: Scene, so_far: object) -> None:
    """RabbitMQ's handshake_timeout; whoever has logged in by then stays."""
    assert callable(so_far)
    scene = manual_scene
    with scene.client() as client:
        so_far(client)
        scene.eventually(lambda: scene.resident().drivers == 2)
        scene.neighbour.wait_rounds(1)
        scene.broker.advance("9s")
        scene.neighbour.wait_rounds(1)
        assert scene.resident().drivers == 2
        scene.broker.advance("2s")
        scene.eventually(lambda: scene.resident().drivers == 1)
        expect_end(client)


@pytest.mark.row("R1")
def test_a_thousand_connections_that_never_log_in(manual_scene: Scene) -> None:
    """They keep nobody from logging in, and are gone when their time is over."""
    scene = manual_scene
    with contextlib.ExitStack() as sockets:
        strangers = []
        for number in range(STRANGERS):
            stranger = sockets.enter_context(scene.client())
            stranger.send_bytes(PROTOCOL_HEADER[: number % 9])
            strangers.append(stranger)
        scene.eventually(lambda: scene.resident().drivers == STRANGERS + 1)
        with scene.logged_in() as late:
            late.send(commands.Queue.Declare(queue="", exclusive=True), 1)
            late.expect(commands.Queue.DeclareOk, 1)
            scene.broker.advance("11s")
            scene.eventually(lambda: scene.resident().drivers == 2)
            late.open_channel(2)
        for number, stranger in enumerate(strangers):
            if number % 9 == 8:
                stranger.expect(commands.Connection.Start)
            expect_end(stranger)


@pytest.mark.row("R7")
def test_refused_logins_of_old_clients_pile_up_nothing(manual_scene: Scene) -> None:
    """They are held for a second, deaf, which slows guessing down; then they are cut."""
    scene = manual_scene
    with contextlib.ExitStack() as sockets:
        for _ in range(100):
            client = sockets.enter_context(scene.client())
            client.log_in(response="\0guest\0wrong", capabilities={})
            client.send_bytes(b"deaf" * 1000)
        scene.eventually(lambda: scene.resident().drivers == 101)
        scene.neighbour.wait_rounds(2)
        scene.broker.advance("2s")
        scene.eventually(lambda: scene.resident().drivers == 1)
