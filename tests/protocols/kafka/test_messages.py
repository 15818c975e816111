"""Every key and version against kio, and against what a hostile peer may send."""

from __future__ import annotations

import contextlib
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.protocols.kafka.codec import codec, decode_request, encode_response
from pillarbox.protocols.kafka.messages import APIS
from pillarbox.protocols.kafka.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from pillarbox.protocols.kafka.wire import WireError
from tests.protocols.kafka.oracle import SERVED, encoded, instance, kio_class, our_class, ours, smallest

EVERY = pytest.mark.parametrize(
    ("key", "version"), SERVED, ids=[f"{APIS[key].name}-{version}" for key, version in SERVED]
)
EACH = pytest.mark.parametrize("key", APIS, ids=[api.name for api in APIS.values()])
SEEDS = st.integers(0, 2**32)
EXAMPLES = settings(max_examples=4, database=None)


def versions(key: int) -> range:
    first, last = APIS[key].versions
    return range(first, last + 1)


def response_bytes(key: int, version: int, response: object) -> bytes:
    pieces: list[bytes] = []
    codec(key).encoders[version](response, pieces.append)
    return b"".join(pieces)


@EVERY
@EXAMPLES
@given(seed=SEEDS)
def test_requests_are_read_as_kio_wrote_them(key: int, version: int, seed: int) -> None:
    theirs = instance(kio_class(key, version, "request"), random.Random(seed))
    data = encoded(theirs)
    request, left = decode_request(key, version, data, 0)
    assert request == ours(theirs, our_class(key, "request"))
    assert left == 0


@EVERY
@EXAMPLES
@given(seed=SEEDS)
def test_responses_are_written_as_kio_writes_them(key: int, version: int, seed: int) -> None:
    theirs = instance(kio_class(key, version, "response"), random.Random(seed))
    assert response_bytes(key, version, ours(theirs, our_class(key, "response"))) == encoded(theirs)


@EACH
def test_arrays_of_the_smallest_items_are_within_the_bound_of_their_count(key: int) -> None:
    for version in versions(key):
        theirs = smallest(kio_class(key, version, "request"))
        request, left = decode_request(key, version, encoded(theirs), 0)
        assert request == ours(theirs, our_class(key, "request"))
        assert left == 0


@EACH
def test_a_request_cut_anywhere_is_refused(key: int) -> None:
    for version in versions(key):
        data = encoded(instance(kio_class(key, version, "request"), random.Random(version), items_max=1))
        for size in {*range(min(len(data), 300)), *range(max(0, len(data) - 300), len(data))}:
            with pytest.raises(WireError):
                decode_request(key, version, data[:size], 0)


@EACH
def test_bytes_behind_a_request_are_counted(key: int) -> None:
    for version in versions(key):
        data = encoded(smallest(kio_class(key, version, "request")))
        assert decode_request(key, version, data + b"abc", 0)[1] == 3


@EACH
@settings(max_examples=20, database=None)
@given(seed=SEEDS)
def test_damaged_requests_are_read_or_refused(key: int, seed: int) -> None:
    rng = random.Random(seed)
    version = rng.choice(versions(key))
    data = bytearray(encoded(instance(kio_class(key, version, "request"), rng, items_max=2)))
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        data[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 5))
    with contextlib.suppress(WireError):
        decode_request(key, version, bytes(data), 0)


@EACH
def test_unknown_tagged_fields_are_skipped(key: int) -> None:
    for version in versions(key)[max(0, APIS[key].flexible - versions(key)[0]) :]:
        theirs = smallest(kio_class(key, version, "request"))
        data = encoded(theirs)
        assert data[-1] == 0, "the section of tagged fields of the request itself, without any"
        unknown = b"\x02" + b"\x63\x03abc" + b"\xff\x7f\x00"
        request, left = decode_request(key, version, data[:-1] + unknown, 0)
        assert request == ours(theirs, our_class(key, "request"))
        assert left == 0


def test_a_huge_count_is_refused_before_anything_is_allocated() -> None:
    """A few bytes that announce two thousand million topics cost no more than bytes that announce one."""
    fetch = b"\x00" * 9 + b"\x7f\xff\xff\xff"
    for key, version, data in (
        (3, 0, b"\x7f\xff\xff\xff"),
        (3, 12, b"\xff\xff\xff\xff\x0f" + b"\x00" * 8),
        (1, 4, b"\x00" * 17 + b"\x7f\xff\xff\xff" + fetch),
        (0, 9, b"\x00" * 7 + b"\xfe\xff\xff\xff\x07"),
        (26, 0, b"\x7f\xff" + b"a" * 11),
    ):
        codec(key)
        tracemalloc.start()
        try:
            with pytest.raises(WireError, match="left"):
                decode_request(key, version, data, 0)
            assert tracemalloc.get_traced_memory()[1] < 50_000
        finally:
            tracemalloc.stop()


def test_a_field_that_a_version_does_not_have_is_not_sent() -> None:
    by_both = FetchResponse(responses=[FetchableTopicResponse(topic="orders", topic_id=b"i" * 16)])
    by_name = FetchResponse(responses=[FetchableTopicResponse(topic="orders")])
    assert response_bytes(1, 12, by_both) == response_bytes(1, 12, by_name)
    assert b"orders" not in response_bytes(1, 13, by_both)


def test_records_are_passed_on_without_a_copy() -> None:
    records = b"r" * 100_000
    partition = PartitionData(records=records)
    response = FetchResponse(responses=[FetchableTopicResponse(topic="orders", partitions=[partition])])
    assert any(piece is records for piece in encode_response(1, 12, 1, response))
