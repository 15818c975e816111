"""The transaction coordinator: every refusal, what readers see, time, and what a restart takes over."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.clock import ManualClock
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.transactions import EPOCH_LAST
from pillarbox.store.batch import read_header
from pillarbox.store.producers import ProducerRefused, Refusal
from tests.protocols.kafka.asking import KEYS, Asking
from tests.protocols.kafka.party import GROUP, NAME, NEW, OLD, TOPIC, WAIT_S, Party

COMMITTED, UNCOMMITTED = 1, 0


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(kafka_port=0) as running:
        yield running


@pytest.fixture
def party(broker: Broker) -> Iterator[Party]:
    with Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        assert party.begin() == Code.NONE
        yield party


def seen(client: Asking, isolation: int, index: int = 0) -> tuple[int, int, list[int]]:
    """What a reader gets: how many batches, up to which offset it may read, whose records are aborted."""
    values = {"max_wait": 0, "min_bytes": 1, "max_bytes": 1 << 20, "session_epoch": -1}
    offset = batches = 0
    aborted: dict[int, None] = {}
    while True:
        partition = {"partition": index, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
        partition |= {"current_leader_epoch": -1, "last_fetched_epoch": -1}
        topics = [{"topic": TOPIC, "partitions": [partition]}]
        response = client.ask("Fetch", 12, isolation_level=isolation, topics=topics, **values)
        found = response.responses[0].partitions[0]
        aborted |= dict.fromkeys(one.producer_id for one in found.aborted_transactions or ())
        data = found.records
        if not data:
            return batches, found.last_stable_offset, list(aborted)
        while data:
            header = read_header(data)
            offset, data = header.next_offset, data[header.size :]
            batches += 1


def seen_at_last(client: Asking, offset: int) -> tuple[int, int, list[int]]:
    """The same of committed records, when it reaches to this offset: nobody is told when that is."""
    deadline = time.monotonic() + WAIT_S
    while (found := seen(client, COMMITTED))[1] < offset:
        assert time.monotonic() < deadline, f"{found} is all that there is"
    return found


def committed(client: Asking) -> int:
    """How far the group has read."""
    topics = [{"name": TOPIC, "partition_indexes": [0]}]
    found = client.ask("OffsetFetch", 5, group_id=GROUP, topics=topics)
    return int(found.topics[0].partitions[0].committed_offset)


@pytest.mark.row("K60", "K10")
@pytest.mark.parametrize("version", [OLD, NEW])
def test_readers_of_committed_records_see_a_transaction_when_it_has_ended(party: Party, version: int) -> None:
    assert party.join() == Code.NONE
    assert [party.send(b"a"), party.send(b"b")] == [Code.NONE] * 2
    assert seen(party.client, COMMITTED) == (0, 0, [])
    assert seen(party.client, UNCOMMITTED)[0] == 2
    assert party.end(version=version) == Code.NONE
    # Two batches and the marker.
    assert seen(party.client, COMMITTED) == (3, 3, [])


@pytest.mark.row("K60")
def test_an_aborted_transaction_is_named_to_readers_of_committed_records(party: Party) -> None:
    party.join()
    party.send(b"a")
    assert party.end(commit=False) == Code.NONE
    assert seen(party.client, COMMITTED) == (2, 2, [party.id])
    assert seen(party.client, UNCOMMITTED) == (2, 2, [])


@pytest.mark.row("K60", "K54")
@pytest.mark.parametrize("commit", [True, False])
def test_offsets_of_a_group_count_with_the_commit_and_not_before(party: Party, commit: bool) -> None:
    assert party.hold(7) == Code.NONE
    assert committed(party.client) == -1
    assert party.end(commit=commit) == Code.NONE
    assert committed(party.client) == (7 if commit else -1)


@pytest.mark.row("K54", "K60")
def test_an_offset_that_is_committed_or_deleted_later_than_that_of_a_transaction_counts(party: Party) -> None:
    assert party.hold(50) == Code.NONE
    place = [{"partition_index": 0, "committed_offset": 60, "committed_leader_epoch": -1}]
    topics = [{"name": TOPIC, "partitions": place}]
    said = {"generation_id_or_member_epoch": -1, "member_id": "", "topics": topics}
    party.client.ask("OffsetCommit", 8, group_id=GROUP, **said)
    assert party.end() == Code.NONE
    assert committed(party.client) == 60
    assert party.hold(70) == Code.NONE
    topics = [{"name": TOPIC, "partitions": [{"partition_index": 0}]}]
    party.client.ask("OffsetDelete", 0, group_id=GROUP, topics=topics)
    assert party.end() == Code.NONE
    assert committed(party.client) == -1


@pytest.mark.row("K55", "K61")
def test_a_member_of_another_epoch_commits_nothing_and_is_told_so_in_words_that_producers_know(
    party: Party,
) -> None:
    """Java's producer takes STALE_MEMBER_EPOCH for the end of it, and this for that of the transaction."""
    said = {"group_id": GROUP, "member_id": "m", "member_epoch": 0, "rebalance_timeout": 60_000}
    said |= {"subscribed_topic_names": [TOPIC], "topic_partitions": []}
    epoch = party.client.ask("ConsumerGroupHeartbeat", 1, **said).member_epoch
    assert party.commit(5, version=5, member_id="m", generation_id=epoch) == Code.NONE
    assert party.commit(5, version=5, member_id="m", generation_id=epoch + 1) == Code.ILLEGAL_GENERATION


@pytest.mark.row("K50", "K61")
def test_a_transaction_commits_offsets_while_a_round_is_not_over(party: Party) -> None:
    said = {"group_id": GROUP, "session_timeout": 10_000, "rebalance_timeout": 10_000}
    said |= {"protocol_type": "consumer", "protocols": [{"name": "range", "metadata": b"me"}]}
    joined = party.client.ask("JoinGroup", 3, member_id="", **said)
    member = {"member_id": joined.member_id, "generation_id": joined.generation_id}
    assert party.commit(5, version=5, **member) == Code.NONE
    assert party.end() == Code.NONE
    assert committed(party.client) == 5


@pytest.mark.row("K62")
def test_a_client_of_the_second_kind_does_not_say_where_it_will_write(party: Party) -> None:
    epoch = party.epoch
    assert party.send(b"a", version=12) == Code.NONE
    assert party.end(version=NEW) == Code.NONE
    assert party.epoch == epoch + 1
    assert party.send(b"b", version=12) == Code.NONE
    assert party.end(version=NEW) == Code.NONE
    assert seen(party.client, COMMITTED) == (4, 4, [])


@pytest.mark.row("K62")
def test_the_same_end_again_is_answered_as_before(party: Party) -> None:
    party.send(b"a", version=12)
    who = (party.id, party.epoch)
    assert party.end(version=NEW) == Code.NONE
    following = (party.id, party.epoch)
    party.id, party.epoch = who
    assert party.end(version=NEW) == Code.NONE
    assert (party.id, party.epoch) == following
    party.id, party.epoch = who
    assert party.end(version=NEW, commit=False) == Code.INVALID_TXN_STATE
    assert party.end(version=OLD) == Code.PRODUCER_FENCED


@pytest.mark.row("K60", "K61")
def test_a_second_producer_of_the_name_fences_the_first_and_aborts_what_it_has_open(party: Party) -> None:
    party.join()
    party.send(b"a")
    second = Party(party.client)
    assert second.begin() == Code.NONE
    assert second.id == party.id
    assert second.epoch > party.epoch
    assert seen(party.client, COMMITTED) == (2, 2, [party.id])
    assert party.join() == Code.PRODUCER_FENCED
    assert party.send(b"b") == Code.INVALID_PRODUCER_EPOCH
    assert party.hold(1) == Code.PRODUCER_FENCED
    assert party.end() == Code.PRODUCER_FENCED
    assert second.join() == Code.NONE
    assert second.send(b"c") == Code.NONE
    assert second.end() == Code.NONE


@pytest.mark.row("K61")
def test_two_producers_that_begin_in_one_moment_are_told_apart(tmp_path: Path) -> None:
    """Both are answered when what they have changed is durable, each with its own epoch."""
    with (
        Broker(str(tmp_path), kafka_port=0) as broker,
        Asking(broker.kafka_bootstrap) as one,
        Asking(broker.kafka_bootstrap) as other,
    ):
        assert Party(one).begin() == Code.NONE
        values = {"transaction_timeout": 60_000, "producer_id": -1, "producer_epoch": -1}

        def both(server: Any) -> None:
            """While the broker can read neither."""
            for client in (one, other):
                client.tell("InitProducerId", 4, transactional_id=NAME, **values)

        broker.call(both)
        found = [client.take(KEYS["InitProducerId"], 4) for client in (one, other)]
        assert [each.error_code.value for each in found] == [0, 0]
        assert {each.producer_epoch for each in found} == {1, 2}


@pytest.mark.row("K61")
def test_a_producer_goes_on_in_another_epoch_if_it_is_the_last_one(party: Party) -> None:
    def again(epoch: int) -> Any:
        return party.client.ask(
            "InitProducerId",
            4,
            transactional_id=NAME,
            transaction_timeout=60_000,
            producer_id=party.id,
            producer_epoch=epoch,
        )

    assert again(party.epoch + 5).error_code.value == Code.PRODUCER_FENCED
    found = again(party.epoch)
    assert (found.error_code.value, found.producer_id, found.producer_epoch) == (0, party.id, party.epoch + 1)


@pytest.mark.row("K60", "K63")
@pytest.mark.parametrize(
    ("name", "timeout_ms", "error"),
    [
        ("", 1000, Code.INVALID_REQUEST),
        ("x", 0, Code.INVALID_TRANSACTION_TIMEOUT),
        ("x", 900_001, Code.INVALID_TRANSACTION_TIMEOUT),
    ],
)
def test_a_name_or_a_time_that_cannot_be_is_refused(
    party: Party, name: str, timeout_ms: int, error: Code
) -> None:
    assert Party(party.client, name).begin(timeout_ms=timeout_ms) == error


@pytest.mark.row("K60")
def test_what_a_stranger_asks_for_is_refused(party: Party) -> None:
    stranger = Party(party.client, "nobody")
    assert stranger.join() == Code.INVALID_PRODUCER_ID_MAPPING
    assert stranger.end() == Code.INVALID_PRODUCER_ID_MAPPING
    assert stranger.hold(1) == Code.INVALID_PRODUCER_ID_MAPPING


@pytest.mark.row("K60")
def test_what_has_not_begun_does_not_end_and_takes_no_records(party: Party) -> None:
    assert party.end() == Code.INVALID_TXN_STATE
    assert party.send(b"a") == Code.INVALID_TXN_STATE
    assert party.join("missing") == Code.UNKNOWN_TOPIC_OR_PARTITION
    party.join()
    assert party.end() == Code.NONE
    assert party.end() == Code.NONE
    assert party.end(commit=False) == Code.INVALID_TXN_STATE


@pytest.mark.row("K64")
def test_transactions_and_producers_are_listed(party: Party) -> None:
    party.join()
    party.send(b"a")
    (listed,) = party.client.ask("ListTransactions", 1, duration_filter=-1).transaction_states
    assert (listed.transactional_id, listed.transaction_state) == (NAME, "Ongoing")
    none = party.client.ask("ListTransactions", 1, state_filters=["Empty", "Odd"], duration_filter=-1)
    assert (none.transaction_states, none.unknown_state_filters) == ((), ("Odd",))
    described = party.client.ask("DescribeTransactions", 0, transactional_ids=[NAME, "other"])
    first, second = described.transaction_states
    assert (first.topics[0].topic, first.topics[0].partitions, first.producer_id) == (TOPIC, (0,), party.id)
    assert second.error_code.value == Code.TRANSACTIONAL_ID_NOT_FOUND
    wanted = [{"name": TOPIC, "partition_indexes": [0, 1]}]
    known, missing = party.client.ask("DescribeProducers", 0, topics=wanted).topics[0].partitions
    assert known.active_producers[0].current_txn_start_offset == 0
    assert missing.error_code.value == Code.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.row("K63")
def test_a_transaction_that_nobody_ends_is_aborted_after_its_time_and_its_producer_fenced() -> None:
    clock = ManualClock()
    with Broker(kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.client_ms = clock.now_ms()
        party.begin(timeout_ms=30_000)
        party.join()
        assert party.send(b"a") == Code.NONE
        broker.advance("29s")
        assert seen(client, COMMITTED)[1] == 0
        broker.advance("12s")
        assert seen_at_last(client, 2) == (2, 2, [party.id])
        assert party.send(b"b") == Code.INVALID_PRODUCER_EPOCH
        assert party.end() == Code.PRODUCER_FENCED


@pytest.mark.row("K60")
@pytest.mark.parametrize("commit", [True, False])
def test_a_transaction_goes_on_after_a_restart(tmp_path: Path, commit: bool) -> None:
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.begin()
        party.join()
        party.send(b"a")
        party.hold(5)
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        party.client = client
        assert seen(client, COMMITTED) == (0, 0, [])
        assert party.send(b"b") == Code.NONE
        assert party.end(commit=commit) == Code.NONE
        assert seen(client, COMMITTED) == (3, 3, [] if commit else [party.id])
        assert committed(client) == (5 if commit else -1)


@pytest.mark.row("K54", "K60")
def test_a_transaction_that_holds_offsets_alone_goes_on_after_a_restart(tmp_path: Path) -> None:
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.begin()
        party.hold(5)
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        asked = {"name": TOPIC, "partition_indexes": [0]}
        wanted = [{"group_id": GROUP, "topics": [asked]}]

        def error() -> int:
            found = client.ask("OffsetFetch", 8, groups=wanted, require_stable=True)
            return int(found.groups[0].topics[0].partitions[0].error_code.value)

        assert error() == Code.UNSTABLE_OFFSET_COMMIT
        assert Party(client).begin() == Code.NONE
        assert error() == Code.NONE


@pytest.mark.row("K60")
def test_what_was_decided_before_a_crash_is_marked_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is durable, and the broker dies before any partition has its marker."""
    from pillarbox.protocols.kafka.transactions import Transactions

    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.begin()
        party.join()
        party.send(b"a")
        marked: list[Callable[..., Any]] = []
        with monkeypatch.context() as patch:
            patch.setattr(Transactions, "_mark", lambda *arguments, **named: marked.append(arguments[1]))
            client.tell("EndTxn", OLD, committed=True, **party.who)
            while not marked:
                pass
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        (found,) = client.ask("ListTransactions", 1, duration_filter=-1).transaction_states
        assert found.transaction_state in ("PrepareCommit", "CompleteCommit")
        assert seen_at_last(client, 2) == (2, 2, [])
        # And what the producer begins then is another transaction, whose end is open.
        party.client = client
        party.join()
        party.send(b"b")
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert seen(client, COMMITTED) == (2, 2, [])
        party.client = client
        assert party.end(commit=False) == Code.NONE
        assert seen(client, COMMITTED) == (4, 4, [party.id])


def two_committed(client: Asking) -> Party:
    """A producer in a new topic, after its first transaction."""
    client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
    party = Party(client)
    party.begin()
    party.join()
    assert [party.send(b"a"), party.send(b"b")] == [Code.NONE] * 2
    assert party.end() == Code.NONE
    return party


def demand_open(client: Asking, party: Party) -> None:
    """The transaction of one record is open, and its producer ends it as it likes."""
    assert seen(client, COMMITTED) == (0, 0, [])
    party.client = client
    assert party.end(commit=False) == Code.NONE
    assert seen(client, COMMITTED) == (2, 2, [party.id])


@pytest.mark.row("K60")
def test_what_was_decided_of_a_topic_is_not_about_one_that_is_made_anew(tmp_path: Path) -> None:
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        party = two_committed(client)
        client.ask("DeleteTopics", 5, topic_names=[TOPIC], timeout=1000)
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party.begin(go_on=True)
        party.join()
        assert party.send(b"c") == Code.NONE
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        demand_open(client, party)


@pytest.mark.row("K60")
def test_what_stands_in_the_place_of_what_a_power_cut_has_taken_was_not_decided(tmp_path: Path) -> None:
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        party = two_committed(client)
    for folder in (tmp_path / "logs").iterdir():
        shutil.rmtree(folder)
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        party.client = client
        assert party.begin(go_on=True) == Code.NONE
        party.join()
        assert party.send(b"c") == Code.NONE
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        demand_open(client, party)


# --- the second kind (KIP-890) ----------------------------------------------------------------------------


@pytest.mark.row("K62")
def test_what_has_not_joined_is_refused_as_the_client_understands_it(party: Party) -> None:
    """Codes as Kafka 4.2.1 gives them: TRANSACTION_ABORTABLE to those who know it."""
    assert [party.send(b"a", version=version) for version in (9, 10, 11)] == [
        Code.INVALID_TXN_STATE,
        Code.INVALID_TXN_STATE,
        Code.TRANSACTION_ABORTABLE,
    ]
    party.join()
    assert [party.commit(1, version=version) for version in (2, 3, 4)] == [
        Code.INVALID_TXN_STATE,
        Code.INVALID_TXN_STATE,
        Code.TRANSACTION_ABORTABLE,
    ]
    assert party.commit(1, version=5) == Code.NONE
    assert party.end(version=NEW) == Code.NONE
    assert committed(party.client) == 1


@pytest.mark.row("K7", "K62")
def test_a_transaction_of_the_second_kind_begins_with_its_first_batch(party: Party) -> None:
    """One that comes before it has overtaken it, or it was lost."""
    assert party.send(b"second", version=12, sequence=1) == Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert party.send(b"first", version=12) == Code.NONE
    assert party.send(b"second", version=12) == Code.NONE


@pytest.mark.row("K62")
def test_nothing_can_be_aborted_and_not_committed(party: Party) -> None:
    """An abort of nothing begins the next epoch, as with Kafka; the same again does so again."""
    epoch = party.epoch
    assert party.end(version=NEW) == Code.INVALID_TXN_STATE
    assert party.end(version=NEW, commit=False) == Code.NONE
    assert party.end(version=NEW, commit=False) == Code.NONE
    assert party.epoch == epoch + 2
    assert party.end(version=NEW) == Code.INVALID_TXN_STATE
    party.send(b"a", version=12)
    assert party.end(version=NEW) == Code.NONE
    assert party.end(version=NEW) == Code.INVALID_TXN_STATE


@pytest.mark.row("K62", "K61")
def test_a_late_producer_is_told_its_epoch_and_others_are_fenced(party: Party) -> None:
    party.send(b"a", version=12)
    late = (party.id, party.epoch)
    assert party.end(version=NEW) == Code.NONE
    following = (party.id, party.epoch)
    party.id, party.epoch = late
    assert party.commit(1, version=5) == party.send(b"b", version=12) == Code.INVALID_PRODUCER_EPOCH
    party.id, party.epoch = late
    assert party.begin(go_on=True) == Code.NONE
    assert (party.id, party.epoch) == following
    # In a transaction of the epoch that it has by now, what it said in the one before means nothing.
    party.send(b"b", version=12)
    party.id, party.epoch = late
    assert party.end(version=NEW) == Code.PRODUCER_FENCED
    assert Party(party.client).begin() == Code.NONE
    assert party.end(version=NEW, commit=False) == party.begin(go_on=True) == Code.PRODUCER_FENCED


@pytest.mark.row("K62", "K60")
@pytest.mark.parametrize("commit", [True, False])
def test_an_end_whose_answer_a_crash_has_lost_is_answered_with_the_next_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: bool
) -> None:
    """The decision is durable, no partition has its marker, and the client asks again after the restart."""
    from pillarbox.protocols.kafka.transactions import Transactions

    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.begin()
        party.send(b"a", version=12)
        marked: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(Transactions, "_mark", lambda *arguments, **named: marked.append(arguments[1]))
            client.tell("EndTxn", NEW, committed=commit, **party.who)
            while not marked:
                pass
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        party.client = client
        epoch = party.epoch
        deadline = time.monotonic() + WAIT_S
        while (error := party.end(version=NEW, commit=commit)) == Code.CONCURRENT_TRANSACTIONS:
            assert time.monotonic() < deadline
        assert (error, party.epoch) == (Code.NONE, epoch + 1)
        aborted = [] if commit else [party.id]
        assert seen_at_last(client, 2) == (2, 2, aborted)
        assert party.send(b"b", version=12) == Code.NONE
        assert party.end(version=NEW) == Code.NONE
        assert party.epoch == epoch + 2
        assert seen(client, COMMITTED) == (4, 4, aborted)


@pytest.mark.row("K60", "K62")
@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_marker_that_is_missing_is_written_again_and_the_next_transaction_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """As after a power cut, which takes a marker from one partition and leaves what came later in another."""
    from pillarbox.broker.partition import Partition

    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        wanted = {"name": TOPIC, "num_partitions": 2, "replication_factor": -1}
        client.ask("CreateTopics", 7, topics=[wanted], timeout=1000)
        party = Party(client)
        party.begin()
        for index in (0, 1):
            party.join(index=index)
            assert party.send(b"first", index=index) == Code.NONE
        append_marker = Partition.append_marker

        def lose_one(partition: Partition, *arguments: Any, **named: Any) -> int:
            if partition.name.endswith("-0"):
                raise ProducerRefused(Refusal.OLD_EPOCH, "it is lost")
            return append_marker(partition, *arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(Partition, "append_marker", lose_one)
            assert party.end(version=version) == Code.NONE
        party.join(index=1)
        assert party.send(b"second", index=1) == Code.NONE
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert seen_at_last(client, 2) == (2, 2, [])
        assert seen(client, COMMITTED, 1) == (2, 2, [])
        party.client = client
        assert party.end(version=version, commit=False) == Code.NONE
        assert seen(client, COMMITTED) == (2, 2, [])
        assert seen(client, COMMITTED, 1)[:2] == (4, 4)


# --- the last epoch of a producer id ----------------------------------------------------------------------


def come_to_the_last_epoch(broker: Broker, party: Party) -> None:
    """As if it had begun again 32,766 times."""

    def come(server: Any) -> None:
        (driver,) = server.clients
        driver.connection.head.transactions.get(NAME).epoch = EPOCH_LAST

    broker.call(come)
    party.epoch = EPOCH_LAST


@pytest.mark.row("K61")
def test_a_second_producer_aborts_what_is_open_in_the_last_epoch(broker: Broker, party: Party) -> None:
    """The markers are for the id that has it open; the second producer has another one."""
    come_to_the_last_epoch(broker, party)
    party.join()
    party.send(b"a")
    party.hold(5)
    second = Party(party.client)
    assert second.begin() == Code.NONE
    assert second.id != party.id
    assert second.epoch == 0
    assert seen(party.client, COMMITTED) == (2, 2, [party.id])
    assert committed(party.client) == -1
    assert party.end() == Code.INVALID_PRODUCER_ID_MAPPING
    assert party.send(b"b") == Code.INVALID_PRODUCER_ID_MAPPING
    second.join()
    assert second.send(b"c") == Code.NONE
    assert second.end() == Code.NONE
    assert seen(party.client, COMMITTED)[:2] == (4, 4)


@pytest.mark.row("K61", "K63")
@pytest.mark.parametrize("end_again", [True, False])
def test_a_transaction_of_the_last_epoch_is_aborted_after_its_time(end_again: bool) -> None:
    """And its producer, which finds out by itself, goes on with another id."""
    clock = ManualClock()
    with Broker(kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.client_ms = clock.now_ms()
        party.begin(timeout_ms=30_000)
        come_to_the_last_epoch(broker, party)
        first = party.id
        assert party.send(b"a", version=12) == Code.NONE
        broker.advance("41s")
        assert seen_at_last(client, 2) == (2, 2, [first])
        if end_again:
            assert party.end(version=NEW, commit=False) == Code.NONE
        else:
            assert party.begin(go_on=True) == Code.NONE
        assert party.id != first
        assert party.epoch == 0
        assert party.send(b"b", version=12) == Code.NONE
        assert party.end(version=NEW) == Code.NONE
        assert seen(client, COMMITTED) == (4, 4, [first])


@pytest.mark.row("K61", "K62")
def test_a_client_of_the_second_kind_goes_on_with_another_id_after_the_last_epoch(
    broker: Broker, party: Party
) -> None:
    come_to_the_last_epoch(broker, party)
    first = (party.id, party.epoch)
    party.send(b"a", version=12)
    assert party.end(version=NEW) == Code.NONE
    following = (party.id, party.epoch)
    assert following[0] != first[0]
    assert following[1] == 0
    party.id, party.epoch = first
    assert party.end(version=NEW) == Code.NONE
    assert (party.id, party.epoch) == following
    assert party.send(b"b", version=12) == Code.NONE
    assert party.end(version=NEW, commit=False) == Code.NONE
    assert seen(party.client, COMMITTED) == (4, 4, [following[0]])


# --- time -------------------------------------------------------------------------------------------------


@pytest.mark.row("K63")
def test_an_id_that_nobody_uses_is_forgotten_after_its_time(tmp_path: Path) -> None:
    """Whoever comes too late is told so, and may begin again under the same name with another producer id."""
    clock = ManualClock()
    with Broker(str(tmp_path), kafka_port=0, clock=clock) as broker:

        def later(duration: str) -> Asking:
            """A client that comes when so much time has gone by."""
            broker.advance(duration)
            party.client = used.client = stack.enter_context(Asking(broker.kafka_bootstrap))
            return party.client

        with Asking(broker.kafka_bootstrap) as client, contextlib.ExitStack() as stack:
            client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
            party, used = Party(client), Party(client, "used")
            party.client_ms = used.client_ms = clock.now_ms()
            party.begin()
            party.join()
            party.send(b"a")
            assert party.end() == Code.NONE
            assert used.begin() == Code.NONE
            later("6d")
            assert used.join() == used.end() == Code.NONE
            assert names(later("20h")) == [NAME, "used"]
            assert names(later("5h")) == ["used"]
            assert party.join() == party.end() == Code.INVALID_PRODUCER_ID_MAPPING
            assert party.end(version=NEW) == party.send(b"b", version=12) == Code.INVALID_PRODUCER_ID_MAPPING
            former = party.id
            assert party.begin(go_on=True) == Code.NONE
            assert party.id != former
            assert names(later("8d")) == []
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert names(client) == []


def names(client: Asking) -> list[str]:
    """All transactional ids."""
    found = client.ask("ListTransactions", 1, duration_filter=-1).transaction_states
    return [one.transactional_id for one in found]


@pytest.mark.row("K63", "K60")
def test_what_a_restart_has_left_open_ends_by_its_time_although_nobody_asks_for_it(tmp_path: Path) -> None:
    clock = ManualClock()
    with Broker(str(tmp_path), kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.client_ms = clock.now_ms()
        party.begin(timeout_ms=30_000)
        party.send(b"a", version=12)
    with Broker(str(tmp_path), kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        assert seen(client, COMMITTED) == (0, 0, [])
        broker.advance("41s")
        assert seen_at_last(client, 2) == (2, 2, [party.id])


@pytest.mark.row("K63", "K60")
def test_it_ends_by_its_time_although_no_client_of_kafka_comes_back(tmp_path: Path) -> None:
    """Others who read the stream would wait for it for ever."""
    clock = ManualClock()
    with Broker(str(tmp_path), kafka_port=0, clock=clock) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        party.client_ms = clock.now_ms()
        party.begin(timeout_ms=30_000)
        party.send(b"a", version=12)
    with Broker(str(tmp_path), kafka_port=0, clock=clock) as broker:

        def last_stable(server: Any) -> int:
            return int(server.core.vhosts["/"].queues[TOPIC].log.last_stable)

        assert broker.call(last_stable) == 0
        broker.advance("41s")
        deadline = time.monotonic() + WAIT_S
        while broker.call(last_stable) < 2:
            assert time.monotonic() < deadline


# --- an administrator -------------------------------------------------------------------------------------


def mark(client: Asking, producer_id: int, epoch: int, *, index: int = 0, coordinator_epoch: int = 0) -> Code:
    """End what a producer has open in a partition."""
    topics = [{"name": TOPIC, "partition_indexes": [index]}]
    marker = {"producer_id": producer_id, "producer_epoch": epoch, "coordinator_epoch": coordinator_epoch}
    found = client.ask(
        "WriteTxnMarkers", 1, markers=[marker | {"transaction_result": False, "topics": topics}]
    )
    return Code(found.markers[0].topics[0].partitions[0].error_code.value)


@pytest.mark.row("K64")
def test_an_administrator_ends_what_a_producer_has_open_in_a_partition(party: Party) -> None:
    assert party.begin(go_on=True) == Code.NONE
    party.join()
    party.send(b"a")
    assert mark(party.client, party.id, party.epoch, index=9) == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert mark(party.client, -1, party.epoch) == Code.INVALID_REQUEST
    assert seen(party.client, COMMITTED) == (0, 0, [])
    assert mark(party.client, party.id, party.epoch, coordinator_epoch=7) == Code.NONE
    assert seen(party.client, COMMITTED) == (2, 2, [party.id])
    assert mark(party.client, party.id, party.epoch) == Code.TRANSACTION_COORDINATOR_FENCED
    assert mark(party.client, party.id, party.epoch - 1, coordinator_epoch=7) == Code.INVALID_PRODUCER_EPOCH
    # Its coordinator knows nothing of that: what its producer says then is another transaction there.
    assert party.send(b"b") == Code.NONE
    assert party.end() == Code.NONE
    assert seen(party.client, COMMITTED) == (4, 4, [party.id])


@pytest.mark.row("K64", "K73")
@pytest.mark.parametrize("operation", [None, 7, 9], ids=["none", "alter", "cluster action"])
def test_a_marker_is_for_those_who_may_alter_the_cluster_or_act_for_it(operation: int | None) -> None:
    config = {"kafka_authorizer": "acl", "kafka_allow_everyone_if_no_acl": True}
    with Broker(kafka_port=0, **config) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        entry = {
            "resource_type": 4,
            "resource_name": "kafka-cluster",
            "resource_pattern_type": 3,
            "host": "*",
            "permission_type": 3,
        }
        entries = [entry | {"principal": "User:admin", "operation": 2}]
        if operation is not None:
            entries.append(entry | {"principal": "User:guest", "operation": operation})
        client.ask("CreateAcls", 3, creations=entries)
        # From now on it is no administrator.
        broker.call(lambda server: server.core.add_user("guest", "guest"))
        with Asking(broker.kafka_bootstrap) as guest:
            error = Code.CLUSTER_AUTHORIZATION_FAILED if operation is None else Code.NONE
            assert mark(guest, 1, 0) == error


@pytest.mark.row("K7")
@pytest.mark.parametrize("name", [None, NAME])
def test_a_producer_id_is_given_once_although_the_clock_was_set_back(
    tmp_path: Path, name: str | None
) -> None:
    """What a second producer of the id sends would be taken for what the first one sent, and be lost."""
    clock = ManualClock()
    given = []
    for _ in range(2):
        with (
            Broker(str(tmp_path), kafka_port=0, clock=clock) as broker,
            Asking(broker.kafka_bootstrap) as client,
        ):
            client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
            for _ in range(3):
                values = {"transactional_id": name and f"{name}{len(given)}", "transaction_timeout": 60_000}
                found = client.ask("InitProducerId", 4, producer_id=-1, producer_epoch=-1, **values)
                given.append(found.producer_id)
        clock.advance(-3_600_000)
    assert len(set(given)) == 6


@pytest.mark.row("K60")
def test_a_transaction_in_a_topic_that_was_made_anew_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    """The decision says how far each log had come; the new log of the name has not come so far yet."""
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        assert party.begin() == Code.NONE
        party.join()
        assert [party.send(b"%d" % n) for n in range(5)] == [Code.NONE] * 5
        assert party.end() == Code.NONE
        client.ask("DeleteTopics", 4, topic_names=[TOPIC], timeout=1000)
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party.join()
        party._sequences = {}
        assert party.send(b"open") == Code.NONE
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        demand_open(client, party)


@pytest.mark.row("K60")
def test_a_transaction_in_a_log_that_a_power_cut_made_shorter_is_not_taken_for_the_one_before(
    tmp_path: Path,
) -> None:
    """The log had come further when that was decided than it has when the next one begins."""
    left = tmp_path / "left"
    with (
        Broker(str(tmp_path / "data"), kafka_port=0) as broker,
        Asking(broker.kafka_bootstrap) as client,
    ):
        client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
        party = Party(client)
        assert party.begin() == Code.NONE
        party.join()
        assert [party.send(b"%d" % n) for n in range(5)] == [Code.NONE] * 5
        assert party.end() == Code.NONE
        shutil.copytree(tmp_path / "data", left)
    (segment,) = left.glob("logs/*/*.log")
    data = segment.read_bytes()
    size = read_header(data).size
    segment.write_bytes(data[: 2 * size])
    with Broker(str(left), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert seen_at_last(client, 3) == (3, 3, [])
        party.client = client
        party.join()
        party._sequences = {0: 2}
        assert party.send(b"open") == Code.NONE
    with Broker(str(left), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        assert seen(client, COMMITTED) == (3, 3, [])
        party.client = client
        assert party.end(commit=False) == Code.NONE
        assert seen(client, COMMITTED) == (5, 5, [party.id])
