"""Fetch sessions: room for them, and what they spare (K11). What is told in them: `tests.compare_kafka`."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.fetch_sessions import EVICTION_MS, PARTITIONS_MAX, FetchSessions, Held, Session
from pillarbox.protocols.kafka.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.test_records import batch, produce

NONE, WRONG_EPOCH = 0, 71


@pytest.fixture
def sessions() -> FetchSessions:
    return FetchSessions(random.Random(1).randbytes, slots=3)


def parts(count: int) -> list[tuple[str, Held]]:
    return [("t", Held(FetchPartition(index), 0, 0)) for index in range(count)]


def begin(sessions: FetchSessions, count: int, now_ms: int) -> int:
    return sessions.begin(parts(count), now_ms, by_id=False)


def use(sessions: FetchSessions, number: int, epoch: int, now_ms: int) -> Session | ErrorCode:
    found = sessions.find(FetchRequest(session_id=number, session_epoch=epoch), now_ms, by_id=False)
    if isinstance(found, Session):
        found.advance()
    return found


# --- room -----------------------------------------------------------------------------------------------


@pytest.mark.row("K11")
def test_there_are_no_more_sessions_than_slots(sessions: FetchSessions) -> None:
    numbers = [begin(sessions, 5, 0) for _ in range(5)]
    assert all(numbers[:3])
    assert numbers[3:] == [0, 0]
    assert (len(sessions), sessions.size) == (3, 15)
    sessions.close(numbers[0])
    assert begin(sessions, 1, 0)
    assert sessions.size == 11


@pytest.mark.row("K11")
def test_the_session_that_was_not_used_for_longest_makes_room(sessions: FetchSessions) -> None:
    first, second, third = (begin(sessions, 5, moment * 1000) for moment in range(3))
    use(sessions, first, 1, 10_000)
    assert not begin(sessions, 1, 1000 + EVICTION_MS)
    assert begin(sessions, 1, 1001 + EVICTION_MS)
    assert use(sessions, second, 1, 1001 + EVICTION_MS) is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert isinstance(use(sessions, third, 1, 1001 + EVICTION_MS), Session)


@pytest.mark.row("K11")
def test_an_old_session_makes_room_for_a_larger_one(sessions: FetchSessions) -> None:
    """While all are in use: the smallest of those that have been there for long, if it is smaller."""
    numbers = [begin(sessions, size, 0) for size in (5, 4, 6)]
    late = EVICTION_MS + 1
    for number in numbers:
        use(sessions, number, 1, late)
    assert not begin(sessions, 4, late)
    assert begin(sessions, 5, late)
    assert use(sessions, numbers[1], 2, late) is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert not begin(sessions, 5, late), "the one of 5 is no larger than the smallest old one"


@pytest.mark.row("K11")
def test_partitions_of_all_sessions_together_are_limited() -> None:
    sessions = FetchSessions(random.Random(1).randbytes)
    number = begin(sessions, 1, 0)
    sessions.size = PARTITIONS_MAX - 1
    assert not begin(sessions, 2, 0)
    more = FetchRequest(
        session_id=number,
        session_epoch=1,
        topics=[FetchTopic("u", partitions=[*map(FetchPartition, range(9))])],
    )
    assert sessions.find(more, 0, by_id=False) is ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert not len(sessions)


@pytest.mark.row("K11")
def test_epochs_begin_again_behind_the_last_one(sessions: FetchSessions) -> None:
    session = Session(7, 0, by_id=False)
    session.epoch = 2**31 - 1
    assert session.advance() == 1


@pytest.mark.row("K11")
def test_partitions_that_had_records_come_last_in_the_next_fetch() -> None:
    session = Session(7, 0, by_id=False)
    for topic in ("t", "u"):
        for index in range(3):
            session.hold(topic, index, Held(FetchPartition(index), 0, 0))
    session.served("t", [0, 1])
    assert [(topic, list(held)) for topic, held in session.topics.items()] == [
        ("u", [0, 1, 2]),
        ("t", [2, 0, 1]),
    ]


# --- over the wire --------------------------------------------------------------------------------------

PARTITIONS = 200


def wanted(offset: int, *indexes: int) -> list[dict[str, Any]]:
    common = {"fetch_offset": offset, "partition_max_bytes": 1 << 20, "current_leader_epoch": -1}
    partitions = [{"partition": index, "last_fetched_epoch": -1, **common} for index in indexes]
    return [{"topic": "wide", "partitions": partitions}]


@pytest.fixture
def wide(client: Asking) -> Asking:
    topic = {"name": "wide", "num_partitions": PARTITIONS, "replication_factor": 1}
    client.ask("CreateTopics", 7, topics=[topic], timeout=5000)
    return client


@pytest.mark.row("K11")
def test_idle_partitions_cost_no_bytes(wide: Asking) -> None:
    limits = {"max_wait": 0, "min_bytes": 0, "max_bytes": 1 << 20}
    answers = []
    taken = wide._read
    wide._read = lambda count: answers.append(count) or taken(count)  # type: ignore[method-assign]
    full = wide.ask("Fetch", 12, session_epoch=0, topics=wanted(0, *range(PARTITIONS)), **limits)
    whole = answers[-1]
    produce(wide, "wide", batch(b"x"), index=7)
    some = wide.ask("Fetch", 12, session_id=full.session_id, session_epoch=1, topics=[], **limits)
    assert [one.partition_index for one in some.responses[0].partitions] == [7]
    nothing = wide.ask(
        "Fetch", 12, session_id=full.session_id, session_epoch=2, topics=wanted(1, 7), **limits
    )
    assert nothing.responses == ()
    assert nothing.session_id == full.session_id
    assert answers[-1] * 100 < whole


@pytest.mark.row("K11", "K10")
def test_a_session_waits_for_any_of_its_partitions(broker: Broker, wide: Asking) -> None:
    limits = {"max_wait": 20_000, "min_bytes": 1, "max_bytes": 1 << 20}
    first = {**limits, "max_wait": 0, "topics": wanted(1, *range(10, 20))}
    found: list[Any] = []
    with Asking(broker.kafka_bootstrap) as other:
        for index in range(10, 20):
            produce(other, "wide", batch(b"x"), index=index)
        session = wide.ask("Fetch", 12, session_epoch=0, **first).session_id
        ask = {"session_id": session, "session_epoch": 1, "topics": [], **limits}
        waiting = threading.Thread(target=lambda: found.append(wide.ask("Fetch", 12, **ask)))
        waiting.start()
        produce(other, "wide", batch(b"y"), index=13)
        waiting.join(10)
    assert [one.partition_index for one in found[0].responses[0].partitions] == [13]


@pytest.mark.row("K11", "K75")
def test_of_two_requests_at_a_time_the_first_is_told_that_it_is_late(broker: Broker, wide: Asking) -> None:
    """The later one has the news; they would be lost for a client that took both."""
    limits = {"min_bytes": 1, "max_bytes": 1 << 20}
    with Asking(broker.kafka_bootstrap) as other:
        produce(other, "wide", batch(b"x"), index=30)
        begun = wide.ask("Fetch", 12, session_epoch=0, topics=wanted(1, 30), max_wait=0, **limits)
        wide.tell(
            "Fetch", 12, session_id=begun.session_id, session_epoch=1, topics=[], max_wait=10_000, **limits
        )
        given = {"session_id": begun.session_id, "session_epoch": 2, "topics": [], "max_wait": 0, **limits}
        codes = (other.ask("Fetch", 12, **given).error_code for _ in range(1000))
        assert next(code for code in codes if code != WRONG_EPOCH) == NONE, "the first one never came"
        produce(other, "wide", batch(b"y"), index=30)
        assert wide.take(1, 12).error_code == WRONG_EPOCH
