"""A look at the records of a partition: /kafka/topics/{topic}/partitions/{partition}/records.

For people: whoever wants all of them is a consumer. Batches are opened in a thread, since a single one may
hold ten thousand records; what is read and what is shown is bounded.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.engine.logs import OffsetOutOfRange
from pillarbox.ops.kafka.seeing import demand, partition_of
from pillarbox.ops.management.fields import BOOLEAN, INTEGER, STRING, array, nullable
from pillarbox.ops.management.request import HttpError, bad_request, number_of
from pillarbox.ops.management.routes import MANAGEMENT, Parameter, Route
from pillarbox.store.batch import BatchError, BatchHeader, read_header, read_header_fields
from pillarbox.store.codecs import open_records
from pillarbox.store.producers import is_aborted

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition
    from pillarbox.engine.logs import Aborted, Slice
    from pillarbox.ops.management.request import Request

COUNT, COUNT_MAX = 20, 500
READ_BYTES = 256 << 10
"""Read at once; a batch is read whole, however large it is."""
READ_BYTES_MAX = 8 << 20
"""Read for one answer: with less than was asked for it has as many as these have."""
BATCH_BYTES_MAX = 16 << 20
"""What one batch may grow to when it is decompressed here."""
TRUNCATE, TRUNCATE_MAX = 4096, 1 << 20
"""Bytes of a value that are shown."""
ENCODINGS: Mapping[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda data: base64.b64encode(data).decode(),
}
AUTO = "auto"


class Wanted(NamedTuple):
    """How records are to be shown."""

    encoding: str
    truncate: int


def _number(request: Request, name: str, otherwise: int, most: int) -> int:
    """A parameter. Raises 400."""
    text = request.query.get(name, "")
    if not text:
        return otherwise
    number = number_of(text)
    if number is None or number > most:
        raise bad_request(f"{name} is a number from 0 to {most}, not {text[:40]}")
    return number


async def records(request: Request) -> list[dict[str, Any]]:
    """The last ones, or those from an offset on."""
    topic, _, stream = partition_of(request)
    demand(request, "read topic", topic.name)
    count = _number(request, "count", COUNT, COUNT_MAX)
    encoding = request.query.get("encoding", AUTO)
    if encoding not in (AUTO, *ENCODINGS):
        raise bad_request(f"encoding is one of {AUTO}, {', '.join(ENCODINGS)}")
    wanted = Wanted(encoding, _number(request, "truncate", TRUNCATE, TRUNCATE_MAX))
    log = stream.log
    start, end = log.offsets().start, log.committed
    offset = _number(request, "offset", max(start, end - count), (1 << 62) - 1)
    if request.query.get("offset") and not start <= offset <= end:
        raise bad_request(f"offset {offset} is not within {start}..{end}")
    found: list[dict[str, Any]] = []
    left = READ_BYTES_MAX
    while offset < end and len(found) < count and left > 0:
        slice_ = await read(request, stream.partition, offset, READ_BYTES)
        if slice_ is None or not slice_.size:
            break
        aborted = log.aborted_between(slice_.offset_first, slice_.offset_next)
        take = count - len(found)
        found += await asyncio.to_thread(_shown, slice_, offset, end, take, aborted, wanted)
        request.begin()
        offset, left = slice_.offset_next, left - slice_.size
    return found


async def read(request: Request, partition: Partition, offset: int, size_max: int) -> Slice | None:
    """What lies there, when the disk has answered; None: retention was faster. Raises 503."""
    answer: asyncio.Future[Slice] = asyncio.get_running_loop().create_future()
    try:
        found = partition.read(offset, size_max, answer.set_result, answer.set_exception)
        if found is None:
            found = await answer
            request.begin()
    except OffsetOutOfRange:
        return None
    except OSError as error:
        raise HttpError(503, "service_unavailable", f"the log cannot be read: {error}") from None
    return found


def _shown(
    found: Slice, first: int, end: int, count: int, aborted: list[Aborted], wanted: Wanted
) -> list[dict[str, Any]]:
    """Up to so many records of these batches from an offset on; control records are none."""
    shown: list[dict[str, Any]] = []
    for data, header in _batches(found):
        if len(shown) >= count or header.base_offset >= end:
            break
        if header.is_control or header.next_offset <= first:
            continue
        try:
            opened = open_records(data, 0, header, size_max=BATCH_BYTES_MAX)
        except BatchError as error:
            shown.append(_unreadable(header, str(error)))
            continue
        for record in opened:
            if first <= record.offset < end and len(shown) < count:
                shown.append(
                    {
                        "offset": record.offset,
                        "timestamp": record.timestamp_ms,
                        **_text("key", record.key, wanted),
                        **_text("value", record.value, wanted),
                        "size": len(record.value or b""),
                        "headers": [
                            {"name": name.decode("utf-8", "replace"), **_text("value", content, wanted)}
                            for name, content in read_header_fields(record.headers)
                        ],
                        "transactional": header.is_transactional,
                        "aborted": is_aborted(header, aborted),
                    }
                )
    return shown


def _batches(found: Slice) -> Iterator[tuple[memoryview, BatchHeader]]:
    for chunk in found.chunks:
        view = memoryview(chunk)
        while len(view):
            header = read_header(view)
            yield view[: header.size], header
            view = view[header.size :]


def _unreadable(header: BatchHeader, reason: str) -> dict[str, Any]:
    """Stands for a batch that cannot be opened here."""
    return {
        "offset": header.base_offset,
        "timestamp": header.max_timestamp,
        "error": f"{header.record_count} records cannot be read: {reason}",
    }


def _text(name: str, data: bytes | None, wanted: Wanted) -> dict[str, Any]:
    """A key or value as text if it is one, else as hexadecimal digits; or as it was asked for."""
    if data is None:
        return {name: None, f"{name}_encoding": "null"}
    part = bytes(data[: wanted.truncate])
    if wanted.encoding != AUTO:
        return {name: ENCODINGS[wanted.encoding](part), f"{name}_encoding": wanted.encoding}
    try:
        # What is cut may end within a character.
        text = part.decode("utf-8") if len(part) == len(data) else _decoded_part(part)
    except UnicodeDecodeError:
        return {name: part.hex(), f"{name}_encoding": "hex"}
    return {name: text, f"{name}_encoding": "string"}


def _decoded_part(part: bytes) -> str:
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(part) - 3:
            raise
        return part[: error.start].decode("utf-8")


async def offset_at(request: Request, partition: Partition, timestamp_ms: int) -> int:
    """The first record that is not older; the end if all are."""
    log = partition.log
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    found = partition.find_time(timestamp_ms, answer.set_result, answer.set_exception)
    if found is None:
        try:
            found = await answer
        except OffsetOutOfRange:
            return log.offsets().start
        except OSError as error:
            raise HttpError(503, "service_unavailable", f"the log cannot be read: {error}") from None
        request.begin()
    if found < 0:
        return log.committed
    slice_ = await read(request, partition, found, 1)
    if slice_ is None or not slice_.size:
        return log.offsets().start
    first = await asyncio.to_thread(_first_since, slice_, timestamp_ms)
    request.begin()
    return max(first, log.offsets().start)


def _first_since(found: Slice, timestamp_ms: int) -> int:
    for data, header in _batches(found):
        if header.max_timestamp >= timestamp_ms:
            try:
                opened = open_records(data, 0, header, size_max=BATCH_BYTES_MAX)
            except BatchError:
                return header.base_offset
            return next(
                (one.offset for one in opened if one.timestamp_ms >= timestamp_ms), header.base_offset
            )
    return found.offset_next


_HEADER = {
    "type": "object",
    "properties": {"name": STRING, "value": nullable(STRING), "value_encoding": STRING},
}
_RECORD = {
    "type": "object",
    "properties": {
        "offset": INTEGER,
        "timestamp": INTEGER,
        "key": nullable(STRING),
        "key_encoding": STRING,
        "value": nullable(STRING),
        "value_encoding": STRING,
        "size": INTEGER,
        "headers": array(_HEADER),
        "transactional": BOOLEAN,
        "aborted": BOOLEAN,
        "error": STRING,
    },
}

ROUTES = (
    Route(
        "GET",
        "/kafka/topics/{topic}/partitions/{partition}/records",
        records,
        MANAGEMENT,
        "Some records: the last ones, or those from an offset on.",
        array(_RECORD),
        parameters=(
            Parameter("offset", INTEGER, "The first to show; without it, the last ones are shown."),
            Parameter("count", INTEGER, f"How many, at most {COUNT_MAX}; {COUNT} unless said."),
            Parameter("encoding", STRING, "auto (text where it is text, else hex), hex or base64."),
            Parameter("truncate", INTEGER, f"Bytes of a key or value to show; {TRUNCATE} unless said."),
        ),
    ),
)
