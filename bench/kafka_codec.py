"""The Kafka codec beside kio: what one request or response costs, in microseconds of CPU.

    python -m bench.kafka_codec

A Produce request and a Fetch response with batches of 16 KiB, of one partition and of a hundred, and the
Metadata of a thousand partitions. Both codecs get the same bytes and values, in interleaved rounds, and the
least of each is shown. kio reads in Rust and writes in Python; it is what the tests compare ours with.
"""

from __future__ import annotations

import dataclasses
import io
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from kio.serial import entity_reader, entity_writer

from pillarbox.protocols.kafka.codec import codec, decode_request, encode_response
from tests.protocols.kafka.oracle import encoded, kio_class, our_class, ours, smallest

ROUNDS = 15
ROUND_SECONDS = 0.05
PRODUCE, FETCH, METADATA = 0, 1, 3
BATCH = random.Random(1).randbytes(16_384)


def filled(value: Any, arrays: Sequence[tuple[str, int]], leaf: dict[str, Any]) -> Any:
    """Return a kio instance whose nested arrays have so many items, the last with the fields of `leaf`."""
    if not arrays:
        return dataclasses.replace(value, **leaf)
    name, items = arrays[0]
    inner = filled(getattr(value, name)[0], arrays[1:], leaf)
    return dataclasses.replace(value, **{name: (inner,) * items})


def least_us(*calls: Callable[[], object]) -> list[float]:
    """Return the least CPU time of each call, in microseconds."""
    least = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            count, start = 0, time.process_time()
            while (spent := time.process_time() - start) < ROUND_SECONDS:
                call()
                count += 1
            least[index] = min(least[index], spent / count * 1e6)
    return least


def decoding(key: int, version: int, theirs: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    data, read = encoded(theirs), entity_reader(type(theirs))
    assert decode_request(key, version, data, 0) == (ours(theirs, our_class(key, "request")), 0)
    return lambda: decode_request(key, version, data, 0), lambda: read(data, 0)


def encoding(key: int, version: int, theirs: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    response, write = ours(theirs, our_class(key, "response")), entity_writer(type(theirs))
    pieces: list[bytes] = []
    codec(key).encoders[version](response, pieces.append)
    assert b"".join(pieces) == encoded(theirs)
    return lambda: b"".join(encode_response(key, version, 1, response)), lambda: write(io.BytesIO(), theirs)


def main() -> None:
    rows = {}
    for count in (1, 100):
        for version in (9, 13):
            request = smallest(kio_class(PRODUCE, version, "request"))
            request = filled(request, [("topic_data", 1), ("partition_data", count)], {"records": BATCH})
            rows[f"Produce {version} decoded, partitions: {count}"] = decoding(PRODUCE, version, request)
        response = smallest(kio_class(FETCH, 13, "response"))
        leaf = {"records": BATCH, "aborted_transactions": ()}
        response = filled(response, [("responses", 1), ("partitions", count)], leaf)
        rows[f"Fetch 13 encoded, partitions: {count}"] = encoding(FETCH, 13, response)
    response = smallest(kio_class(METADATA, 12, "response"))
    leaf = {"replica_nodes": (1,), "isr_nodes": (1,), "offline_replicas": ()}
    response = filled(response, [("topics", 10), ("partitions", 100)], leaf)
    rows["Metadata 12 encoded, partitions: 1000"] = encoding(METADATA, 12, response)
    print(f"{'':40} {'Pillarbox':>10} {'kio':>10} {'ratio':>6}")
    for name, calls in rows.items():
        own, kio = least_us(*calls)
        print(f"{name:40} {own:10.1f} {kio:10.1f} {kio / own:6.2f}")


if __name__ == "__main__":
    main()
