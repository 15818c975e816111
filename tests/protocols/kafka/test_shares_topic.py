"""`__share_group_state`: when it is there, what is in it, and that it does not grow for ever."""

from __future__ import annotations

from pathlib import Path
from struct import unpack_from
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.protocols.kafka.configs import options_of
from pillarbox.protocols.kafka.groups.records import SharePartitionRecord, ShareUpdateRecord
from pillarbox.protocols.kafka.groups.share_state import Answer
from pillarbox.protocols.kafka.internal_topics import PRUNED_RECORDS, SHARES, InternalTopic
from pillarbox.protocols.kafka.shares_topic import (
    SETTINGS,
    SNAPSHOT_KEY,
    UPDATE_KEY,
    Facts,
    snapshot_record,
    update_record,
)
from pillarbox.store.batch import encode_batch
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.share_member import Member, configure
from tests.protocols.kafka.test_offsets_topic import listed, make, records_of
from tests.protocols.kafka.test_shares import send

pytestmark = pytest.mark.row("K38")

TOPIC_ID = bytes(range(16))
FACTS = Facts(snapshot_epoch=3, leader_epoch=2, completed=4, now_ms=1000)


def test_keys_and_values_are_laid_out_as_kafka_does_it() -> None:
    part = TOPIC_ID, 5
    kept = SharePartitionRecord(TOPIC_ID, 7, ((8, 9, 2, 0), (11, 11, 0, 1)))
    owner, (key, value) = snapshot_record("g", part, kept, FACTS)
    assert owner == "g:AAECAwQFBgcICQoLDA0ODw:5"
    assert key.hex() == "0000" + "0001" + b"g".hex() + TOPIC_ID.hex() + "00000005"
    batches = f"03{8:016x}{9:016x}02000000" + f"{11:016x}{11:016x}00000100"
    assert value is not None
    assert value.hex() == "".join(
        ("0000" + "00000003" + "00000000" + "00000002", f"{7:016x}" + f"{1000:016x}" * 2, batches, COMPLETED)
    )
    _, (key, value) = update_record("g", part, ShareUpdateRecord(7, kept.stretches, 0), FACTS)
    assert key.hex() == "0001" + "0001" + b"g".hex() + TOPIC_ID.hex() + "00000005"
    assert value is not None
    assert value.hex() == "0000" + "00000003" + "00000002" + f"{7:016x}" + batches + COMPLETED
    assert snapshot_record("g", part, None, FACTS)[1][1] is None


COMPLETED = "01" + "00" + "04" + "00000004"
"""One tagged field: 0, of four bytes."""


def begin_of(value: bytes | None, key: bytes) -> int | None:
    """The beginning of a partition, as a record says it."""
    if value is None:
        return None
    found: int = unpack_from(">q", value, 14 if key[:2] == SNAPSHOT_KEY else 10)[0]
    return found


def test_every_acknowledgement_is_a_record_and_all_is_there_again_after_a_restart(tmp_path: Path) -> None:
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        make(client, "t")
        assert SHARES not in listed(client)
        configure(client, share_auto_offset_reset="earliest")
        send(client, 100)
        member = Member(client)
        assert listed(client)[SHARES]
        assert member.got() == [(0, 99, 1)]
        assert member.settle((0, 9, [Answer.ACCEPT])) == 0
        assert member.settle(*((at, at, [Answer.ACCEPT]) for at in range(11, 99, 2))) == 0
        assert member.settle((30, 30, [Answer.REJECT])) == 0
        found = records_of(client, SHARES, 5)
        assert [begin_of(value, key) for key, value in found] == [-1, 0, 10, 10, 10]
        kinds = [SNAPSHOT_KEY, SNAPSHOT_KEY, SNAPSHOT_KEY, UPDATE_KEY, UPDATE_KEY]
        assert [key[:2] for key, _ in found] == kinds
    with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
        listed(client)
        found = records_of(client, SHARES, 6)
        while found[-1][0][:2] != SNAPSHOT_KEY:
            # What the member gave back when its connection was gone is a record too.
            found = records_of(client, SHARES, len(found) + 1)
        key, value = found[-1]
        assert begin_of(value, key) == 10
        client.ask("DeleteGroups", 2, groups_names=("g",))


def test_a_topic_that_is_not_compacted_begins_anew_and_loses_what_was_superseded(
    broker: Broker, client: Asking
) -> None:
    everything = [("g", (b"all", b"%d" % number)) for number in range(3)]

    def made(server: Any) -> InternalTopic:
        topics = server.core.vhosts["/"].topics
        topic = InternalTopic(server.core, topics, SHARES, SETTINGS, lambda: everything)
        topic.show()
        return topic

    def span(server: Any) -> tuple[int, int, int]:
        offsets = server.core.vhosts["/"].topics.get(SHARES).partitions[0].log.offsets()
        return offsets.start, offsets.accepted, offsets.written

    def is_written(server: Any) -> bool:
        _, accepted, written = span(server)
        return bool(accepted == written)

    topic = broker.call(made)
    for _ in range(3):
        changes = [("g", (b"change", b"x"))] * (PRUNED_RECORDS + 1)
        broker.call(lambda _, changes=changes: topic.note_all(changes))
        while broker.call(lambda _: bool(topic._noted)) or not broker.call(is_written):
            listed(client)

    begin, end, _ = broker.call(span)
    assert end == 3 * (PRUNED_RECORDS + 1) + 4 * 3
    assert begin == 2 * (PRUNED_RECORDS + 1) + 2 * 3


def test_what_is_not_on_the_disk_yet_is_not_removed(broker: Broker, client: Asking) -> None:
    """Changes may come faster than they are written."""

    def overtaken(server: Any) -> tuple[int, int]:
        topic = InternalTopic(server.core, server.core.vhosts["/"].topics, "late", SETTINGS, list)
        server.core.vhosts["/"].topics.create("late", 1, SETTINGS, options_of(SETTINGS))
        own = topic.topic
        assert own is not None
        (stream,) = own.partitions
        stream.append(b"".join(encode_batch([(b"change", b"x")] * 5, timestamp_ms=0).chunks), 5)
        topic._began_at = [5]
        topic._begin_anew(own)
        return stream.log.offsets().start, topic._began_at[0]

    assert broker.call(overtaken) == (0, 5)
    listed(client)
