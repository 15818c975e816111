"""Answers to very many deliveries are done in parts, and mean what they mean when done at once. Row R66."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker import lane, returning
from pillarbox.protocols.amqp091 import channel as channel_module
from pillarbox.protocols.amqp091 import methods as m
from tests.protocols.amqp091.rig import Rig, sent_methods

QUEUES = ("a", "b")
COUNT = 12
"""Messages of each queue, which are delivered in turns: each is an entry of the ledger by itself."""


def publish(channel: int, queue: str, body: bytes) -> bytes:
    from bench.amqp_wire import message

    frames = message("", queue, body, persistent=True, frame_max=131_072)
    return frames if channel == 1 else frames.replace(b"\x00\x01", bytes([0, channel]), 1)


def ack(tag: int, *, multiple: bool = True) -> bytes:
    return m.method_frame(1, m.BASIC_ACK, tag, multiple)


def nack(tag: int, *, requeue: bool) -> bytes:
    return m.method_frame(1, m.BASIC_NACK, tag, True, requeue)


def delivered(at_once: int) -> tuple[Rig, Callable[[], None]]:
    """A rig whose channel 1 has the messages of both queues, and what undoes the size of the parts."""
    patch = pytest.MonkeyPatch()
    patch.setattr(returning, "ENTRIES_AT_ONCE", at_once)
    patch.setattr(channel_module, "ENTRIES_AT_ONCE", at_once)
    rig = Rig().log_in()
    rig.turn(m.method_frame(1, m.CHANNEL_OPEN, ""))
    rig.turn(m.method_frame(1, m.BASIC_QOS, 0, COUNT, False))
    for name in QUEUES:
        rig.turn(m.method_frame(1, m.QUEUE_DECLARE, 0, name, False, True, False, False, False, {}))
        rig.turn(m.method_frame(1, m.BASIC_CONSUME, 0, name, name, False, False, False, False, {}))
    for number in range(COUNT):
        for name in QUEUES:
            rig.turn(publish(1, name, b"%d" % number))
    return rig, patch.undo


def seen(at_once: int, data: list[bytes]) -> tuple[Any, Any]:
    """State and answers after this input, but for how often the journal was written to."""
    rig, undo = delivered(at_once)
    try:
        answers = [sent_methods(rig.turn(one)) for one in data]
        state = rig.state()
        del state["groups"]
        for channel in state["channels"].values():
            # Which of several queues delivers first is nobody's promise.
            channel["out"] = sorted(name for _, name in channel["out"])
        return state, answers
    finally:
        undo()


ANSWERS = st.one_of(
    st.builds(ack, st.integers(1, 2 * COUNT)),
    st.builds(nack, st.integers(1, 2 * COUNT), requeue=st.just(False)),
    st.builds(
        lambda first, count: b"".join(ack(first + n, multiple=False) for n in range(count)),
        st.integers(1, COUNT),
        st.integers(1, COUNT),
    ),
)
LAST_ANSWERS = st.one_of(
    st.builds(nack, st.integers(0, 2 * COUNT), requeue=st.booleans()),
    st.just(ack(0)),
    st.just(m.method_frame(1, m.BASIC_RECOVER, True)),
)
"""What may be about deliveries that come meanwhile."""
FOLLOWING = (
    b"",
    m.method_frame(1, m.BASIC_GET, 0, "a", True),
    m.method_frame(1, m.QUEUE_PURGE, 0, "b", False),
    publish(1, "a", b"more"),
    m.method_frame(1, m.BASIC_CANCEL, "a", False),
    m.method_frame(1, m.QUEUE_DECLARE, 0, "a", True, False, False, False, False, {}),
)
ENDS = (
    b"",
    m.method_frame(1, m.CHANNEL_CLOSE, 200, "", 0, 0),
    m.method_frame(0, m.CONNECTION_CLOSE, 200, "", 0, 0),
)


@pytest.mark.row("R66")
@given(
    st.integers(1, 5),
    st.lists(ANSWERS, max_size=3).map(b"".join),
    LAST_ANSWERS,
    st.sampled_from(FOLLOWING),
    st.sampled_from(ENDS),
)
def test_answers_in_parts_mean_what_they_mean_at_once(
    at_once: int, answers: bytes, last: bytes, following: bytes, end: bytes
) -> None:
    """Whatever the client sends after them in the same read; deliveries apart from their order in which
    different queues take turns."""
    data = [answers + last + following + end]
    in_parts, together = seen(at_once, data), seen(10_000, data)
    assert in_parts[0] == together[0]
    assert [_by_queue(one) for one in in_parts[1]] == [_by_queue(one) for one in together[1]]


def _by_queue(answers: list[tuple[int, str, tuple[Any, ...]]]) -> Any:
    deliveries = [one[2][2:] for one in answers if one[1] == "basic.deliver"]
    return [one for one in answers if one[1] != "basic.deliver"], sorted(deliveries, key=repr)


@pytest.mark.row("R66")
def test_one_part_is_done_in_a_tick_and_what_follows_waits_for_the_last() -> None:
    rig, undo = delivered(5)
    try:
        rig.core.set_time(rig.now_ms)
        rig.connection.receive(ack(0) + m.method_frame(1, m.QUEUE_PURGE, 0, "a", False))
        [queue, _] = [rig.core.vhosts["/"].queues[name] for name in QUEUES]
        left = []
        while rig.core.chores.under_way:
            left.append(rig.connection.channels[1].ledger.count)
            assert not rig.connection.out
            rig.core.tick(rig.now_ms)
        assert left == [19, 14, 9, 4]
        assert [one[1] for one in sent_methods(b"".join(rig.connection.out))] == ["queue.purge-ok"]
        assert queue.unacked_count == 0
    finally:
        undo()


@pytest.mark.row("R13")
def test_connection_that_closes_behind_its_acknowledgements_has_acknowledged() -> None:
    """Frames of one channel wait, those of channel 0 do not: close-ok comes when all is settled."""
    rig, undo = delivered(2)
    try:
        acks = b"".join(ack(tag, multiple=False) for tag in range(1, 2 * COUNT + 1))
        answers = rig.turn(acks + m.method_frame(0, m.CONNECTION_CLOSE, 200, "", 0, 0))
        assert [one[1] for one in sent_methods(answers)] == ["connection.close-ok"]
        assert all(not queue.ready_count for queue in rig.core.vhosts["/"].queues.values())
    finally:
        undo()


@pytest.mark.row("R57")
@pytest.mark.parametrize("parts", [1, 10_000])
def test_purge_is_answered_after_its_last_part_and_in_order(
    monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """What is behind it waits, and a close does, too; when it is answered everything is settled."""
    monkeypatch.setattr(lane, "RUNS_AT_ONCE", parts)
    rig = Rig().log_in()
    rig.turn(m.method_frame(1, m.CHANNEL_OPEN, ""))
    rig.turn(m.method_frame(1, m.QUEUE_DECLARE, 0, "a", False, True, False, False, False, {}))
    for number in range(COUNT):
        rig.turn(publish(1, "a", b"%d" % number))
    purge = m.method_frame(1, m.QUEUE_PURGE, 0, "a", False)
    declare = m.method_frame(1, m.QUEUE_DECLARE, 0, "a", True, False, False, False, False, {})
    close = m.method_frame(0, m.CONNECTION_CLOSE, 200, "", 0, 0)
    rig.core.set_time(rig.now_ms)
    rig.connection.receive(purge + declare + close)
    ticks = 0
    while rig.core.chores.under_way:
        assert not rig.connection.out
        rig.core.tick(rig.now_ms)
        ticks += 1
    assert ticks == (COUNT - 1 if parts == 1 else 0)
    rig.core.flush()
    settled = [one for group in rig.journal.groups for fact in group.settled for one in fact.sequences]
    assert sum(len(one) for one in settled) == COUNT
    answers = sent_methods(b"".join(rig.connection.out))
    assert [name for _, name, _ in answers] == ["queue.purge-ok", "queue.declare-ok", "connection.close-ok"]
    assert answers[0][2] == (COUNT,)
