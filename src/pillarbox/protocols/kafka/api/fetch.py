"""Fetch (1): batches out of partitions as they lie in the log, at once or when there are enough.

What is not in memory is loaded, and what is not there yet is waited for, up to the time that the client
gives: a fetch that waits watches its partitions, and looks only at those that have grown. In a fetch session
(`fetch_sessions`) the partitions are those of the session, and those without news are left out of the answer.

Source: KIP-74 (sizes), KIP-98 (isolation), KIP-227, KIP-320 and KIP-595 (epochs), KIP-516; rows K8, K10-K13,
K16.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pillarbox.engine.logs import OffsetOutOfRange
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.epochs import epoch_fault
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.fetch_sessions import BEGINS, NONE_WANTED, Held, Session
from pillarbox.protocols.kafka.message_sets import CodecUnknown, as_messages, demand_no_zstd
from pillarbox.protocols.kafka.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from pillarbox.protocols.kafka.rights import READ_TOPIC
from pillarbox.protocols.kafka.wire import NO_UUID
from pillarbox.store.batch import BatchError

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition, Watcher
    from pillarbox.broker.topics import Topic
    from pillarbox.engine.logs import PartitionLog, Slice

BY_ID_FROM: Final = 13
"""The first version in which topics are told by their ids."""

READ_COMMITTED: Final = 1
"""The isolation in which what is open or was aborted is not seen."""

SETS_UP_TO: Final = 3
"""The last version whose clients read message sets; up to 1 those without timestamps."""
TIMED_FROM: Final = 2
ZSTD_FROM: Final = 10
"""The first version whose clients know zstd (KIP-110)."""

BYTES_MAX: Final = 8 << 20
"""Of one answer, unless its first batch is larger: what a client costs that does not read. Clients ask again
for the rest. Kafka's `fetch.max.bytes` is 55 MiB, which it need not hold in memory."""

BYTES_CROWDED: Final = 256 << 10
"""The same while much waits for clients that do not read, so that what they cost together is bounded."""

LOAD_BYTES_MIN: Final = 1 << 20
"""A partition counts for no less while the disk is read: one batch comes, however little was asked for."""


def answer(call: Call, request: FetchRequest) -> FetchResponse | None:
    if request.session_epoch == NONE_WANTED and not request.session_id:
        return Fetching(call, request).begin()
    sessions = call.head.fetch_sessions
    if request.session_epoch in (BEGINS, NONE_WANTED):
        sessions.close(request.session_id)
        return Fetching(call, request).begin()
    session = sessions.find(request, call.now_ms, by_id=call.version >= BY_ID_FROM)
    if not isinstance(session, Session):
        return FetchResponse(error_code=session)
    if not session.topics:
        sessions.close(session.id)
        return Fetching(call, request).begin()
    return Fetching(call, request, session).begin()


class Fetching:
    """One request: what was read for each of its partitions, and what it still waits for."""

    def __init__(self, call: Call, request: FetchRequest, session: Session | None = None) -> None:
        self._call = call
        self._request = request
        size_max = BYTES_CROWDED if call.head.is_crowded else BYTES_MAX
        self._size_max = min(request.max_bytes, size_max)
        self._committed_only = request.isolation_level == READ_COMMITTED
        self._enough = min(request.min_bytes, self._size_max, size_max // 2)
        """How much it waits for: no more than an answer of whole batches can have."""
        self._beyond: dict[int, int] = {}
        """By partition, what counts as found beside its records: the next batch is there, and has no room."""
        self._size = 0
        self._loading = 0
        """Partitions that the disk was asked for."""
        self._loading_bytes = 0
        """How much they may bring: room that nothing else can have."""
        self._held_bytes = 0
        """What is counted of it as waiting for its client, before there is an answer."""
        self._behind: list[int] = []
        """Partitions that had no room beside those, and are read when that has come."""
        self._at_once = False
        """There is a fault to tell: nobody waits for data."""
        self._parked = False
        self._watching: list[tuple[Partition, Watcher]] = []
        self._due_ms = call.now_ms + request.max_wait_ms
        self._parts: list[tuple[FetchPartition, Topic | None, PartitionData]] = []
        self._response = FetchResponse(responses=[])
        self._session = session
        self._held: list[list[Held]] = []
        """What the session holds of each topic of the answer."""
        self._epoch = 0
        if session is None:
            for wanted in request.topics:
                self._add(wanted.topic, wanted.topic_id, wanted.partitions)
            return
        self._epoch = session.advance()
        self._response.session_id = session.id
        for key, partitions in session.topics.items():
            held = list(partitions.values())
            self._held.append(held)
            name, identity = ("", key) if isinstance(key, bytes) else (key, NO_UUID)
            self._add(name, identity, [each.wanted for each in held])

    def _add(self, name: str, identity: bytes, partitions: list[FetchPartition]) -> None:
        """Have these partitions of a topic read."""
        topics = self._call.head.topics
        topic = topics.by_id(identity) if self._call.version >= BY_ID_FROM else topics.get(name)
        fault = ErrorCode.NONE if topic is not None else self._why_missing(name)
        # librdkafka cannot read an answer whose records are null, and so learns of no fault.
        answers = [PartitionData(each.partition, fault, records=b"") for each in partitions]
        self._response.responses.append(FetchableTopicResponse(name, identity, answers))
        self._parts += [(each, topic, data) for each, data in zip(partitions, answers, strict=True)]

    # --- reading -------------------------------------------------------------------------------------

    def begin(self) -> FetchResponse | None:
        """Read what there is; the response, or None if it comes later."""
        for index in range(len(self._parts)):
            self._read(index)
        if self._is_enough():
            return self._result()
        self._parked = True
        self._hold(self._size + self._loading_bytes)
        self._call.head.parked[self] = None
        self._call.gone = self._look
        if not self._at_once:
            for index, (wanted, topic, _) in enumerate(self._parts):
                assert topic is not None, "a fault would have been told at once"
                partition = topic.partitions[wanted.partition].partition
                watcher = partial(self._grown, index)
                partition.watchers[watcher] = None
                self._watching.append((partition, watcher))
        self._call.head.core.scheduler.at(self._due_ms, self)
        return None

    def _read(self, index: int) -> None:
        """Look for what one partition has now."""
        wanted, topic, data = self._parts[index]
        if topic is not None and not topic.exists:
            # It has grown, or is gone.
            now = self._call.head.topics.get(topic.name)
            topic = now if now is not None and now.id == topic.id else None
            self._parts[index] = wanted, topic, data
        data.error_code = self._fault(wanted, topic, data)
        if data.error_code or topic is None:
            data.high_watermark = -1
            self._at_once = True
            return
        partition = topic.partitions[wanted.partition].partition
        log = partition.log
        data.high_watermark, data.last_stable_offset = log.committed, log.last_stable
        data.log_start_offset = log.offsets().start
        if wanted.last_fetched_epoch >= 0:
            epoch, end = log.end_of_epoch(wanted.last_fetched_epoch)
            if epoch < wanted.last_fetched_epoch or end < wanted.fetch_offset:
                data.diverging_epoch = EpochEndOffset(epoch, end)
                self._at_once = True
                return
        left = self._size_max - self._size - self._loading_bytes
        if left <= 0 and self._loading:
            self._behind.append(index)
            return
        if left <= 0 and self._size:
            return
        size_max = min(left, max(0, wanted.partition_max_bytes))
        try:
            found = partition.read(
                wanted.fetch_offset,
                size_max,
                partial(self._loaded, index, log, size_max),
                partial(self._failed, data, size_max),
                offset_end=log.last_stable if self._committed_only else None,
            )
        except OffsetOutOfRange:
            data.error_code = ErrorCode.OFFSET_OUT_OF_RANGE
            data.high_watermark = data.last_stable_offset = data.log_start_offset = -1
            self._at_once = True
            return
        if found is None:
            self._loading += 1
            self._loading_bytes += max(size_max, LOAD_BYTES_MIN)
        else:
            self._take(index, log, found)

    def _why_missing(self, name: str) -> ErrorCode:
        """What a client is told of a topic that is not there, which it may not be entitled to know."""
        if self._call.version >= BY_ID_FROM:
            return ErrorCode.UNKNOWN_TOPIC_ID
        allowed = self._call.allows(READ_TOPIC, name)
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if allowed else ErrorCode.TOPIC_AUTHORIZATION_FAILED

    def _fault(self, wanted: FetchPartition, topic: Topic | None, data: PartitionData) -> int:
        if topic is None:
            return data.error_code or ErrorCode.UNKNOWN_TOPIC_OR_PARTITION  # It is gone meanwhile.
        if not 0 <= wanted.partition < len(topic.partitions):
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if not self._call.allows(READ_TOPIC, topic.name):
            return ErrorCode.TOPIC_AUTHORIZATION_FAILED
        return epoch_fault(topic.partitions[wanted.partition].log, wanted.current_leader_epoch)

    def _take(self, index: int, log: PartitionLog, found: Slice) -> None:
        wanted, _, data = self._parts[index]
        if not found.size:
            data.records = b""
            return
        if found.offset_next < (data.last_stable_offset if self._committed_only else data.high_watermark):
            self._beyond[index] = max(0, wanted.partition_max_bytes - found.size)
        if self._size + found.size > self._size_max and self._size:
            # It came from the disk when others had filled the answer.
            data.records = b""
            return
        chunks = found.chunks
        data.records = bytes(chunks[0]) if len(chunks) == 1 else b"".join(chunks)
        if self._call.version < ZSTD_FROM and not self._in_old_form(wanted, data):
            return
        self._size += len(data.records)
        if self._committed_only:
            data.aborted_transactions = [
                AbortedTransaction(one.producer_id, one.offset_first)
                for one in log.aborted_between(found.offset_first, found.offset_next)
            ]

    def _in_old_form(self, wanted: FetchPartition, data: PartitionData) -> bool:
        """Make of the batches what a client of an old version can read; whether that can be done (K3)."""
        version, records = self._call.version, data.records or b""
        try:
            if version > SETS_UP_TO:
                demand_no_zstd(records)
            else:
                data.records = as_messages(records, int(version >= TIMED_FROM), wanted.fetch_offset)
        except CodecUnknown:
            data.error_code = ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
        except BatchError:
            data.error_code = ErrorCode.CORRUPT_MESSAGE
        if data.error_code:
            data.records = b""
            self._at_once = True
        return not data.error_code

    # --- waiting -------------------------------------------------------------------------------------

    def _is_enough(self) -> bool:
        if self._loading:
            return False
        return (
            self._at_once
            or self._size >= self._enough
            or self._size + sum(self._beyond.values()) >= self._enough
            or self._call.now_ms >= self._due_ms
            or not self._parts
        )

    def _grown(self, index: int) -> None:
        """A partition has committed more, or is gone."""
        data = self._parts[index][2]
        if not self._parked or self._loading:
            return
        if data.records:
            self._size -= len(data.records)
        self._beyond.pop(index, None)
        self._read(index)
        self._look()

    def _loaded(self, index: int, log: PartitionLog, size_max: int, found: Slice) -> None:
        self._take(index, log, found)
        self._came(size_max)
        self._look()

    def _came(self, size_max: int) -> None:
        """The disk has answered for a partition: those that had no room meanwhile may have some now."""
        self._loading -= 1
        self._loading_bytes -= max(size_max, LOAD_BYTES_MIN)
        behind, self._behind = self._behind, []
        for index in behind:
            self._read(index)

    def _failed(self, data: PartitionData, size_max: int, error: Exception) -> None:
        self._came(size_max)
        gone = isinstance(error, OffsetOutOfRange)
        data.error_code = ErrorCode.OFFSET_OUT_OF_RANGE if gone else ErrorCode.KAFKA_STORAGE_ERROR
        self._at_once = True
        self._look()

    def on_timer(self, now_ms: int) -> None:
        """Its time is over: answer with what there is."""
        self._look()

    def _look(self) -> None:
        """Answer if there is enough by now."""
        call = self._call
        if not self._parked:
            return
        if call.is_open and not self._is_enough():
            self._hold(self._size + self._loading_bytes)
            return
        self._parked = False
        self._hold(0)
        call.head.parked.pop(self, None)
        for partition, watcher in self._watching:
            partition.watchers.pop(watcher, None)
        self._watching.clear()
        if call.is_open:
            call.reply(self._result())

    # --- answering -----------------------------------------------------------------------------------

    def _result(self) -> FetchResponse:
        """The answer to what was read: all of it, or of a session what is new."""
        session = self._session
        if session is None:
            self._count()
            if self._request.session_epoch == BEGINS:
                self._begin_session()
            return self._response
        if session.epoch != self._epoch:
            # Another request of the session has overtaken this one, and was told what is new.
            return FetchResponse(error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH, session_id=session.id)
        self._count()
        told = []
        for topic, held in zip(self._response.responses, self._held, strict=True):
            news = [data for one, data in zip(held, topic.partitions, strict=True) if one.has_news(data)]
            if news:
                topic.partitions = news
                told.append(topic)
        for topic in told if session.size > 1 else ():
            served = [data.partition_index for data in topic.partitions if data.records]
            if served:
                session.served(topic.topic_id if session.by_id else topic.topic, served)
        self._response.responses = told
        return self._response

    def _begin_session(self) -> None:
        """Keep what was asked for and told, if there is room; the client learns that by the number."""
        by_id = self._call.version >= BY_ID_FROM
        parts = [
            (
                topic.topic_id if by_id else topic.topic,
                Held(wanted, data.high_watermark, data.log_start_offset),
            )
            for asked, topic in zip(self._request.topics, self._response.responses, strict=True)
            for wanted, data in zip(asked.partitions, topic.partitions, strict=True)
        ]
        call = self._call
        self._response.session_id = call.head.fetch_sessions.begin(parts, call.now_ms, by_id=by_id)

    def _hold(self, size: int) -> None:
        """So many bytes wait for the client, or will."""
        self._call.head.untaken_bytes += size - self._held_bytes
        self._held_bytes = size

    def _count(self) -> None:
        """Note what is handed out; what was asked for in vain counts as well."""
        for wanted, topic, data in self._parts:
            if topic is not None and not data.error_code:
                partition = topic.partitions[wanted.partition].partition
                for traffic in (partition.traffic, partition.all_traffic):
                    traffic.fetch += 1
                    traffic.bytes_out += len(data.records or b"")
