"""Facts as bytes: round trips against a slow, obvious twin, and damage that must not go unnoticed."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.engine import facts, record
from pillarbox.engine.base import (
    Address,
    DefinitionFact,
    DeliveredFact,
    Group,
    Location,
    Message,
    MessagesFact,
    ReturnedFact,
    SettledFact,
)
from pillarbox.engine.facts import Codec
from pillarbox.engine.record import Columns, Target, decode_address, encode_address
from pillarbox.engine.returned import decode_returned, encode_returned
from pillarbox.store.batch import decode_batch, value_spans
from pillarbox.store.crc import pure_crc32c
from pillarbox.store.files import StoreError

TEXT = st.text(max_size=6) | st.just("\udcff\udc80")
ORIGIN = TEXT.filter(lambda text: "\0" not in text)  # The name of a protocol.
ADDRESSES = st.lists(st.builds(Address, ORIGIN, TEXT, TEXT), min_size=1, max_size=3)


@st.composite
def message_lists(draw: st.DrawFn) -> list[Message]:
    addresses = draw(ADDRESSES)
    same = draw(st.booleans())
    one = st.builds(
        Message,
        st.just(addresses[0]) if same else st.sampled_from(addresses),
        st.binary(max_size=9),
        st.binary(max_size=30),
        st.just(7) if same else st.integers(0, 2**60),
        st.just(-1) if same else st.sampled_from((-1, 0, 60_000, 2**50)),
        st.just(True) if same else st.booleans(),
    )
    return draw(st.lists(one, min_size=1, max_size=25))


TARGETS = st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**62)), min_size=1, max_size=4)


def slow_encode(targets: list[tuple[int, int]], messages: list[Message]) -> bytes:
    """The layout of the module's docstring, one field after another."""
    flags = 0x01
    if all(m.accepted_ms == messages[0].accepted_ms for m in messages):
        flags |= 0x02
    if any(m.expiration_ms != -1 for m in messages):
        flags |= 0x04
    if all(m.persistent for m in messages):
        flags |= 0x08
    elif any(m.persistent for m in messages):
        flags |= 0x10
    distinct: list[Address] = []
    for message in messages:
        if not any(message.address is address for address in distinct):
            distinct.append(message.address)
    raws = []
    for address in distinct:
        origin, exchange, key = (
            text.encode("utf-8", "surrogateescape")
            for text in (address.origin, address.exchange, address.routing_key)
        )
        raws.append(struct.pack(">HI", len(origin), len(exchange)) + origin + exchange + key)
    out = b""
    for uid, _ in targets:
        out += struct.pack(">Q", uid)
    for _, first in targets:
        out += struct.pack(">Q", first)
    for raw in raws:
        out += struct.pack(">I", len(raw))
    if len(raws) > 1:
        for message in messages:
            out += struct.pack(">I", [a is message.address for a in distinct].index(True))
    if not flags & 0x02:
        for message in messages:
            out += struct.pack(">q", message.accepted_ms)
    if flags & 0x04:
        for message in messages:
            out += struct.pack(">q", message.expiration_ms)
    if flags & 0x10:
        for message in messages:
            out += struct.pack(">B", message.persistent)
    for message in messages:
        out += struct.pack(">I", len(message.properties))
    for message in messages:
        out += struct.pack(">I", len(message.body))
    out += b"".join(raws)
    out += b"".join(message.properties for message in messages)
    out += b"".join(message.body for message in messages)
    covered = (
        struct.pack(
            ">IBIIIqQ",
            38 + len(out),
            flags,
            len(messages),
            len(targets),
            len(raws),
            messages[0].accepted_ms,
            sum(len(message.body) for message in messages),
        )
        + out
    )
    return struct.pack(">BI", 1, pure_crc32c(covered)) + covered


def fields(message: Message) -> tuple[object, ...]:
    address = message.address
    return (
        address.origin,
        address.exchange,
        address.routing_key,
        message.properties,
        message.body,
        message.accepted_ms,
        message.expiration_ms,
        message.persistent,
    )


@given(TARGETS, message_lists())
def test_messages_are_encoded_as_the_slow_twin_does(
    targets: list[tuple[int, int]], messages: list[Message]
) -> None:
    assert bytes(Codec().encode_messages(targets, messages)) == slow_encode(targets, messages)


@given(TARGETS, message_lists(), st.data())
def test_any_part_of_a_record_decodes_to_its_messages(
    targets: list[tuple[int, int]], messages: list[Message], data: st.DataObject
) -> None:
    targets = list({uid: (uid, first) for uid, first in targets}.values())
    value = bytes(Codec().encode_messages(targets, messages))
    uid, first = data.draw(st.sampled_from(targets))
    start = data.draw(st.integers(-3, len(messages) + 3))
    stop = data.draw(st.integers(start, len(messages) + 5))
    step = data.draw(st.integers(1, 4))
    wanted = range(max(0, first + start), max(0, first + stop), step)
    found = Codec().decode_messages(value, uid, wanted)
    expected = [
        (sequence, fields(messages[sequence - first]))
        for sequence in wanted
        if first <= sequence < first + len(messages)
    ]
    assert [(sequence, fields(message)) for sequence, message in found] == expected


def test_messages_of_one_route_share_one_address_object() -> None:
    codec = Codec()
    address = Address("amqp091", "e", "k")
    value = bytes(codec.encode_messages([(1, 0)], [Message(address, b"", b"x", 1)] * 3))
    one = codec.decode_messages(value, 1, range(3))
    two = codec.decode_messages(value, 1, range(3))
    assert len({id(message.address) for _, message in one + two}) == 1


def test_address_caches_stay_bounded() -> None:
    codec = Codec()
    for number in range(2 * record.ADDRESSES_MAX + 10):
        value = bytes(codec.encode_messages([(1, 0)], [Message(Address("o", "e", f"{number}"), b"", b"", 1)]))
        codec.decode_messages(value, 1, range(1))
    assert len(codec._raw) <= record.ADDRESSES_MAX
    assert len(codec._addresses) <= record.ADDRESSES_MAX


def test_a_queue_that_is_no_target_gets_nothing() -> None:
    value = bytes(Codec().encode_messages([(1, 0)], [Message(Address("", "", ""), b"", b"", 1)]))
    assert Codec().decode_messages(value, 2, range(5)) == []


@given(message_lists(), message_lists(), st.data())
def test_columns_picked_and_joined_hold_the_same_messages(
    one: list[Message], two: list[Message], data: st.DataObject
) -> None:
    """What slimming and merging do: any messages of two records in a new one."""
    columns = Columns()
    expected = []
    for messages in (one, two):
        value = bytes(Codec().encode_messages([(5, 0)], messages))
        picked = sorted(data.draw(st.sets(st.integers(0, len(messages) - 1), min_size=1)))
        columns.add(value, record.read_head(value), picked)
        expected += [fields(messages[index]) for index in picked]
    count = len(expected)
    value = bytes(record.encode_columns([Target(9, 100, 0, count)], columns))
    found = Codec().decode_messages(value, 9, range(100, 100 + count))
    assert [fields(message) for _, message in found] == expected


@given(TARGETS, message_lists())
def test_a_single_message_is_decoded_as_columns_are(
    targets: list[tuple[int, int]], messages: list[Message]
) -> None:
    value = bytes(Codec().encode_messages(targets, messages))
    single, general = Columns(), Columns()
    sequence = single.add_single(value)
    usual = len(messages) == len(targets) == 1 and messages[0].expiration_ms == -1
    assert sequence == (targets[0][1] if usual else None)
    if usual:
        general.add(value, record.read_head(value), [0])
    assert [getattr(single, name) for name in Columns.__slots__] == [
        getattr(general, name) for name in Columns.__slots__
    ]
    assert single.add_single(value[:-1] + bytes([value[-1] ^ 1])) is None


@given(message_lists(), st.data())
def test_any_damage_to_a_record_is_noticed(messages: list[Message], data: st.DataObject) -> None:
    value = bytearray(Codec().encode_messages([(1, 0)], messages))
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreError):
        Codec().decode_messages(bytes(value), 1, range(len(messages)))


@given(st.binary(max_size=120))
def test_hostile_records_are_refused_in_words(data: bytes) -> None:
    """Also with a valid checksum, which proves nothing about the counts."""
    value = b"\1" + bytes(4) + struct.pack(">I", 9 + len(data)) + data
    value = value[:1] + struct.pack(">I", pure_crc32c(value[5:])) + value[5:]
    try:
        found = Codec().decode_messages(value, 1, range(10))
    except StoreError:
        return
    assert len(found) <= len(data)


RANGES = st.lists(
    st.builds(
        lambda start, count, step: range(start, start + count * step, step),
        st.integers(0, 2**60),
        st.integers(1, 9),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=4,
)


COUNT = st.integers(0, 2**62)
RANGES_OF_SOME = st.builds(
    lambda start, count, step: range(start, start + count * step, step),
    COUNT,
    st.integers(1, 99),
    st.integers(1, 5),
)


@given(st.lists(st.tuples(st.integers(0, 2**63), RANGES), min_size=1, max_size=5))
def test_settlements_round_trip(settled: list[tuple[int, list[range]]]) -> None:
    assert list(facts.decode_settled(facts.encode_settled(settled))) == settled


def test_a_descending_range_settles_the_same_sequences() -> None:
    """base.SettledFact: any step, in no particular order."""
    ((_, (found,)),) = facts.decode_settled(facts.encode_settled([(1, [range(9, 0, -2)])]))
    assert set(found) == {9, 7, 5, 3, 1}


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(-1, 2**62)), min_size=1, max_size=5))
def test_deliveries_round_trip(delivered: list[tuple[int, int]]) -> None:
    assert list(facts.decode_delivered(facts.encode_delivered(delivered))) == delivered


@given(st.lists(st.builds(ReturnedFact, st.integers(0, 2**62), RANGES_OF_SOME, COUNT, COUNT, COUNT)))
def test_returned_messages_round_trip(returned: list[ReturnedFact]) -> None:
    assert list(decode_returned(encode_returned(returned))) == returned


@given(st.text(max_size=9), st.text(max_size=9), st.none() | st.binary(max_size=9))
def test_definitions_round_trip(kind: str, key: str, value: bytes | None) -> None:
    found = facts.decode_definition(facts.encode_definition(DefinitionFact(kind, key, value)))
    assert (found.kind, found.key, found.value) == (kind, key, value)


def test_a_group_is_one_batch_with_a_record_per_fact_and_says_where_its_messages_lie() -> None:
    message = Message(Address("o", "e", "k"), b"p", b"body", 1)
    group = Group(
        1,
        [DefinitionFact("queue", "1", b"q"), DefinitionFact("queue", "2", None)],
        [MessagesFact([(1, 0)], [message], Location()), MessagesFact([(2, 1)], [message] * 2, Location())],
        [DeliveredFact(1, 0), DeliveredFact(2, 5)],
        [SettledFact(1, [range(1)])],
        returned=[ReturnedFact(1, range(2), 1, 1), ReturnedFact(1, range(1), 2, 1)],
    )
    encoded = Codec().encode_group(group, 40)
    assert encoded is not None
    data = b"".join(encoded.chunks)
    assert (len(data), encoded.records) == (encoded.size, 7)
    header, records = decode_batch(data)
    assert [record.key for record in records] == [b"m", b"m", b"d", b"d", b"h", b"r", b"s"]
    assert (header.base_offset, header.next_offset) == (40, 47)
    for (position, size, messages), count in zip(encoded.places, (1, 2), strict=True):
        assert record.read_head(data, position).messages == messages == count
        record.check_value(data[position : position + size], record.read_head(data, position))
    assert len(value_spans(data, 0, header)) == 7


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from((1, 2, 3)), min_size=1, max_size=2, unique=True), st.integers(1, 4)
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from((0, 1)),
)
def test_facts_of_one_queue_that_follow_each_other_share_a_record(
    published: list[tuple[list[int], int]], gap: int
) -> None:
    """Every fact's messages are found where its place says, under their own sequences, joined or not."""
    nexts = dict.fromkeys((1, 2, 3), 10)
    messages_facts = []
    for number, (uids, count) in enumerate(published):
        messages = [Message(Address("o", "", "k"), b"", b"%d.%d" % (number, i), 1) for i in range(count)]
        messages_facts.append(MessagesFact([(uid, nexts[uid]) for uid in uids], messages, Location()))
        for uid in uids:
            nexts[uid] += count + (gap if number % 3 == 0 else 0)
    encoded = Codec().encode_group(Group(1, [], messages_facts, [], []), 0)
    assert encoded is not None
    data = b"".join(encoded.chunks)
    for fact, (position, size, count) in zip(messages_facts, encoded.places, strict=True):
        value = data[position : position + size]
        assert record.read_head(value).messages == count
        for uid, first in fact.targets:
            wanted = range(first, first + len(fact.messages))
            found = Codec().decode_messages(value, uid, wanted)
            assert [(s, m.body) for s, m in found] == [
                (s, m.body) for s, m in zip(wanted, fact.messages, strict=True)
            ]


def test_single_messages_of_many_publishers_are_one_record_within_bounds() -> None:
    def records(count: int, size: int, uids: int = 1) -> int:
        message = Message(Address("o", "", "k"), b"", bytes(size), 1)
        messages = [MessagesFact([(i % uids, i // uids)], [message], Location()) for i in range(count)]
        encoded = Codec().encode_group(Group(1, [], messages, [], []), 0)
        assert encoded is not None
        assert [len(fact.messages) for fact in messages] == [1] * count
        return encoded.records

    assert records(500, 10) == 1
    assert records(500, 10, uids=5) == 5
    assert records(2 * facts.JOIN_MESSAGES_MAX + 1, 0) == 3
    assert records(10, facts.JOIN_BYTES_MAX // 3) == 4


def test_a_group_without_facts_is_nothing() -> None:
    assert Codec().encode_group(Group(1, [], [], [], []), 0) is None


@pytest.mark.parametrize(
    "decode", [facts.decode_definition, facts.decode_delivered, facts.decode_settled, decode_returned]
)
@given(data=st.binary(max_size=60))
def test_hostile_small_facts_are_refused_in_words(decode: object, data: bytes) -> None:
    try:
        found = decode(b"\1" + data)  # type: ignore[operator]
        items = [found] if isinstance(found, DefinitionFact) else list(found)
    except StoreError:
        return
    assert len(items) <= len(data)


def test_another_format_is_refused_in_words() -> None:
    with pytest.raises(StoreError, match="format 2, this version reads 1"):
        record.read_head(b"\2" + bytes(40))
    with pytest.raises(StoreError, match="format 02, this version reads 1"):
        facts.decode_settled(b"\2")


def test_crc32c_is_not_zlibs_crc32() -> None:
    assert pure_crc32c(b"123456789") == 0xE3069283 != crc32(b"123456789")


@pytest.mark.row("R26")
@pytest.mark.parametrize("key", ["", "k", "a\0b", "\udcff"])
@pytest.mark.parametrize("hidden", [(), ("b",), ("", "a\0b", "é" * 120)])
def test_address_keeps_its_hidden_keys(key: str, hidden: tuple[str, ...]) -> None:
    found = decode_address(encode_address(Address("amqp091", "x", key, hidden)))
    assert (found.origin, found.exchange) == ("amqp091", "x")
    assert (found.routing_key, found.hidden_keys) == (key, hidden)
