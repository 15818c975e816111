"""Very many methods in one read are done over several turns, in their order, to the last."""

from __future__ import annotations

import socket

import pytest

from pillarbox import Broker
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091.connection import DECLARATION, SHARE
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER, State
from tests.protocols.amqp091.rig import Rig, every, login_frames, sent_methods, whole

COUNT = 500
OPEN = m.method_frame(1, m.CHANNEL_OPEN, "")
CLOSE = m.method_frame(0, m.CONNECTION_CLOSE, 200, "", 0, 0)


def declare(number: int) -> bytes:
    return m.method_frame(1, m.QUEUE_DECLARE, 0, f"q{number}", False, False, False, False, False, {})


DECLARED = b"".join(map(declare, range(COUNT)))


def test_only_a_share_is_done_at_once_and_the_rest_in_turns_to_come() -> None:
    rig = Rig().log_in()
    queues = rig.core.vhosts["/"].queues
    rig.turn(OPEN)
    rig.connection.receive(DECLARED)
    assert len(queues) == SHARE // DECLARATION
    assert rig.connection.waiting
    rig.connection.receive(declare(COUNT))
    assert len(queues) == SHARE // DECLARATION
    rig.core.tick(rig.now_ms)
    assert len(queues) == 2 * SHARE // DECLARATION
    answers = sent_methods(rig.turn())
    assert [arguments[0] for _, _, arguments in answers] == [f"q{number}" for number in range(COUNT + 1)]
    assert not rig.connection.waiting


@pytest.mark.parametrize("feed", [whole, every(7), every(4096)])
def test_close_behind_many_methods_is_answered_last(feed: object) -> None:
    rig = Rig().log_in()
    answers = sent_methods(rig.turn(OPEN + DECLARED + CLOSE, feed))  # type: ignore[arg-type]
    assert len(answers) == COUNT + 2
    assert answers[-1][1] == "connection.close-ok"
    assert len(rig.core.vhosts["/"].queues) == COUNT
    assert rig.connection.want_close


def test_what_was_sent_before_the_socket_was_closed_is_done() -> None:
    rig = Rig().log_in()
    rig.connection.receive(OPEN + DECLARED)
    rig.connection.closed("the peer closed the socket")
    rig.turn()
    assert len(rig.core.vhosts["/"].queues) == COUNT
    assert rig.connection.state is State.CLOSED
    assert not rig.core.sessions


def test_connections_with_much_to_do_take_turns_and_chores_do_not_hold_them_up() -> None:
    rig = Rig().log_in()
    rig.turn(OPEN)
    endless = iter(lambda: None, 0)
    rig.core.chores.begin(endless)
    called: list[str] = []

    def again(name: str, times: int) -> None:
        called.append(name)
        if times > 1:
            rig.core.chores.in_turn(lambda: again(name, times - 1))

    rig.core.chores.in_turn(lambda: again("a", 2))
    rig.core.chores.in_turn(lambda: again("b", 2))
    for count in range(1, 5):
        rig.core.tick(rig.now_ms)
        assert len(called) == count
    assert called == ["a", "b", "a", "b"]


def test_driver_reads_on_when_the_shares_are_done() -> None:
    nowait = b"".join(
        m.method_frame(1, m.QUEUE_DECLARE, 0, f"n{number}", False, False, False, False, True, {})
        for number in range(COUNT)
    )
    with Broker() as broker, socket.create_connection(("127.0.0.1", broker.amqp_port), 10) as peer:
        peer.settimeout(10)
        peer.sendall(PROTOCOL_HEADER + login_frames() + OPEN)
        for _ in range(2):
            # Much that is not answered, and behind it something that is.
            peer.sendall(nowait)
            peer.sendall(declare(1))
            received = b""
            while declare_ok not in received:
                received += peer.recv(65_536)


declare_ok = m.method_frame(1, m.QUEUE_DECLARE_OK, "q1", 0, 0)
