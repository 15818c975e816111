"""Quotas: which limit counts, how long a client pauses, and that it is not acted on meanwhile."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.core import Core
from pillarbox.clock import ManualClock
from pillarbox.protocols.kafka.connection import Connection
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.errors import Refused
from pillarbox.protocols.kafka.ip_quotas import IpQuotas
from pillarbox.protocols.kafka.quotas import (
    BUCKETS_MAX,
    CONNECTIONS,
    DEFAULT,
    FETCHED,
    IP_LIMITS,
    KINDS,
    PRODUCED,
    REQUESTS,
    Bucket,
    Entity,
    Quotas,
    demand_limit,
)
from pillarbox.store.batch import encode_batch
from pillarbox.testing.memory_journal import MemoryJournal
from tests.protocols.kafka.asking import Asking, ms
from tests.protocols.kafka.test_connection import API_VERSIONS, METADATA, NOW_MS, answers, connected, request

BYTES = KINDS[PRODUCED]
PAUSE_MS_MAX = BYTES.pause_ms_max
RATE = 1000
FULL = RATE * BYTES.window_s


@pytest.fixture
def core() -> Core:
    return Core(MemoryJournal(), now_ms=NOW_MS, random=bytes, wake=lambda: None)


# --- buckets -------------------------------------------------------------------------------------------


@pytest.mark.row("K74")
def test_nobody_pauses_who_stays_below_the_mean() -> None:
    bucket = Bucket(RATE, 0, BYTES)
    assert [bucket.take(RATE, second * 1000) for second in range(100)] == [0] * 100


@pytest.mark.row("K74")
def test_what_is_taken_beyond_ten_seconds_is_paused_for_as_long_as_it_takes_to_come_in() -> None:
    bucket = Bucket(RATE, 0, BYTES)
    assert bucket.take(FULL, 0) == 0
    assert bucket.take(500, 0) == 500
    assert bucket.take(500, 500) == 500
    assert bucket.take(1, 1000) == 1


@pytest.mark.row("K74")
def test_a_long_silence_fills_a_bucket_and_no_more() -> None:
    bucket = Bucket(RATE, 0, BYTES)
    assert bucket.take(FULL, 1_000_000) == 0
    assert bucket.take(1, 1_000_000) == 1


# --- which limit ---------------------------------------------------------------------------------------


@pytest.mark.row("K74")
def test_the_most_exact_limit_counts(core: Core) -> None:
    """In Kafka's order, from the one of a user's client to the one of every client."""
    order: list[Entity] = [
        ("u", "c"),
        ("u", DEFAULT),
        ("u", None),
        (DEFAULT, "c"),
        (DEFAULT, DEFAULT),
        (DEFAULT, None),
        (None, "c"),
        (None, DEFAULT),
    ]
    quotas = Quotas(core)
    for place, entity in reversed(list(enumerate(order))):
        quotas.change(entity, {PRODUCED: 1000.0 * (place + 1)})
        assert quotas.charge(PRODUCED, "u", "c", FULL * (place + 1) + place + 1) == 1
    assert quotas.charge(FETCHED, "u", "c", 1 << 40) == 0


@pytest.mark.row("K74")
@pytest.mark.parametrize(
    ("entity", "sharing", "apart"),
    [
        (("u", None), ("u", "other"), ("v", "c")),
        ((DEFAULT, None), ("u", "other"), ("v", "c")),
        ((None, DEFAULT), ("v", "c"), ("u", "other")),
        ((DEFAULT, DEFAULT), ("u", "c"), ("u", "other")),
    ],
)
def test_who_shares_a_limit_shares_what_is_left(
    core: Core, entity: Entity, sharing: tuple[str, str], apart: tuple[str, str]
) -> None:
    quotas = Quotas(core)
    quotas.change(entity, {PRODUCED: RATE})
    assert quotas.charge(PRODUCED, "u", "c", FULL) == 0
    assert quotas.charge(PRODUCED, *apart, 1) == 0
    assert quotas.charge(PRODUCED, *sharing, 1) == 1


@pytest.mark.row("K74")
def test_one_pause_has_an_end_and_the_rest_is_paid_later(core: Core) -> None:
    quotas = Quotas(core)
    quotas.change(("u", None), {PRODUCED: 1})
    assert quotas.charge(PRODUCED, "u", "", 1_000_000) == PAUSE_MS_MAX
    assert quotas.charge(PRODUCED, "u", "", 1) == PAUSE_MS_MAX


@pytest.mark.row("K74")
@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e300])
def test_the_smallest_and_the_largest_limits_are_kept_too(rate: float) -> None:
    bucket = Bucket(rate, 0, BYTES)
    assert bucket.take(rate * BYTES.window_s, 0) == 0
    assert bucket.take(rate, 1000) == 0
    assert bucket.take(rate * 100, 1000) == PAUSE_MS_MAX


@pytest.mark.row("K74")
def test_clients_of_ever_other_ids_take_no_more_memory(core: Core) -> None:
    quotas = Quotas(core)
    quotas.change((None, DEFAULT), {PRODUCED: RATE})
    for number in range(BUCKETS_MAX + 1):
        quotas.charge(PRODUCED, "u", str(number), 1)
    assert len(quotas._buckets) == 1


@pytest.mark.row("K74")
def test_limits_are_there_again_after_a_restart_and_gone_when_they_are_lifted(core: Core) -> None:
    quotas = Quotas(core)
    quotas.change(("u", DEFAULT), {PRODUCED: 1.0, FETCHED: 2.0})
    quotas.change(("v", None), {PRODUCED: 1.0})
    quotas.change(("u", DEFAULT), {PRODUCED: None})
    quotas.change(("v", None), {PRODUCED: None})
    assert list(Quotas(core)) == [(("u", DEFAULT), {FETCHED: 2.0})]


# --- a connection in a pause ---------------------------------------------------------------------------


@pytest.mark.row("K74")
def test_a_connection_is_not_acted_on_in_a_pause_and_goes_on_after_it() -> None:
    connection = connected()
    core = connection.head.core
    connection.receive(request(API_VERSIONS, 0, 1))
    connection.mute(500)
    assert [number for number, _ in answers(connection)] == [1]
    connection.receive(request(API_VERSIONS, 0, 2))
    core.set_time(NOW_MS + 499)
    core.tick(NOW_MS + 499)
    assert connection.waiting
    assert answers(connection) == []
    core.set_time(NOW_MS + 500)
    core.tick(NOW_MS + 500)
    assert not connection.waiting
    assert [number for number, _ in answers(connection)] == [2]


# --- over sockets --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Its time is ours."""
    with Broker(kafka_port=0, clock=ManualClock()) as running:
        yield running


@pytest.fixture
def alone() -> Iterator[Asking]:
    """A client of a broker of its own."""
    with Broker(kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        yield client


def entry(user: str | None = "guest", remove: bool = False, **values: float) -> dict[str, Any]:
    ops = [{"key": key, "value": value, "remove": remove} for key, value in values.items()]
    return {"entity": [{"entity_type": "user", "entity_name": user}], "ops": ops}


def of_ip(address: str | None, remove: bool = False, **values: float) -> dict[str, Any]:
    return {**entry(remove=remove, **values), "entity": [{"entity_type": "ip", "entity_name": address}]}


def alter(client: Asking, *entries: dict[str, Any], version: int = 1, **more: Any) -> list[int]:
    answer = client.ask("AlterClientQuotas", version, entries=entries, **more)
    return [each.error_code.value for each in answer.entries]


def described(client: Asking, *components: tuple[str, int, str | None], strict: bool = False) -> list[Any]:
    wanted = [{"entity_type": kind, "match_type": match, "match": name} for kind, match, name in components]
    answer = client.ask("DescribeClientQuotas", 1, components=wanted, strict=strict)
    assert answer.error_code.value == Code.NONE
    return [
        (
            {part.entity_type: part.entity_name for part in each.entity},
            {value.key: value.value for value in each.values},
        )
        for each in answer.entries
    ]


def produce(client: Asking, size: int, acks: int = -1) -> Any:
    batch = b"".join(encode_batch([(b"k", bytes(size))], timestamp_ms=1).chunks)
    data = [{"name": "t", "partition_data": [{"index": 0, "records": batch}]}]
    return client.ask("Produce", 9, acks=acks, topic_data=data)


@pytest.mark.row("K74", "K18")
def test_who_produces_too_much_is_told_to_pause_and_not_read_until_the_time_is_over(broker: Broker) -> None:
    with Asking(broker.kafka_bootstrap, client_id="app") as client:
        client.ask("Metadata", 12, topics=[{"name": "t"}], allow_auto_topic_creation=True)
        assert alter(client, entry(producer_byte_rate=1000)) == [Code.NONE]
        pause_ms = ms(produce(client, 30_000).throttle_time)
        assert 20_000 < pause_ms < 20_500
        client.tell("Metadata", 12, topics=())
        with Asking(broker.kafka_bootstrap) as other:
            assert other.ask("Metadata", 12, topics=()).brokers
        broker.call(lambda server: server.clock.advance(pause_ms))
        assert client.take(3, 12).brokers
        assert alter(client, entry(producer_byte_rate=0, remove=True)) == [Code.NONE]
        assert ms(produce(client, 30_000).throttle_time) == 0


@pytest.mark.row("K74", "K18")
def test_who_fetches_too_much_gets_it_and_pauses_then(broker: Broker) -> None:
    with Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 12, topics=[{"name": "t"}], allow_auto_topic_creation=True)
        (listed,) = client.ask(
            "ListOffsets",
            7,
            replica_id=-1,
            topics=[
                {
                    "name": "t",
                    "partitions": [{"partition_index": 0, "current_leader_epoch": -1, "timestamp": -1}],
                }
            ],
        ).topics
        produce(client, 25_000)
        assert alter(client, entry(consumer_byte_rate=1000)) == [Code.NONE]
        part = {
            "fetch_offset": listed.partitions[0].offset,
            "partition_max_bytes": 1 << 20,
            "current_leader_epoch": -1,
        }
        topic = {"topic": "t", "partitions": [{**part, "last_fetched_epoch": -1}]}
        answer = client.ask(
            "Fetch", 12, replica_id=-1, max_bytes=1 << 20, session_epoch=-1, min_bytes=1, topics=[topic]
        )
        assert len(answer.responses[0].partitions[0].records) > 25_000
        assert 15_000 < ms(answer.throttle_time) < 60_001
        with Asking(broker.kafka_bootstrap) as other:
            assert alter(other, entry(consumer_byte_rate=0, remove=True)) == [Code.NONE]


@pytest.mark.row("K74")
def test_limits_are_found_by_filters(alone: Asking) -> None:
    both = [{"entity_type": "user", "entity_name": "f"}, {"entity_type": "client-id", "entity_name": None}]
    ops = [{"key": "consumer_byte_rate", "value": 7}]
    of_both = {"entity": both, "ops": ops}
    entries = entry("f", producer_byte_rate=5), entry(None, producer_byte_rate=6), of_both
    assert alter(alone, *entries, version=0) == [Code.NONE] * 3
    of_f = ({"user": "f"}, {"producer_byte_rate": 5.0})
    of_all = ({"user": None}, {"producer_byte_rate": 6.0})
    of_both = ({"user": "f", "client-id": None}, {"consumer_byte_rate": 7.0})
    exact, by_default, anything = 0, 1, 2
    assert described(alone) == [of_f, of_all, of_both]
    assert described(alone, ("user", exact, "f")) == [of_f, of_both]
    assert described(alone, ("user", exact, "f"), strict=True) == [of_f]
    assert described(alone, ("user", by_default, None)) == [of_all]
    assert described(alone, ("client-id", anything, None)) == [of_both]
    assert described(alone, ("ip", anything, None)) == []
    for wanted, code in (
        ([("planet", exact, "x")], Code.UNSUPPORTED_VERSION),
        ([("user", exact, "x"), ("user", anything, None)], Code.INVALID_REQUEST),
        ([("user", 9, "x")], Code.INVALID_REQUEST),
        ([("", exact, "x")], Code.INVALID_REQUEST),
        ([("user", exact, "x"), ("ip", exact, "10.0.0.1")], Code.INVALID_REQUEST),
    ):
        parts = [{"entity_type": kind, "match_type": how, "match": name} for kind, how, name in wanted]
        answer = alone.ask("DescribeClientQuotas", 1, components=parts)
        assert (answer.error_code.value, answer.entries) == (code, None)


@pytest.mark.row("K74")
@pytest.mark.parametrize(
    "wrong",
    [
        {"entity": [], "ops": []},
        {"entity": [{"entity_type": "planet", "entity_name": "x"}], "ops": []},
        {"entity": [{"entity_type": "ip", "entity_name": "not an address"}], "ops": []},
        {"entity": [{"entity_type": kind, "entity_name": "10.0.0.1"} for kind in ("ip", "user")], "ops": []},
        of_ip("10.0.0.1", producer_byte_rate=1),
        of_ip("10.0.0.1", connection_creation_rate=1.5),
        of_ip(None, connection_creation_rate=2**31),
        entry(connection_creation_rate=1),
        entry(request_percentage=0),
        entry(request_percentage=float("inf")),
        entry(controller_mutation_rate=float("nan")),
        {"entity": [{"entity_type": "user", "entity_name": ""}], "ops": []},
        {"entity": [{"entity_type": "user", "entity_name": name} for name in "ab"], "ops": []},
        entry(no_such_rate=1),
        entry(producer_byte_rate=0),
        entry(producer_byte_rate=1.5),
        entry(producer_byte_rate=float("nan")),
        entry(producer_byte_rate=float("inf")),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_alone(client: Asking, wrong: dict[str, Any]) -> None:
    answer = client.ask(
        "AlterClientQuotas", 1, entries=[wrong, entry("x", producer_byte_rate=1)], validate_only=True
    )
    assert [each.error_code.value for each in answer.entries] == [Code.INVALID_REQUEST, Code.NONE]
    assert answer.entries[0].error_message
    assert not described(client, ("user", 0, "x"))


@pytest.mark.row("K74")
def test_limits_outlive_a_restart(tmp_path: Path) -> None:
    with Broker(data=tmp_path, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        assert alter(client, entry(producer_byte_rate=9)) == [Code.NONE]
    with Broker(data=tmp_path, kafka_port=0) as running, Asking(running.kafka_bootstrap) as client:
        assert described(client) == [({"user": "guest"}, {"producer_byte_rate": 9.0})]


# --- time of requests ----------------------------------------------------------------------------------

MS = 1_000_000


def timed(took_ms: int) -> Connection:
    """A connection to a broker where every look at the clock finds it moved on by so much, and whose user may
    have a tenth of a second's time a second."""
    connection = connected()
    times = itertools.count(0, took_ms * MS)
    connection.head.steady_ns = lambda: next(times)
    connection.head.quotas.change(("guest", None), {REQUESTS: 10.0})
    return connection


def pauses(connection: Connection, count: int) -> list[int]:
    """How long to pause, as so many answers to Metadata say."""
    told = []
    for number in range(count):
        connection.receive(request(METADATA, 3, number, struct.pack(">i", 0)))
        told += [struct.unpack_from(">i", data)[0] for _, data in answers(connection)]
    return told


@pytest.mark.row("K74")
def test_who_takes_more_than_its_share_of_the_time_pauses_for_a_second_at_most() -> None:
    """A share of ten seconds' time can be used at once: here that is a second."""
    connection = timed(250)
    assert pauses(connection, 5) == [0, 0, 0, 0, 1000]
    core = connection.head.core
    assert pauses(connection, 1) == []
    core.set_time(NOW_MS + 1000)
    core.tick(NOW_MS + 1000)
    ((_, late),) = answers(connection)
    assert struct.unpack_from(">i", late) == (1000,)


@pytest.mark.row("K74")
def test_a_pause_for_time_is_as_long_as_it_takes_to_come_in() -> None:
    connection = timed(1010)
    assert pauses(connection, 1) == [100]


@pytest.mark.row("K74")
def test_time_is_not_looked_at_where_nobody_limits_it() -> None:
    connection = connected()
    connection.head.quotas.change(("guest", None), {PRODUCED: 10.0})

    def steady_ns() -> int:
        raise AssertionError("nobody wants to know")

    connection.head.steady_ns = steady_ns
    assert pauses(connection, 3) == [0, 0, 0]


@pytest.mark.row("K74", "K18")
def test_the_time_of_what_waits_is_that_of_its_work(broker: Broker) -> None:
    """A fetch that waits for a second has not worked for one; an answer without a word for it has none."""
    with Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 12, topics=[{"name": "slow"}], allow_auto_topic_creation=True)
        assert alter(client, entry(request_percentage=10)) == [Code.NONE]
        part = {"fetch_offset": 0, "partition_max_bytes": 1, "current_leader_epoch": -1}
        topic = {"topic": "slow", "partitions": [{**part, "last_fetched_epoch": -1}]}
        limits = {"max_bytes": 1, "session_epoch": -1, "min_bytes": 1, "max_wait": 5000}
        client.tell("Fetch", 12, replica_id=-1, topics=[topic], **limits)
        with Asking(broker.kafka_bootstrap) as other:
            assert other.ask("Metadata", 12, topics=()).brokers
        broker.call(lambda server: server.clock.advance(5000))
        assert ms(client.take(1, 12).throttle_time) == 0
        assert alter(client, entry(request_percentage=1e-9)) == [Code.NONE]
        broker.call(lambda server: server.clock.advance(1000))
        answer = client.ask("DescribeQuorum", 1, topics=())
        assert answer.error_code.value == Code.NONE
        client.tell("Metadata", 12, topics=())
        broker.call(lambda server: server.clock.advance(1000))
        assert ms(client.take(3, 12).throttle_time) == 1000
    broker.call(lambda server: server.clock.advance(1000))
    with Asking(broker.kafka_bootstrap) as other:
        other.tell("AlterClientQuotas", 1, entries=[entry(request_percentage=0, remove=True)])
        broker.call(lambda server: server.clock.advance(1000))
        assert other.take(49, 1).entries[0].error_code.value == Code.NONE


# --- connections of an address -------------------------------------------------------------------------


@pytest.mark.row("K74")
def test_an_address_may_connect_as_often_as_ten_seconds_allow(core: Core) -> None:
    quotas = IpQuotas(core)
    quotas.change("10.0.0.1", {CONNECTIONS: 2.0})
    quotas.change(DEFAULT, {CONNECTIONS: 1.0})
    assert [quotas.admit("10.0.0.1") for _ in range(22)] == [0] * 20 + [500] * 2
    for host in ("10.0.0.2", "::1"):
        assert [quotas.admit(host) for _ in range(12)] == [0] * 10 + [1000] * 2
    core.set_time(NOW_MS + 500)
    assert [quotas.admit("::ffff:10.0.0.1") for _ in range(2)] == [0, 500]


@pytest.mark.row("K74")
def test_limits_of_addresses_outlive_a_restart_until_they_are_lifted(
    core: Core,
) -> None:
    quotas = IpQuotas(core)
    for name in ("10.0.0.1", DEFAULT, "::1"):
        quotas.change(name, {CONNECTIONS: 3.0})
    quotas.change("::1", {CONNECTIONS: None})
    assert list(IpQuotas(core)) == [("10.0.0.1", {CONNECTIONS: 3.0}), (DEFAULT, {CONNECTIONS: 3.0})]
    assert IpQuotas(core).admit("::1") == 0
    quotas.change(DEFAULT, {CONNECTIONS: None})
    assert [quotas.admit("::1") for _ in range(100)] == [0] * 100


@pytest.mark.row("K74")
def test_who_connects_too_often_is_not_acted_on_and_closed_when_there_would_be_room(limited: Broker) -> None:
    with Asking(limited.kafka_bootstrap) as admin:
        assert alter(admin, of_ip("127.0.0.1", connection_creation_rate=1)) == [Code.NONE]
        for _ in range(10):
            with Asking(limited.kafka_bootstrap) as client:
                assert client.ask("Metadata", 12, topics=()).brokers
        with Asking(limited.kafka_bootstrap) as client:
            client.tell("Metadata", 12, topics=())
            assert admin.ask("Metadata", 12, topics=()).brokers
            limited.call(lambda server: server.clock.advance(1000))
            assert client.is_closed
        assert described(admin, ("ip", 2, None)) == [({"ip": "127.0.0.1"}, {"connection_creation_rate": 1.0})]
        assert alter(admin, of_ip("127.0.0.1", connection_creation_rate=0, remove=True)) == [Code.NONE]
        assert described(admin, ("ip", 2, None)) == []
        with Asking(limited.kafka_bootstrap) as client:
            assert client.ask("Metadata", 12, topics=()).brokers


@pytest.mark.row("K74")
def test_a_limit_of_connections_is_a_whole_number() -> None:
    demand_limit(IP_LIMITS, CONNECTIONS, 7.0)
    with pytest.raises(Refused, match="connection_creation_rate cannot be a fractional value"):
        demand_limit(IP_LIMITS, CONNECTIONS, 7.5)


# --- changes of topics ----------------------------------------------------------------------------------

MUTATIONS_A_SECOND = 2
AT_ONCE = MUTATIONS_A_SECOND * 11


@pytest.fixture
def limited() -> Iterator[Broker]:
    """With a clock that stands, so that what is used up stays so."""
    with Broker(kafka_port=0, clock=ManualClock()) as broker:
        with Asking(broker.kafka_bootstrap) as admin:
            entity = [{"entity_type": "user", "entity_name": "guest"}]
            ops = [{"key": "controller_mutation_rate", "value": MUTATIONS_A_SECOND, "remove": False}]
            entries = [{"entity": entity, "ops": ops}]
            answer = admin.ask("AlterClientQuotas", 1, entries=entries, validate_only=False)
            assert answer.entries[0].error_code == Code.NONE
        yield broker


def creating(client: Asking, version: int, **topics: int) -> tuple[list[int], int]:
    """The errors, and how long to pause."""
    wanted = [
        {"name": name, "num_partitions": count, "replication_factor": 1} for name, count in topics.items()
    ]
    answer = client.ask("CreateTopics", version, topics=wanted, timeout=5000)
    return [made.error_code.value for made in answer.topics], ms(answer.throttle_time)


@pytest.mark.row("K74", "K75")
def test_who_changes_too_much_is_refused_and_told_when_to_come_back(limited: Broker) -> None:
    with Asking(limited.kafka_bootstrap) as client:
        assert creating(client, 7, a=AT_ONCE) == ([Code.NONE], 0)
        codes, pause_ms = creating(client, 7, b=3, c=1)
        assert codes == [Code.NONE, Code.THROTTLING_QUOTA_EXCEEDED]
        assert pause_ms == 1500
    with Asking(limited.kafka_bootstrap) as client:
        topics = [{"name": "b", "count": 5, "assignments": None}]
        (grown,) = client.ask("CreatePartitions", 3, topics=topics, timeout=5000).results
        assert grown.error_code.value == Code.THROTTLING_QUOTA_EXCEEDED
    with Asking(limited.kafka_bootstrap) as client:
        states = [{"name": "a"}]
        (gone,) = client.ask("DeleteTopics", 6, topics=states, timeout=5000).responses
        assert gone.error_code.value == Code.THROTTLING_QUOTA_EXCEEDED


@pytest.mark.row("K74")
def test_older_clients_are_served_and_paused(limited: Broker) -> None:
    with Asking(limited.kafka_bootstrap) as client:
        assert creating(client, 5, a=AT_ONCE + 1, b=1) == ([Code.NONE, Code.NONE], 1000)


@pytest.mark.row("K74")
def test_changes_of_others_are_not_limited(limited: Broker) -> None:
    """Nor is what was never limited: another kind of limit does not count for it."""
    with Asking(limited.kafka_bootstrap) as admin:
        for key, value, remove in (("controller_mutation_rate", 0, True), ("producer_byte_rate", 9, False)):
            entity = [{"entity_type": "user", "entity_name": "guest"}]
            ops = [{"key": key, "value": value, "remove": remove}]
            admin.ask("AlterClientQuotas", 1, entries=[{"entity": entity, "ops": ops}], validate_only=False)
        assert creating(admin, 7, a=AT_ONCE, b=AT_ONCE, c=1) == ([Code.NONE] * 3, 0)
