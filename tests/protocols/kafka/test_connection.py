"""A connection without a socket: any split of the input, order of answers, and what closes it (K1, T5)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core
from pillarbox.protocols.kafka import api
from pillarbox.protocols.kafka.beginning import STRANGER_BYTES_MAX
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.connection import CALLS_MAX, PLAIN_BYTES_MAX, Connection
from pillarbox.protocols.kafka.head import Head, Settings
from pillarbox.protocols.kafka.messages.api_versions import ApiVersionsResponse
from pillarbox.testing.memory_journal import MemoryJournal

NOW_MS = 1_700_000_000_000
API_VERSIONS, METADATA, LIST_GROUPS, PRODUCE, SASL_AUTHENTICATE = 18, 3, 16, 0, 36
UNSUPPORTED_VERSION = 35


def request(key: int, version: int, number: int, body: bytes = b"", *, flexible: bool = False) -> bytes:
    """A request with its size."""
    data = struct.pack(">hhih", key, version, number, 2) + b"me" + (b"\0" if flexible else b"") + body
    return struct.pack(">i", len(data)) + data


def connected(**settings: Any) -> Connection:
    core = Core(MemoryJournal(), now_ms=NOW_MS, random=bytes, wake=lambda: None)
    core.add_vhost("/")
    core.add_user("guest", "guest")
    core.set_permission(Permission("guest", "/", ".*", ".*", ".*"))
    head = Head(core, Settings(**{"anonymous": "guest", **settings}))
    return head.connect("127.0.0.1:5 -> 127.0.0.1:9092")


def answers(connection: Connection) -> list[tuple[int, bytes]]:
    """(correlation id, the rest) of everything that there is to write."""
    data = b"".join(connection.take_output())
    found = []
    while data:
        size, number = struct.unpack_from(">ii", data)
        found.append((number, data[8 : 4 + size]))
        data = data[4 + size :]
    return found


ALL_TOPICS = struct.pack(">i", -1)
CONVERSATION = (
    request(API_VERSIONS, 0, 1)
    + request(METADATA, 1, 2, ALL_TOPICS)
    + request(API_VERSIONS, 99, 3, b"\0")
    + request(LIST_GROUPS, 0, 4)
    + request(METADATA, 1, 5, struct.pack(">ih", 1, 1) + b"t")
)


@pytest.mark.row("K1")
@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=12))
def test_any_split_of_the_input_gives_the_same_answers(places: list[int]) -> None:
    whole, split = connected(), connected()
    whole.receive(CONVERSATION)
    edges = sorted({0, len(CONVERSATION), *places})
    for start, stop in itertools.pairwise(edges):
        split.receive(memoryview(CONVERSATION)[start:stop])
    expected = answers(whole)
    assert [number for number, _ in expected] == [1, 2, 3, 4, 5]
    assert answers(split) == expected


@pytest.mark.row("T5")
def test_a_version_of_api_versions_that_nobody_knows_is_answered_in_the_oldest_form() -> None:
    connection = connected()
    connection.receive(request(API_VERSIONS, 99, 7, b"anything at all", flexible=True))
    ((number, data),) = answers(connection)
    error, count, key, first, last = struct.unpack(">hihhh", data)
    assert (number, error, count) == (7, UNSUPPORTED_VERSION, 1)
    assert (key, first, last) == (API_VERSIONS, *connection.head.offered[API_VERSIONS])
    assert not connection.want_close


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">ihhi", 7, 18, 0, 1),
        struct.pack(">ihhi", -1, 18, 0, 1),
        struct.pack(">ihhi", PLAIN_BYTES_MAX + 1, METADATA, 0, 1),
        struct.pack(">ihhi", 2**31 - 1, 0, 9, 1),
        request(METADATA, 99, 1),
        request(4, 0, 1),
        request(-5, 0, 1),
        request(METADATA, 1, 1, b"\0\0"),
        request(METADATA, 1, 1, struct.pack(">i", 2**31 - 1)),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"AMQP\0\0\x09\x01",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),
    ],
    ids=[
        "too small",
        "negative",
        "too large",
        "claims two gigabytes",
        "version that was not offered",
        "key that is not for clients",
        "key that is none",
        "cut off",
        "claims more topics than bytes",
        "HTTP",
        "AMQP",
        "TLS",
    ],
)
@pytest.mark.row("K1")
def test_what_is_no_request_closes_the_connection_after_what_came_before(data: bytes) -> None:
    connection = connected()
    connection.receive(request(API_VERSIONS, 0, 1) + data + request(API_VERSIONS, 0, 2))
    assert [number for number, _ in answers(connection)] == [1]
    assert connection.want_close


@pytest.mark.parametrize("settings", [{}, {"anonymous": ""}], ids=["from elsewhere", "has to log in"])
def test_what_a_stranger_sends_is_not_gathered(settings: dict[str, str]) -> None:
    """Whom to let in is known before a large request is read, by which 100 MiB might be taken."""
    connection = connected(**settings)
    connection.loopback = False
    connection.receive(request(API_VERSIONS, 0, 1))
    connection.receive(struct.pack(">ihhi", STRANGER_BYTES_MAX + 1, PRODUCE, 9, 2))
    assert connection.want_close
    assert connection.session is None
    for key in (API_VERSIONS, SASL_AUTHENTICATE):
        connection = connected(**settings)
        connection.receive(struct.pack(">ihhi", STRANGER_BYTES_MAX + 1, key, 0, 1))
        assert connection.want_close


@pytest.mark.parametrize(
    ("loopback", "certified", "stays"), [(True, None, True), (False, None, False), (False, "guest", True)]
)
def test_who_asks_for_versions_alone_stays_if_it_might_come_in(
    loopback: bool, certified: str | None, stays: bool
) -> None:
    """librdkafka keeps a connection to a coordinator so; a stranger takes a place so."""
    connection = connected()
    connection.loopback, connection.certificate_user = loopback, certified
    connection.receive(request(API_VERSIONS, 0, 1))
    answers(connection)
    connection.tick(NOW_MS + connection.head.settings.login_ms)
    assert connection.want_close is not stays


def test_who_is_let_in_may_begin_with_a_large_request() -> None:
    connection = connected()
    connection.receive(struct.pack(">ihhi", STRANGER_BYTES_MAX + 1, PRODUCE, 9, 2))
    assert not connection.want_close
    assert connection.session is not None


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Handlers of ApiVersions that answer when the test says so."""
    calls: list[Call] = []
    handlers: dict[int, Callable[..., Any]] = {API_VERSIONS: lambda call, asked: calls.append(call)}
    monkeypatch.setattr(api, "_handlers", handlers)
    return calls


@pytest.mark.row("K1")
def test_answers_leave_in_the_order_of_the_requests(slow: list[Call]) -> None:
    connection = connected()
    connection.receive(b"".join(request(API_VERSIONS, 0, number) for number in range(4)))
    for call in (slow[2], slow[1]):
        call.reply(ApiVersionsResponse())
    assert answers(connection) == []
    slow[0].reply(ApiVersionsResponse())
    assert [number for number, _ in answers(connection)] == [0, 1, 2]
    slow[3].skip()
    assert answers(connection) == []


def test_requests_beyond_what_may_wait_are_left_where_they_are(slow: list[Call]) -> None:
    connection = connected()
    connection.receive(b"".join(request(API_VERSIONS, 0, number) for number in range(CALLS_MAX + 2)))
    assert (len(slow), connection.waiting) == (CALLS_MAX, True)
    slow[0].reply(ApiVersionsResponse())
    assert [number for number, _ in answers(connection)] == [0]
    assert (len(slow), connection.waiting) == (CALLS_MAX + 1, True)
    for call in slow[1:]:
        call.reply(ApiVersionsResponse())
    assert [number for number, _ in answers(connection)] == list(range(1, CALLS_MAX + 1))
    assert (len(slow), connection.waiting) == (CALLS_MAX + 2, False)


def test_an_answer_for_a_connection_that_is_gone_is_dropped(slow: list[Call]) -> None:
    connection = connected()
    connection.receive(request(API_VERSIONS, 0, 1))
    connection.closed("gone")
    assert not slow[0].is_open
    slow[0].reply(ApiVersionsResponse())
    assert answers(connection) == []
    assert not connection.head.connections


@pytest.mark.row("K70")
def test_nobody_is_served_without_a_login_where_there_has_to_be_one() -> None:
    connection = connected(anonymous="")
    connection.receive(request(API_VERSIONS, 0, 1) + request(METADATA, 1, 2, ALL_TOPICS))
    assert [number for number, _ in answers(connection)] == [1]
    assert connection.want_close


def test_who_may_come_from_this_machine_only_is_refused_from_another() -> None:
    head = connected().head
    connection = head.connect("10.0.0.9:5 -> 10.0.0.1:9092", loopback=False)
    connection.receive(request(METADATA, 1, 1, ALL_TOPICS))
    assert answers(connection) == []
    assert connection.want_close


def test_a_silent_connection_is_closed_after_its_time() -> None:
    connection = connected(idle_ms=1000)
    connection.receive(request(METADATA, 1, 1, ALL_TOPICS))
    answers(connection)
    connection.tick(NOW_MS + 999)
    assert not connection.want_close
    connection.tick(NOW_MS + 1000)
    assert connection.want_close


@pytest.mark.row("T16")
def test_clients_are_told_the_address_that_accepted_them_unless_another_is_set() -> None:
    head = connected().head
    seen = head.connect("10.0.0.9:5 -> 10.0.0.1:9092")
    assert head.address_for(seen) == ("10.0.0.1", 9092)
    assert head.address_for(head.connect("[::1]:5 -> [::1]:9093")) == ("::1", 9093)
    told = connected(advertised=("kafka.example", 19092)).head
    assert told.address_for(seen) == ("kafka.example", 19092)


@pytest.mark.row("K1", "K71")
@pytest.mark.parametrize(("anonymous", "is_closed"), [("guest", False), ("", True)])
def test_who_has_asked_for_versions_alone_may_wait_if_nobody_has_to_log_in(
    anonymous: str, is_closed: bool
) -> None:
    """librdkafka keeps a connection to the coordinator of its group so, though it may never use it."""
    connection = connected(anonymous=anonymous)
    connection.receive(request(API_VERSIONS, 0, 1))
    assert len(answers(connection)) == 1
    connection.tick(NOW_MS + 10_000)
    assert connection.want_close == is_closed


def test_who_asks_for_nothing_is_closed_after_the_time_for_a_login() -> None:
    connection = connected()
    connection.tick(NOW_MS + 10_000)
    assert connection.want_close
