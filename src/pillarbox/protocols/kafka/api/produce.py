"""Produce (0): batches into partitions as they came, answered when the topic's durability is reached.

A batch is checked (one for each partition, whole, intact, of the newest format, not the broker's own kind)
and appended unopened. Message sets of old clients are made a batch, in the versions that they use (K3). The
answer waits until every log has committed what it got; with acks 0 there is none, and a refusal closes the
connection.

Source: KIP-98, KIP-467; Kafka's `LogValidator`; rows K2-K9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.errors import BrokerError
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.committing import Committing
from pillarbox.protocols.kafka.errors import (
    PRODUCER_REFUSALS,
    REASONS,
    ErrorCode,
    Refused,
    fenced,
    not_joined,
)
from pillarbox.protocols.kafka.internal_topics import INTERNAL
from pillarbox.protocols.kafka.message_sets import as_batch, is_message_set
from pillarbox.protocols.kafka.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from pillarbox.protocols.kafka.rights import WRITE_TOPIC, WRITE_TRANSACTION
from pillarbox.store.batch import BatchError, BatchHeader, read_header
from pillarbox.store.codecs import open_records
from pillarbox.store.log_base import LogFailed
from pillarbox.store.producers import ProducerRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillarbox.broker.partition import Partition
    from pillarbox.broker.topics import Topic

NO_ANSWER, LEADER, ALL = 0, 1, -1
"""How many replicas shall have it: none, the leader, all; with one node the last two are the same."""

BY_ID_FROM: Final = 13
"""The first version in which topics are told by their ids."""
ABORTABLE_FROM: Final = 11
"""The first version whose clients know that a transaction may have to be aborted."""
JOINS_FROM: Final = 12
"""The first version in which a batch lets its partition join the transaction (KIP-890)."""
ZSTD: Final = 4
ZSTD_FROM: Final = 7
"""The first version in which batches may be compressed so: older consumers could not be told apart."""

ADMIN_CLIENT: Final = "__admin_client"
"""The client id by which Kafka knows who may write to internal topics."""

SETS_UP_TO: Final = 2
"""The last version in which there may be message sets instead of a batch."""

BATCH_BYTES_MAX: Final = 1_048_588
"""Kafka's `max.message.bytes` where the topic does not say."""
BEFORE_MS_MAX: Final = 2**63 - 1
"""Kafka's `message.timestamp.before.max.ms`: records may be as old as they like."""


def answer(call: Call, request: ProduceRequest) -> None:
    if call.head.core.held:
        call.connection.published = True
    appending = Appending(call, silent=request.acks == NO_ANSWER)
    for topic in request.topic_data:
        appending.add(topic, request)
    appending.finish()


class Appending:
    """One request: what each partition answers, and for which of them the answer has to wait."""

    def __init__(self, call: Call, *, silent: bool) -> None:
        self._call = call
        self._silent = silent
        """Nobody wants an answer; all the same the call lasts until the logs have what it brought, so that a
        producer cannot fill the memory."""
        self._response = ProduceResponse(responses=[])
        self._waiting: list[tuple[PartitionProduceResponse, Partition, int]] = []
        """Answers that hold when the partition has committed up to an offset."""

    def add(self, data: TopicProduceData, request: ProduceRequest) -> None:
        """Append what is for one topic."""
        topics = self._call.head.topics
        by_id = self._call.version >= BY_ID_FROM
        topic = topics.by_id(data.topic_id) if by_id else topics.get(data.name)
        name = data.name if topic is None else topic.name
        self._response.responses.append(
            TopicProduceResponse(
                data.name,
                data.topic_id,
                [self._append(name, topic, each, request) for each in data.partition_data],
            )
        )

    def _append(
        self, name: str, topic: Topic | None, data: PartitionProduceData, request: ProduceRequest
    ) -> PartitionProduceResponse:
        call = self._call
        try:
            if request.acks not in (NO_ANSWER, LEADER, ALL):
                raise Refused(ErrorCode.INVALID_REQUIRED_ACKS)
            if topic is None and call.version >= BY_ID_FROM:
                raise Refused(ErrorCode.UNKNOWN_TOPIC_ID)
            if not call.allows(WRITE_TOPIC, name):
                raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
            if topic is None:
                raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            if topic.name in INTERNAL and call.client_id != ADMIN_CLIENT:
                raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION)
            if not 0 <= data.index < len(topic.partitions):
                raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            settings = call.head.topics.settings(topic)
            records = data.records or b""
            if call.version <= SETS_UP_TO and is_message_set(records):
                records = as_batch(records)
            header = checked(
                records,
                settings,
                version=call.version,
                now_ms=call.now_ms,
                after_ms_max=call.head.release.after_ms_max,
            )
            stream = topic.partitions[data.index]
            stream.partition.traffic.produce += 1
            stream.partition.all_traffic.produce += 1
            if "compact" in settings.get("cleanup.policy", ""):
                keyless = without_key(records, header)
                if keyless:
                    return _invalid(data.index, keyless)
            if header.is_transactional:
                self._join(request, header, (topic.name, data.index, stream.partition))
            append_time = settings.get("message.timestamp.type") == "LogAppendTime"
            appended = stream.append(records, header.record_count, append_time=append_time)
        except Refused as refused:
            return PartitionProduceResponse(data.index, refused.code, -1, error_message=refused.text)
        except BatchError as fault:
            is_set = call.version > SETS_UP_TO and is_message_set(data.records or b"")
            code = ErrorCode.INVALID_RECORD if is_set else ErrorCode.CORRUPT_MESSAGE
            return PartitionProduceResponse(data.index, code, -1, error_message=str(fault))
        except ProducerRefused as fault:
            return PartitionProduceResponse(
                data.index, PRODUCER_REFUSALS[fault.reason], -1, error_message=str(fault)
            )
        except LogFailed as fault:
            return PartitionProduceResponse(
                data.index, ErrorCode.KAFKA_STORAGE_ERROR, -1, error_message=str(fault)
            )
        except BrokerError as error:
            return PartitionProduceResponse(data.index, REASONS[error.reason], -1, error_message=error.text)
        log = stream.log
        taken = PartitionProduceResponse(
            data.index,
            base_offset=appended.offset_first,
            log_append_time_ms=appended.timestamp_ms if append_time else -1,
            log_start_offset=log.offsets().start,
        )
        end = appended.offset_next
        if log.committed < end:
            self._waiting.append((taken, stream.partition, end))
        return taken

    def _join(self, request: ProduceRequest, header: BatchHeader, place: tuple[str, int, Partition]) -> None:
        """See that a transactional batch belongs to the transaction that is open. Raises Refused.

        Clients that know transactions of the second kind do not say beforehand where they will write; each of
        their transactions begins with sequence 0, so one that is later has lost what was before it.
        """
        transactions = self._call.head.transactions
        name = request.transactional_id
        if request.acks != ALL:
            raise Refused(ErrorCode.INVALID_REQUEST, "a transactional batch needs acks of all")
        if not name or not self._call.allows(WRITE_TRANSACTION, name):
            raise Refused(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        producer_id, epoch = header.producer_id, header.producer_epoch
        may_join = self._call.version >= JOINS_FROM or transactions.is_restored(name)
        error = transactions.check(name, producer_id, epoch)
        if not error and may_join:
            error = transactions.join(name, producer_id, epoch, (place,))
        elif not error and not transactions.has_joined(name, place[2]):
            error = not_joined(known=self._call.version >= ABORTABLE_FROM)
        if error:
            raise Refused(fenced(error, known=False))
        known = place[2].log.producers.get(producer_id)
        begins = known is None or not known.sent
        if self._call.version >= JOINS_FROM and begins and header.base_sequence:
            text = f"the first batch of producer {producer_id} has sequence {header.base_sequence}"
            raise Refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, text)

    def finish(self) -> None:
        """Answer now, or when the logs have committed."""
        waiting = self._waiting

        def committed(lost: Sequence[int]) -> None:
            for position in lost:
                taken = waiting[position][0]
                taken.error_code, taken.base_offset = ErrorCode.KAFKA_STORAGE_ERROR, -1
            self._answer()

        Committing([(partition, end) for _, partition, end in waiting], committed)

    def _answer(self) -> None:
        call = self._call
        if not call.is_open:
            return
        if not self._silent:
            call.reply(self._response)
            return
        call.skip()
        answers = (one for topic in self._response.responses for one in topic.partition_responses)
        faults = sorted({ErrorCode(one.error_code).name for one in answers if one.error_code})
        if faults:
            # As Kafka does it: else a producer would never hear that it has to look where its topic is.
            call.connection.refuse(f"records that want no answer are not taken: {', '.join(faults)}")


def without_key(records: bytes, header: BatchHeader) -> list[int]:
    """Which records of a batch have no key, by which a compacted topic tells them apart. BatchError."""
    opened = open_records(records, 0, header)
    return [position for position, record in enumerate(opened) if record.key is None]


def _invalid(index: int, positions: list[int]) -> PartitionProduceResponse:
    """The answer that names each record that is not right (KIP-467)."""
    text = "a compacted topic takes no record without a key"
    return PartitionProduceResponse(
        index,
        ErrorCode.INVALID_RECORD,
        -1,
        record_errors=[BatchIndexAndErrorMessage(position, text) for position in positions],
        error_message=text,
    )


def checked(
    records: bytes, settings: Mapping[str, str], *, version: int, now_ms: int, after_ms_max: int
) -> BatchHeader:
    """The header of a batch that a client may send. Raises Refused, BatchError; the checksum is the log's."""
    header = read_header(records)
    if header.size != len(records):
        if header.size > len(records):
            raise BatchError(f"a batch of {header.size} bytes where there are {len(records)}")
        raise Refused(ErrorCode.INVALID_RECORD, "there is more than one batch for the partition")
    size_max = int(settings.get("max.message.bytes", BATCH_BYTES_MAX))
    if header.size > size_max:
        raise Refused(ErrorCode.MESSAGE_TOO_LARGE, f"a batch of {header.size} bytes, above {size_max}")
    if header.is_control:
        raise Refused(ErrorCode.INVALID_RECORD, "clients write no control records")
    if header.producer_id >= 0 > header.base_sequence:
        raise Refused(ErrorCode.INVALID_RECORD, "a producer numbers its batches")
    if not header.is_dense or not header.record_count:
        raise Refused(ErrorCode.INVALID_RECORD, "a batch needs one record for each of its offsets")
    if header.codec == ZSTD and version < ZSTD_FROM:
        raise Refused(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
    if settings.get("message.timestamp.type") != "LogAppendTime":
        after_ms = int(settings.get("message.timestamp.after.max.ms", after_ms_max))
        before_ms = int(settings.get("message.timestamp.before.max.ms", BEFORE_MS_MAX))
        if not now_ms - before_ms <= header.base_timestamp <= header.max_timestamp <= now_ms + after_ms:
            text = f"timestamps from {header.base_timestamp} to {header.max_timestamp} at {now_ms}"
            raise Refused(ErrorCode.INVALID_TIMESTAMP, text)
    return header
