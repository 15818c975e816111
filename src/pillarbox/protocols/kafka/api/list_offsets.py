"""ListOffsets (2): where a partition begins and ends, and which record is the first of a time.

*Version notes*: 0 gets lists of places from which to read, the last one first: the end and the beginning, and
for a time the beginning, which is before it.

Source: KIP-79, KIP-734 (the newest record), KIP-405 and KIP-1005 (tiers, of which there is one); row K15.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from pillarbox.engine.logs import NOT_FOUND
from pillarbox.protocols.kafka.api.fetch import READ_COMMITTED
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.epochs import epoch_fault
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from pillarbox.protocols.kafka.partitions import demand_partition
from pillarbox.protocols.kafka.rights import SEE_TOPIC
from pillarbox.store.batch import BatchError, read_header
from pillarbox.store.codecs import open_records

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition
    from pillarbox.engine.logs import Slice

LATEST, EARLIEST, NEWEST, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = -1, -2, -3, -4, -5, -6
"""What negative timestamps ask for; nothing rests in another tier."""
LISTS_UP_TO: Final = 0
NOT_TIERED: Final = frozenset((LATEST_TIERED, EARLIEST_PENDING))


def answer(call: Call, request: ListOffsetsRequest) -> ListOffsetsResponse | None:
    return Listing(call, request).begin()


class Listing:
    """One request, and the partitions whose records have to be looked at for it."""

    def __init__(self, call: Call, request: ListOffsetsRequest) -> None:
        self._call = call
        self._request = request
        self._pending = 0
        self._response = ListOffsetsResponse(topics=[])

    def begin(self) -> ListOffsetsResponse | None:
        """The response, or None if it comes when the disk has answered."""
        for wanted in self._request.topics:
            answers = [self._ask(wanted.name, each) for each in wanted.partitions]
            self._response.topics.append(ListOffsetsTopicResponse(wanted.name, answers))
        return None if self._pending else self._response

    def _ask(self, topic: str, wanted: ListOffsetsPartition) -> ListOffsetsPartitionResponse:
        index = wanted.partition_index
        found = ListOffsetsPartitionResponse(index)
        try:
            partition = demand_partition(self._call, topic, index, SEE_TOPIC).partition
        except Refused as refused:
            found.error_code = refused.code
            return found
        log = partition.log
        found.error_code = epoch_fault(log, wanted.current_leader_epoch)
        if found.error_code or wanted.timestamp in NOT_TIERED:
            return found
        found.leader_epoch = log.leader_epoch
        if self._call.version <= LISTS_UP_TO:
            start, end = log.offsets().start, log.committed
            places = [end, start] if wanted.timestamp == LATEST and start < end else [start]
            found.old_style_offsets = places[: max(0, wanted.max_num_offsets)]
        elif wanted.timestamp == LATEST:
            committed_only = self._request.isolation_level == READ_COMMITTED
            found.offset = log.last_stable if committed_only else log.committed
        elif wanted.timestamp in (EARLIEST, EARLIEST_LOCAL):
            found.offset = log.offsets().start
        elif wanted.timestamp == NEWEST:
            timestamp, offset = log.max_timestamp()
            if offset != NOT_FOUND:
                self._open(partition, found, timestamp, offset)
        elif wanted.timestamp >= 0:
            self._pending += 1
            at = partition.find_time(
                wanted.timestamp,
                partial(self._found, partition, found, wanted.timestamp),
                partial(self._failed, found),
            )
            if at is not None:
                self._found(partition, found, wanted.timestamp, at)
        else:
            found.error_code = ErrorCode.INVALID_REQUEST
        return found

    def _found(
        self, partition: Partition, found: ListOffsetsPartitionResponse, timestamp: int, offset: int
    ) -> None:
        """The batch with the record is known, or there is none."""
        if offset == NOT_FOUND:
            found.leader_epoch = -1
        else:
            self._open(partition, found, timestamp, offset)
        self._done()

    def _open(
        self, partition: Partition, found: ListOffsetsPartitionResponse, timestamp: int, offset: int
    ) -> None:
        """Look for the record within its batch."""
        self._pending += 1
        opened = partial(self._opened, partition, found, timestamp)
        batch = partition.read(offset, 1, opened, partial(self._failed, found))
        if batch is not None:
            opened(batch)

    def _opened(
        self, partition: Partition, found: ListOffsetsPartitionResponse, timestamp: int, batch: Slice
    ) -> None:
        # The log may begin within the batch: what is before that is not there any more.
        start = partition.log.offsets().start
        for chunk in batch.chunks:
            header = read_header(chunk)
            # A batch that cannot be read answers with its beginning.
            found.offset, found.timestamp = max(start, header.base_offset), header.max_timestamp
            with suppress(BatchError):
                for offset, moment, *_ in open_records(chunk, 0, header):
                    if moment >= timestamp and offset >= start:
                        found.offset, found.timestamp = offset, moment
                        break
        self._done()

    def _failed(self, found: ListOffsetsPartitionResponse, error: Exception) -> None:
        found.error_code = ErrorCode.KAFKA_STORAGE_ERROR
        self._done()

    def _done(self) -> None:
        self._pending -= 1
        if not self._pending and self._call.is_open and self._response_is_whole:
            self._call.reply(self._response)

    @property
    def _response_is_whole(self) -> bool:
        """Whether every topic has been asked about, so that the answer was put off."""
        return len(self._response.topics) == len(self._request.topics)
