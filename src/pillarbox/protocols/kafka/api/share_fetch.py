"""ShareFetch (78): what a member has done with records, and new ones for it, at once or when there are some.

*Versions* 1-2: 2 has renewals (KIP-1222) and the choice whether whole batches are handed out or exactly as
many records as were asked for (KIP-1206).
*Behaviour*: acknowledgements come first and are durable before the answer leaves. Partitions are looked at in
turn, beginning with another one each time; whole batches are sent, and which of their records are the
member's is told beside. A request that renews fetches nothing. `min_bytes` is not waited for: some records
are enough.

Not here: sessions and acknowledgements (`sharing`), what becomes of records (`groups.share_state`).
Source: KIP-932; row K56.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Final

from pillarbox.engine.logs import OffsetOutOfRange
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.share_fetch import (
    AcquiredRecords,
    PartitionData,
    ShareFetchableTopicResponse,
    ShareFetchRequest,
    ShareFetchResponse,
)
from pillarbox.protocols.kafka.sharing import Sharing
from pillarbox.store.batch import LENGTH_END, read_header
from pillarbox.store.producers import is_aborted

if TYPE_CHECKING:
    from collections.abc import Callable

    from pillarbox.broker.partition import Partition
    from pillarbox.engine.logs import PartitionLog, Slice
    from pillarbox.protocols.kafka.groups.assignors import Part
    from pillarbox.protocols.kafka.groups.share_partition import SharePartition
    from pillarbox.protocols.kafka.groups.share_state import Given

EXACT: Final = 1
"""The acquire mode in which no more than the wanted number of records is handed out."""
BYTES_MAX: Final = 57_671_680
"""Kafka's `fetch.max.bytes` of a broker."""
LOOKED_BYTES: Final = 128 << 10
"""How much of one partition is read at once: a usual number of usual records, and no more than can be looked
at in a turn, batch by batch. Whoever wants more gets it in several such pieces."""

LAST_DELTA_AT: Final = 23
"""Where a batch says how far its last offset is from its first."""
_BASE_AND_LENGTH: Final = Struct(">qi")
_LAST_DELTA: Final = Struct(">i")


def answer(call: Call, request: ShareFetchRequest) -> ShareFetchResponse | None:
    has_acks = any(each.acknowledgement_batches for topic in request.topics for each in topic.partitions)
    try:
        sharing = Sharing(call, request, may_begin=True, has_acks=has_acks)
        wants = request.max_wait_ms or request.max_records or request.max_bytes or request.min_bytes
        if request.is_renew_ack and wants:
            raise Refused(ErrorCode.INVALID_REQUEST)
    except Refused as refused:
        return ShareFetchResponse(error_code=refused.code, error_message=refused.text)
    ShareFetching(call, request, sharing).begin()
    return None


class Batches:
    """Where the batch with an offset ends, in bytes of whole batches. Looks at each once, up to the one asked
    for: offsets have to be asked for in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0
        self._last = -1

    def __repr__(self) -> str:
        return f"<Batches at {self._next} of {len(self._data)}>"

    def last_offset(self, offset: int) -> int:
        """Its last offset."""
        self.end(offset)
        return max(self._last, offset)

    def end(self, offset: int) -> int:
        """Its last byte and one."""
        data = self._data
        while self._last < offset and self._next < len(data):
            base, length = _BASE_AND_LENGTH.unpack_from(data, self._next)
            self._last = base + _LAST_DELTA.unpack_from(data, self._next + LAST_DELTA_AT)[0]
            self._next += length + LENGTH_END
        return self._next


class ShareFetching:
    """One request: what was told about each partition, and what it still waits for."""

    def __init__(self, call: Call, request: ShareFetchRequest, sharing: Sharing) -> None:
        self._call = call
        self._request = request
        self._sharing = sharing
        self._told: dict[Part, PartitionData] = {}
        self._records: dict[Part, list[bytes]] = {}
        self._queue: deque[Part] = deque()
        """Partitions that are still to be looked at."""
        self._count = 0
        self._size = 0
        self._loading = False
        self._durable = True
        self._at_once = sharing.ends or sharing.renews
        """Nobody waits for records: there is something else to tell, or none are wanted."""
        self._answered = False
        self._watching: list[Callable[[], None]] = []
        """Take the watchers away again."""
        self._due_ms = call.now_ms + request.max_wait_ms

    def begin(self) -> None:
        self._settle()
        sharing, head = self._sharing, self._call.head
        if sharing.ends:
            sharing.close()
        head.parked[self] = None
        self._call.gone = self._finish
        if sharing.lasting:
            self._durable = False
            head.promises.when_durable(self._kept)
        if not self._at_once:
            self._look()
        self._finish_if_enough()
        if not self._answered:
            head.core.scheduler.at(self._due_ms, self)

    # --- answers of the member -----------------------------------------------------------------------

    def _settle(self) -> None:
        """Take what the member says, and which partitions it wants from now on."""
        sharing = self._sharing
        parts = sharing.session.parts
        for topic in self._request.topics:
            for each in topic.partitions:
                part = topic.topic_id, each.partition_index
                parts[part] = None
                data = self._about(part)
                if each.acknowledgement_batches:
                    data.acknowledge_error_code, data.acknowledge_error_message = sharing.settle(
                        part, each.acknowledgement_batches
                    )
        for gone in self._request.forgotten_topics_data:
            for number in gone.partitions:
                parts.pop((gone.topic_id, number), None)

    def _about(self, part: Part) -> PartitionData:
        if part not in self._told:
            self._told[part] = PartitionData(part[1], records=b"")
        return self._told[part]

    def _kept(self, failure: str | None) -> None:
        self._durable = True
        if failure is not None:
            for data in self._told.values():
                data.acknowledge_error_code = (
                    data.acknowledge_error_code or ErrorCode.COORDINATOR_NOT_AVAILABLE
                )
            self._at_once = True
        self._finish_if_enough()

    # --- reading -------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look at all partitions of the session, each time beginning with another one."""
        parts = list(self._sharing.session.parts)
        if parts:
            turn = self._sharing.epoch % len(parts)
            self._queue.extend(parts[turn:] + parts[:turn])
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and not self._loading:
            if self._count >= self._request.max_records or not self._call.is_open or self._sharing.is_over:
                self._queue.clear()
                return
            self._read(self._queue.popleft())

    def _read(self, part: Part) -> None:
        """Take what one partition has now, or have it loaded."""
        fault = self._sharing.fault(part)
        if fault:
            self._about(part).error_code = fault
            self._at_once = True
            return
        group = self._sharing.group
        assert group is not None, "it would be a fault"
        share = group.parts[part]
        partition, state = share.partition, share.begin()
        left = min(self._request.max_bytes, BYTES_MAX) - self._size
        if partition is None or state is None or state.is_full or (left <= 0 and self._size):
            return
        log, offset = partition.log, state.next_offset
        try:
            found = partition.read(
                offset,
                max(1, min(left, LOOKED_BYTES)),
                partial(self._loaded, part, share, partition, offset),
                partial(self._failed, part),
                offset_end=log.last_stable if group.settings.committed_only else None,
            )
        except OffsetOutOfRange:
            return  # The log has lost its end: what comes next is looked at again.
        if found is None:
            self._loading = True
        else:
            self._take(part, share, partition, offset, found)

    def _loaded(
        self, part: Part, share: SharePartition, partition: Partition, offset: int, found: Slice
    ) -> None:
        self._loading = False
        group = self._sharing.group
        is_there = group is not None and group.parts.get(part) is share
        if is_there and not self._answered and not self._sharing.is_over:
            self._take(part, share, partition, offset, found)
        self._go_on()
        self._finish_if_enough()

    def _failed(self, part: Part, error: Exception) -> None:
        self._loading = False
        if not isinstance(error, OffsetOutOfRange):
            self._about(part).error_code = ErrorCode.KAFKA_STORAGE_ERROR
            self._at_once = True
        self._go_on()
        self._finish_if_enough()

    def _take(
        self, part: Part, share: SharePartition, partition: Partition, offset: int, found: Slice
    ) -> None:
        """Hand out what is free of what was read from an offset on."""
        state = share.state
        if not found.size or state is None:
            return
        chunks = found.chunks
        data = bytes(chunks[0]) if len(chunks) == 1 else b"".join(chunks)
        group = self._sharing.group
        if group is not None and group.settings.committed_only:
            share.skip(_aborted(data, partition.log, found))
        request, batches = self._request, Batches(data)
        given = share.acquire(
            self._sharing.member_id,
            offset,
            found.offset_next,
            request.max_records - self._count,
            _same if request.share_acquire_mode == EXACT else batches.last_offset,
        )
        if not given:
            if state.next_offset != offset:
                self._queue.appendleft(part)  # What there was is aborted, or was taken meanwhile.
            return
        records = data[: batches.end(given[-1].last)]
        told = self._about(part)
        _add(told.acquired_records, given)
        self._records.setdefault(part, []).append(records)
        self._count += sum(one.last - one.first + 1 for one in given)
        self._size += len(records)
        for traffic in (partition.traffic, partition.all_traffic):
            traffic.fetch += 1
            traffic.bytes_out += len(records)
        if state.next_offset >= found.offset_next and len(records) == found.size >= LOOKED_BYTES // 2:
            self._queue.appendleft(part)  # There was room for so much only.

    # --- waiting -------------------------------------------------------------------------------------

    def _finish_if_enough(self) -> None:
        if self._answered or self._loading or not self._durable:
            return
        if self._at_once or self._count or self._call.now_ms >= self._due_ms:
            self._finish()
        elif not self._watching:
            self._watch()

    def _watch(self) -> None:
        """Look again when something has come, or has come back."""
        group = self._sharing.group
        for part in self._sharing.session.parts:
            share = None if group is None else group.parts.get(part)
            partition = None if share is None else share.partition
            if share is None or partition is None:
                continue
            for watchers in (share.watchers, partition.watchers):
                watcher = partial(self._grown, part)
                watchers[watcher] = None
                self._watching.append(partial(watchers.pop, watcher, None))

    def _grown(self, part: Part) -> None:
        if self._answered or self._at_once or self._count or part not in self._sharing.session.parts:
            return
        if part not in self._queue:
            self._queue.append(part)
        self._go_on()
        self._finish_if_enough()

    def on_timer(self, now_ms: int) -> None:
        """Its time is over: answer with what there is."""
        self._finish_if_enough()

    def _finish(self) -> None:
        if self._answered:
            return
        self._answered = True
        call = self._call
        call.head.parked.pop(self, None)
        for let_go in self._watching:
            let_go()
        self._watching.clear()
        if call.is_open:
            call.reply(self._response())

    def _response(self) -> ShareFetchResponse:
        for part, records in self._records.items():
            self._told[part].records = b"".join(records)
        by_topic: dict[bytes, list[PartitionData]] = {}
        for (topic_id, _), data in self._told.items():
            by_topic.setdefault(topic_id, []).append(data)
        return ShareFetchResponse(
            acquisition_lock_timeout_ms=self._sharing.lock_ms,
            responses=[ShareFetchableTopicResponse(topic_id, each) for topic_id, each in by_topic.items()],
        )


def _same(offset: int) -> int:
    return offset


def _add(acquired: list[AcquiredRecords], given: list[Given]) -> None:
    """Tell these too; what goes on where the last one ends, as one."""
    for first, last, deliveries in given:
        before = acquired[-1] if acquired else None
        if before is not None and (before.last_offset + 1, before.delivery_count) == (first, deliveries):
            before.last_offset = last
        else:
            acquired.append(AcquiredRecords(first, last, deliveries))


def _aborted(data: bytes, log: PartitionLog, found: Slice) -> list[tuple[int, int]]:
    """Offsets of batches whose transactions were aborted."""
    aborted = log.aborted_between(found.offset_first, found.offset_next)
    ranges, at = [], 0
    while aborted and at < len(data):
        header = read_header(data, at)
        if not header.is_control and is_aborted(header, aborted):
            ranges.append((header.base_offset, header.next_offset - 1))
        at += header.size
    return ranges
