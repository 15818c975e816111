"""A stream queue: messages that stay, in a partition log, for any number of readers (R80, R81).

What is published in a tick becomes one batch of Kafka records, one offset a message, and is confirmed when
the log has it as durable as it was asked to be; readers see no further. A reader has a cursor and a credit
and nothing else: what it gets is read from the log in chunks, decoded once, and shared with the readers that
are at the same place. An answer gives credit back and takes nothing away.

Not here: the log (`store.log`), what records look like (`StreamCodec`, a head's), whose turn it is among
streams, and confirms (`streams`).

Source: RabbitMQ, "Streams"; 3.10.8 asked with `tests/compare/written/streams.py`. Invariants: a cursor never
passes what is committed, nor the beginning of an open transaction; the memory of a reader is its chunk,
whatever its prefetch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Container, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.arguments import check_values
from pillarbox.broker.lane import Lane
from pillarbox.broker.lean import NO_LIST
from pillarbox.broker.partition import Partition
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import MESSAGE_BYTES, Run
from pillarbox.broker.stream_offset import Begin, interval_ms, read_begin
from pillarbox.engine.base import Location, Message
from pillarbox.engine.logs import NOT_FOUND, LogOptions, OffsetOutOfRange
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.consumer import Consumer, Pool
    from pillarbox.broker.deadletter import DeadLetterRule
    from pillarbox.broker.streams import Decoded, Streams
    from pillarbox.engine.logs import Appended, Buffer, Slice

SEGMENT_BYTES = 500_000_000
"""RabbitMQ's size of a segment where the stream does not say: retention removes whole ones."""

CHUNK_BYTES = 256 << 10
"""What a reader reads at once: large enough that reading costs little per message, small enough that a
thousand readers at different places take no more than some hundred megabytes."""

CHUNKS_SHARED = 4
"""Decoded chunks that a stream keeps for readers that follow others; beyond it the oldest goes."""

TURN_MESSAGES = 200
"""Messages that one reader gets before the next one has its turn."""


class Cursor:
    """How far a reader has come."""

    __slots__ = ("chunk", "consumer", "offset", "unfiltered", "waiting", "wanted")

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.offset = 0
        self.chunk: Decoded | None = None
        arguments = consumer.arguments
        self.wanted = filter_values(arguments)
        self.unfiltered = bool(arguments.get("x-stream-match-unfiltered"))
        self.waiting = False
        """The log was asked where it begins and has not answered."""

    def __repr__(self) -> str:
        return f"<Cursor {self.consumer.tag!r} at {self.offset}>"


class StreamLane(Lane):
    """What stands in for a lane: nothing is ever in it. The log has the messages."""

    __slots__ = ()

    queue: StreamQueue

    def push(
        self,
        messages: list[Message],
        body_bytes: int,
        location: Location | None,
        *,
        stored: bool = True,
        expiring: bool = False,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        self.queue.take_in(messages, body_bytes)

    def delivered(self, run: Run) -> None:
        self.queue.unacked_count += len(run.sequences)

    def settle(self, run: Run, sequences: range, body_bytes: int) -> None:
        self.queue.unacked_count -= len(sequences)
        self.queue.counters.ack += len(sequences)

    def release(self, run: Run, *, failed: bool = False) -> None:
        """The reader goes; whether it has dealt with them is its own affair."""
        self.queue.unacked_count -= len(run.sequences)

    def reject(self, run: Run) -> None:
        self.queue.unacked_count -= len(run.sequences)


class StreamQueue(Queue):
    """See the module. `ready_count` is how many messages the log has for readers."""

    in_log = True

    def __init__(
        self,
        changes: Changes,
        uid: int,
        name: str,
        streams: Streams,
        vhost: str,
        *,
        arguments: Mapping[str, Any],
    ) -> None:
        super().__init__(changes, uid, name, durable=True, arguments=arguments)
        self._streams = streams
        self._vhost = vhost
        # Its messages are the log's: no fact of it ever stands in the journal.
        self.journaled = False
        self.lanes = [StreamLane(self, changes, uid, 0)]
        self._cursors: dict[Consumer, Cursor] = {}
        self._loading: set[int] = set()
        self._chunks: OrderedDict[int, Decoded] = OrderedDict()
        self.taken: list[Message] = []
        """Published in this tick, not in the log yet."""
        self.taken_bytes = 0
        self._settings: Mapping[str, Any] = arguments
        self._log_options: Mapping[str, Any] = {}
        """What the log was told beside: see `set_log_options`."""
        self.partition = Partition(streams, uid, name, self._options(), self._committed)
        self.log = self.partition.log
        streams.add(self)
        self._note_size()

    def __repr__(self) -> str:
        return f"<StreamQueue {self.name} readers={len(self._cursors)} {self.log!r}>"

    # --- settings ----------------------------------------------------------------------------------

    def adopt(self, settings: Mapping[str, Any], dead_letters: DeadLetterRule | None) -> None:
        """Work by these settings; of those that other queues know, only the age and the size count."""
        self._settings = settings
        self.log.options = self._options()

    def _options(self) -> LogOptions:
        settings = self._settings
        age = settings.get("x-max-age")
        age_ms = interval_ms(age) if isinstance(age, str) else None
        options = LogOptions(
            segment_bytes=min(
                max(1, settings.get("x-stream-max-segment-size-bytes", SEGMENT_BYTES)), SEGMENT_BYTES * 4
            ),
            segment_ms=-1,
            retention_ms=-1 if age_ms is None else age_ms,
            retention_bytes=settings.get("x-max-length-bytes", -1),
            durability=self._streams.durability,
        )
        return msgspec.structs.replace(options, **self._log_options) if self._log_options else options

    def set_log_options(self, options: Mapping[str, Any]) -> None:
        """Have these fields of `LogOptions` count, whatever arguments and policies say: those of a topic."""
        self._log_options = options
        self.log.options = self._options()
        if not self.log.options.syncs_each_write:
            # The log was opened as one that is synced.
            self.log.doubt()

    # --- refusals ----------------------------------------------------------------------------------

    def _unsupported(self, what: str) -> BrokerError:
        text = f"{what} not supported by stream queues queue '{self.name}' in vhost '{self._vhost}'"
        return BrokerError(Reason.NOT_IMPLEMENTED, text)

    def take(self, count_max: int) -> Run | None:
        raise self._unsupported("basic.get")

    def purge(self) -> int:
        raise self._unsupported("queue.purge")

    def demand_returnable(self) -> None:
        raise self._unsupported("basic.nack and basic.reject")

    def check_consumer(
        self, vhost: str, arguments: Mapping[str, Any], *, no_ack: bool, prefetch: int, pool: Pool
    ) -> None:
        """A reader needs a credit and gives it back by acknowledging (R81)."""
        where = f"queue '{self.name}' in vhost '{vhost}'"
        if "x-priority" in arguments:
            text = f"invalid arg 'x-priority' for {where} of queue type rabbit_stream_queue"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        check_values(self.name, vhost, arguments)
        if no_ack:
            raise self._unsupported("automatic acknowledgement")
        if not prefetch:
            text = f"consumer prefetch count is not set for '{where}'"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        if pool.is_limited:
            raise BrokerError(Reason.NOT_IMPLEMENTED, f"{where} does not support global qos")
        read_begin(self.name, vhost, arguments, self._changes.now_ms)

    # --- messages in -------------------------------------------------------------------------------

    def take_in(self, messages: list[Message], body_bytes: int) -> None:
        """Take messages that were published; they go into the log when the tick ends."""
        self._streams.demand_storage()
        self.taken += messages
        self.taken_bytes += body_bytes
        count = len(messages)
        self.counters.publish += count
        self._changes.resident_bytes += body_bytes
        self.active_ms = self._changes.now_ms
        self._streams.grown[self] = None
        self._changes.logs_grown = True

    def append(self, batches: Buffer, count: int, *, append_time: bool = False) -> Appended:
        """Put batches of so many records into the log as they came; see `Partition.append`."""
        appended = self.partition.append(batches, append_time=append_time)
        if not appended.is_repeated:
            self.counters.publish += count
            for traffic in (self.partition.traffic, self.partition.all_traffic):
                traffic.messages_in += count
                traffic.bytes_in += len(batches)
        self.active_ms = self._changes.now_ms
        return appended

    def append_taken(self, ticket: int) -> None:
        """Give the log what was taken in, in batches of a bounded size."""
        taken, self.taken = self.taken, []
        self._changes.resident_bytes -= self.taken_bytes
        self.taken_bytes = 0
        now_ms = self._changes.now_ms
        size = 0
        for batch in self._streams.codec.encode(taken):
            self.log.append(batch, ticket, now_ms=now_ms)
            size += len(batch)
        for traffic in (self.partition.traffic, self.partition.all_traffic):
            traffic.messages_in += len(taken)
            traffic.bytes_in += size
        self.log.retain(now_ms)

    def begin_at(self, offset: int) -> None:
        """Remove what is before this offset. Raises OffsetOutOfRange beyond what is committed."""
        self.log.trim(offset)
        self._note_size()

    # --- what the log says -------------------------------------------------------------------------

    def keep_time(self, now_ms: int) -> None:
        """Remove what is too old."""
        self.log.retain(now_ms)
        self._note_size()

    def _committed(self, ticket: int) -> None:
        self._note_size()
        self.wake()
        self._streams.committed(self, ticket)

    def _note_size(self) -> None:
        self.ready_count = max(0, self.log.last_stable - self.log.offsets().start)

    def _chunk_loaded(self, offset: int, found: Slice) -> None:
        """What was read from this offset on has come: hand it out."""
        self._loading.discard(offset)
        if self._cursors and found.size:
            chunk = self._keep(offset, found)
            for cursor in self._cursors.values():
                # Handed out at once: other chunks may come before the readers have their turn.
                if cursor.chunk is None and chunk.first <= cursor.offset < chunk.next:
                    cursor.chunk = chunk
        self.wake()

    def _chunk_failed(self, offset: int, error: Exception) -> None:
        """What retention has removed is skipped."""
        self._loading.discard(offset)
        if isinstance(error, OffsetOutOfRange):
            self.wake()

    # --- readers -----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have the readers looked at when the tick ends."""
        if not self.queued and self._cursors:
            self.queued = True
            self._streams.dirty.append(self)
            self._streams.wake()

    def add_consumer(self, consumer: Consumer) -> None:
        begin = read_begin(self.name, self._vhost, consumer.arguments, self._changes.now_ms)
        cursor = self._cursors[consumer] = Cursor(consumer)
        if self.consumers is NO_LIST:
            self.consumers = []
        self.consumers.append(consumer)
        self._start(cursor, begin)

    def remove_consumers(self, ended: Container[Consumer]) -> bool:
        left = [consumer for consumer in self.consumers if consumer not in ended]
        if len(left) == len(self.consumers):
            return False
        self.consumers = left or NO_LIST
        self._cursors = {consumer: cursor for consumer, cursor in self._cursors.items() if consumer in left}
        if not left:
            self._chunks.clear()
        return True

    def _start(self, cursor: Cursor, begin: Begin) -> None:
        """Find out where a reader begins; what the log does not know by heart it is asked for."""
        log, partition = self.log, self.partition
        offsets = log.offsets()
        if begin.kind == "time":
            offset = partition.find_time(
                begin.value, partial(self._place, cursor), partial(self._place_failed, cursor)
            )
            if offset is not None:
                self._place(cursor, offset)
                return
        elif begin.kind == "last" and log.last_stable > offsets.start:
            # Like RabbitMQ, from the first message of the last batch.
            found = partition.read(
                log.last_stable - 1,
                1,
                partial(self._place_at_batch, cursor),
                partial(self._place_failed, cursor),
            )
            if found is not None:
                self._place_at_batch(cursor, found)
                return
        else:
            following = offsets.accepted + len(self.taken)
            cursor.offset = following if begin.kind == "next" else max(offsets.start, begin.value)
            return
        cursor.waiting = True

    def _place(self, cursor: Cursor, offset: int) -> None:
        """The log has said which batch begins with a time, or that all it has is older."""
        cursor.waiting = False
        cursor.offset = self.log.last_stable if offset == NOT_FOUND else offset
        self.wake()

    def _place_at_batch(self, cursor: Cursor, found: Slice) -> None:
        """The batch with which a reader begins has come."""
        cursor.waiting = False
        cursor.offset = max(found.offset_first, self.log.offsets().start)
        self.wake()

    def _place_failed(self, cursor: Cursor, error: Exception) -> None:
        """It is not there any more: the reader begins with what is."""
        cursor.waiting = False
        self.wake()

    def behind(self, consumer: Consumer) -> int:
        """How many messages a reader has not been given yet, with those that its filter leaves out."""
        return max(0, self.log.last_stable - self._cursors[consumer].offset)

    def serve(self, budget: int) -> int:
        """Deliver to readers, in turns; return how many messages. The stream wakes itself if more is left."""
        done = 0
        while done < budget:
            served = 0
            for consumer, cursor in list(self._cursors.items()):
                count = min(consumer.credit, consumer.pool.credit, TURN_MESSAGES)
                if count > 0 and not cursor.waiting and consumer.outlet.writable:
                    served += self._serve_one(consumer, cursor, count)
                    if consumer not in self._cursors:
                        break
            done += served
            if not served:
                return done
        # Whoever was first is last next time.
        first = next(iter(self._cursors), None)
        if first is not None:
            self._cursors[first] = self._cursors.pop(first)
        self.wake()
        return done

    def _serve_one(self, consumer: Consumer, cursor: Cursor, count: int) -> int:
        """Deliver at most so many messages to one reader; 0: it is at the end, or waits for the disk."""
        chunk = cursor.chunk
        if chunk is None or not chunk.first <= cursor.offset < chunk.next:
            chunk = cursor.chunk = self._chunk(cursor)
            if chunk is None:
                return 0
        offsets, first = chunk.offsets, cursor.offset
        start = first - chunk.first if offsets is None else bisect_left(offsets, first)
        stop = min(start + count, len(chunk.messages))
        messages = chunk.messages[start:stop]
        if stop == len(chunk.messages):
            cursor.offset = chunk.next
            cursor.chunk = None
        else:
            cursor.offset = first + stop - start if offsets is None else offsets[stop]
        # Where there is nothing for anybody the reader has come on all the same.
        passed = stop - start or 1
        if cursor.wanted is not None:
            wanted, unfiltered = cursor.wanted, cursor.unfiltered
            filters = chunk.filters[start:stop]
            messages = [
                message
                for message, value in zip(messages, filters, strict=True)
                if (unfiltered if value is None else value in wanted)
            ]
        if not messages:
            return passed
        self._hand_over(consumer, messages, first)
        return passed

    def _hand_over(self, consumer: Consumer, messages: list[Message], first: int) -> None:
        count = len(messages)
        run = Run(self.lanes[0], range(first, first + count), messages, 0, None, False, 0, False)
        # Who waits too long for answers looks here (see `ack_timeout`).
        self.active_ms = self._changes.now_ms
        self.counters.deliver += count
        consumer.ledger.counters.deliver += count
        consumer.credit -= count
        consumer.pool.credit -= count
        tag = consumer.ledger.add(consumer, run)
        self.unacked_count += count
        consumer.deliver(run, tag)
        # The log has them: nobody needs them a second time, and a silent reader keeps nothing in memory.
        run.messages = None

    # --- chunks ------------------------------------------------------------------------------------

    def _chunk(self, cursor: Cursor) -> Decoded | None:
        """The decoded messages from a cursor on, maybe with some before; None: nothing yet."""
        offset = cursor.offset
        if offset >= self.log.last_stable:
            return None
        for known in self._chunks.values():
            if known.first <= offset < known.next:
                return known
        if offset in self._loading:
            return None
        try:
            found = self.partition.read(
                offset,
                CHUNK_BYTES,
                partial(self._chunk_loaded, offset),
                partial(self._chunk_failed, offset),
                offset_end=self.log.last_stable,
            )
        except OffsetOutOfRange:
            # Retention was faster than the reader.
            cursor.offset = self.log.offsets().start
            return None if cursor.offset >= self.log.last_stable else self._chunk(cursor)
        if found is None:
            self._loading.add(offset)
            return None
        return self._keep(offset, found)

    def _keep(self, offset: int, found: Slice) -> Decoded:
        """Decode what was read and keep it for the readers that come after."""
        aborted = self.log.aborted_between(found.offset_first, found.offset_next)
        chunk = self._streams.codec.decode(found, aborted)
        self._chunks[offset] = chunk
        if len(self._chunks) > CHUNKS_SHARED:
            self._chunks.popitem(last=False)
        return chunk

    # --- the end -----------------------------------------------------------------------------------

    def close(self) -> None:
        self.unacked_count = self.unacked_bytes = 0
        self._changes.resident_bytes -= self.taken_bytes
        self.taken.clear()
        self._cursors.clear()
        self._chunks.clear()
        self._streams.forget(self)
        super().close()
        self.partition.close()


def filter_values(arguments: Mapping[str, Any]) -> frozenset[str] | None:
    """The values that a reader wants to see (R82): one, or a list of them; None: everything."""
    value = arguments.get("x-stream-filter")
    if value is None:
        return None
    return frozenset(str(one) for one in (value if isinstance(value, list) else [value]))
