"""Headers, primitive types, and the table of keys."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kio.schema.request_header.v1.header import RequestHeader as KioHeader1
from kio.schema.request_header.v2.header import RequestHeader as KioHeader2
from kio.static.primitive import i16, i32

from pillarbox.protocols.kafka import wire
from pillarbox.protocols.kafka.codec import RequestHeader, decode_header, decode_request, encode_response
from pillarbox.protocols.kafka.messages.api_versions import ApiVersionsResponse
from pillarbox.protocols.kafka.messages.heartbeat import HeartbeatResponse
from pillarbox.protocols.kafka.versions import RELEASES, offered, taken
from pillarbox.protocols.kafka.wire import WireError
from tests.protocols.kafka.oracle import encoded

HEARTBEAT = 12


@pytest.mark.parametrize(("version", "kio_header"), [(3, KioHeader1), (4, KioHeader2)])
@pytest.mark.parametrize("client_id", [None, "", "kafka-python-3.0", "ä" * 200])
def test_a_request_header_is_read_as_its_version_has_it(
    version: int, kio_header: type, client_id: str | None
) -> None:
    header = kio_header(
        request_api_key=i16(HEARTBEAT),
        request_api_version=i16(version),
        correlation_id=i32(77),
        client_id=client_id,
    )
    data = encoded(header)
    assert decode_header(data + b"rest") == (RequestHeader(HEARTBEAT, version, 77, client_id), len(data))
    for size in range(len(data)):
        with pytest.raises(WireError, match="no request header"):
            decode_header(data[:size])


def test_a_response_header_has_tags_from_the_first_flexible_version() -> None:
    assert encode_response(HEARTBEAT, 3, 77, HeartbeatResponse())[:1] == [b"\x00\x00\x00\x4d"]
    assert b"".join(encode_response(HEARTBEAT, 3, 77, HeartbeatResponse())) == b"\x00\x00\x00\x4d" + bytes(6)
    assert b"".join(encode_response(HEARTBEAT, 4, 77, HeartbeatResponse())) == b"\x00\x00\x00\x4d" + bytes(8)


def test_the_response_header_of_api_versions_never_has_tags() -> None:
    """A client reads it before it knows which versions there are (KIP-511, T5)."""
    answer = b"".join(encode_response(18, 3, 77, ApiVersionsResponse(error_code=35)))
    assert answer == b"\x00\x00\x00\x4d" + b"\x00\x23" + b"\x01" + bytes(4) + b"\x00"


def test_a_header_of_an_unknown_key_or_version_can_be_read() -> None:
    data = (
        wire.HEADER_OF_TEST
        if hasattr(wire, "HEADER_OF_TEST")
        else b"\x7f\xff\x00\x00\x00\x00\x00\x01\xff\xff"
    )
    assert decode_header(data) == (RequestHeader(0x7FFF, 0, 1, None), 10)
    newest = b"\x00\x12\x00\x63\x00\x00\x00\x01\x00\x01c\x00"
    assert decode_header(newest) == (RequestHeader(18, 99, 1, "c"), len(newest))


def test_a_version_that_cannot_be_decoded_is_told_from_bad_bytes() -> None:
    with pytest.raises(KeyError):
        decode_request(0, 14, b"", 0)


@given(st.integers(0, 2**32 - 1))
def test_varints_come_back(value: int) -> None:
    data = wire.uvarint(value)
    assert wire.read_uvarint(data + b"\xff", 0) == (value, len(data))
    for size in range(len(data)):
        with pytest.raises(wire.FAULTS):
            wire.read_uvarint(data[:size], 0)


@pytest.mark.parametrize("data", [b"\x80" * 5, b"\xff" * 4 + b"\x10", b"\xff" * 11])
def test_varints_of_more_than_32_bits_are_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="32 bits"):
        wire.read_uvarint(data + bytes(4), 0)


@given(st.text(max_size=300) | st.none())
def test_strings_come_back(text: str | None) -> None:
    for write, read in (
        (wire.nullable_string, wire.read_nullable_string),
        (wire.nullable_compact_string, wire.read_nullable_compact_string),
    ):
        data = write(text)
        assert read(b"\x00" + data + b"x", 1) == (text, 1 + len(data))


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (wire.read_string, b"\xff\xff"),
        (wire.read_string, b"\xff\xfeabc"),
        (wire.read_nullable_string, b"\xff\xfeabc"),
        (wire.read_compact_string, b"\x00"),
        (wire.read_bytes, b"\xff\xff\xff\xff"),
        (wire.read_nullable_bytes, b"\xff\xff\xff\xfe"),
        (wire.read_compact_bytes, b"\x00"),
        (wire.read_string, b"\x00\x01\xff"),
        (wire.read_compact_string, b"\x03\xc3("),
        (wire.read_compact_string, wire.uvarint(0x8001) + b"a" * 0x8000),
    ],
)
def test_null_negative_sizes_and_bad_utf8_are_refused(read: object, data: bytes) -> None:
    with pytest.raises(wire.FAULTS):
        read(data, 0)  # type: ignore[operator]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 0x7F])
def test_a_tagged_field_that_is_not_as_long_as_it_says_is_refused(size: int) -> None:
    """The cluster id of a Fetch request: "a" takes a byte of size and one of text."""
    plain = b"\x00\x00\x00\x01" * 3 + b"\x00" + bytes(8) + b"\x01\x01\x01"
    tagged, more = b"\x01\x00%c\x02a", bytes(2)
    assert decode_request(1, 15, plain + tagged % 2 + more, 0)[0].cluster_id == "a"
    with pytest.raises(WireError):
        decode_request(1, 15, plain + tagged % size + more, 0)


# --- the table of keys --------------------------------------------------------------------------------

CLIENT_KEYS_3_9 = {0, 1, 2, 3, *range(8, 52), 55, 57, 60, 61, 64, 65, 66, 68, 69, 74, 75, 80, 81}
CLIENT_KEYS_4_2 = CLIENT_KEYS_3_9 | {*range(76, 80), *range(88, 93)}
MINIMUMS_4_2 = {
    1: 4, 2: 1, 8: 2, 9: 1, 19: 2, 20: 1, 23: 2, 27: 1, 29: 1, 30: 1, 31: 1, 32: 1, 34: 1, 35: 1,
    38: 1, 39: 1, 40: 1, 41: 1,
    76: 1, 77: 1, 78: 1, 79: 1,
}  # fmt: skip


def test_the_table_is_a_4_2_brokers() -> None:
    """First versions by KIP-896; last ones as franz-go's kversion and kafka-python have them."""
    table = offered("kafka:4.2")
    assert set(table) == CLIENT_KEYS_4_2
    assert {key: first for key, (first, _) in table.items() if first} == MINIMUMS_4_2
    assert table[1] == (4, 18)
    assert table[3] == (0, 13)
    assert table[22] == (0, 5), "version 6 is not stable in 4.2"


def test_the_table_is_a_3_9_brokers() -> None:
    table = offered("kafka:3.9")
    assert set(table) == CLIENT_KEYS_3_9
    assert not {key for key, (first, _) in table.items() if first}
    assert [table[key][1] for key in (0, 1, 2, 3, 8, 9, 15, 26, 66, 68)] == [11, 17, 9, 12, 9, 9, 5, 4, 1, 0]


def test_produce_is_offered_from_version_0() -> None:
    """Older librdkafka looks for it and sends everything uncompressed where it is missing (T4)."""
    assert {profile: offered(profile)[0] for profile in RELEASES} == {
        "kafka:3.9": (0, 11),
        "kafka:4.2": (0, 13),
    }
    assert {profile: taken(profile)[0][0] for profile in RELEASES} == {"kafka:3.9": 0, "kafka:4.2": 3}


def test_join_group_is_offered_from_version_0() -> None:
    """4.0 dropped versions 0 and 1, 4.1 took them back (T6)."""
    assert offered("kafka:4.2")[11] == (0, 9)


def test_a_key_is_imported_when_it_is_first_needed() -> None:
    program = (
        "import sys; from pillarbox.protocols.kafka import codec;"
        "modules = lambda: [m.rpartition('.')[2] for m in sys.modules if '.messages.' in m];"
        "before = modules(); codec.codec(12); print(before, modules())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[0] == "[] ['heartbeat']"
