"""Transactions: who may write under which transactional id, and how what was written ends as a whole.

A transaction begins with the first partition or group that joins it. Its end has two steps. The decision,
with the offsets that groups get by it, is kept in one journal group; when that is durable, every partition
gets a marker, and the answer waits for those. A restart finds in each log which transactions are open there:
what was decided is marked again, everything else goes on, and ends by its time if nobody ends it. So which
partitions take part need not be kept.

Not here: what a log knows of its producers (`store.producers`), offsets themselves (`groups.offsets`),
answers (`api`). Source: KIP-98, KIP-360 (epochs are bumped to recover), KIP-890 (and at each end); rows
K60-K63. Invariant: a marker is written only after the decision for it is durable.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.protocols.kafka.committing import Committing
from pillarbox.protocols.kafka.errors import ErrorCode

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition
    from pillarbox.protocols.kafka.head import Head

PREFIX: Final = "kafka/transaction/"
EPOCH_MAX: Final = 32_767
"""A producer id whose epoch has come so far is used no more: 16 bits, and the last is for fencing."""
TIMEOUT_MS_MAX: Final = 900_000
"""Kafka's `transaction.max.timeout.ms`."""
LOOK_MS: Final = 10_000
"""How often transactions are looked at whose time is over."""
COORDINATOR_EPOCH: Final = 0
"""There is one coordinator, and it never moves."""

Then = Callable[[ErrorCode], None]


class State(enum.Enum):
    """Of one transactional id; values are Kafka's names."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


PREPARING: Final = {True: State.PREPARE_COMMIT, False: State.PREPARE_ABORT}
COMPLETE: Final = {State.PREPARE_COMMIT: State.COMPLETE_COMMIT, State.PREPARE_ABORT: State.COMPLETE_ABORT}


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What a restart needs: whose id it is, and what was decided of the last transaction of that epoch."""

    producer_id: int
    epoch: int
    timeout_ms: int
    decided: str = ""
    """The value of a state of `PREPARING`; empty: nothing yet."""
    decided_epoch: int = -1
    decided_at: list[tuple[str, int, int]] = []
    """Topic, partition, how far its log had come: what is open there and began before, was decided."""


class Transaction:
    """One transactional id, and its transaction if there is one."""

    def __init__(self, name: str, producer_id: int, timeout_ms: int) -> None:
        self.name = name
        self.producer_id = producer_id
        self.epoch = 0
        self.timeout_ms = timeout_ms
        self.state = State.EMPTY
        self.partitions: dict[Partition, tuple[str, int]] = {}
        """Those that take part, with topic and number."""
        self.started_ms = 0
        self.decided: State | None = None
        self.decided_epoch = -1
        self.decided_at: list[tuple[str, int, int]] = []
        self.is_restored = False
        """Of before a restart: partitions may have joined that have no records yet; nobody knows them."""

    def __repr__(self) -> str:
        return f"<Transaction {self.name!r} {self.state.value} {self.producer_id}/{self.epoch}>"

    @property
    def is_ending(self) -> bool:
        return self.state in COMPLETE

    def kept(self) -> bytes:
        decided = "" if self.decided is None else self.decided.value
        return encode(
            Kept(
                self.producer_id,
                self.epoch,
                self.timeout_ms,
                decided,
                self.decided_epoch,
                self.decided_at,
            )
        )


class Transactions:
    """All transactional ids of a broker."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._by_name: dict[str, Transaction] = {}
        self._timed = False
        self._restore()

    def __repr__(self) -> str:
        return f"<Transactions {len(self._by_name)}>"

    def get(self, name: str) -> Transaction | None:
        return self._by_name.get(name)

    def all(self) -> list[Transaction]:
        return list(self._by_name.values())

    # --- producers -----------------------------------------------------------------------------------

    def begin(
        self,
        name: str,
        timeout_ms: int,
        producer_id: int,
        epoch: int,
        then: Callable[[ErrorCode, int, int], None],
    ) -> None:
        """Make somebody the only producer under this id; what another one has open is aborted.

        `producer_id` and `epoch`: who it says it is, to go on with another epoch (KIP-360); -1: it is new.
        `then` gets an error, or NONE with the producer id and epoch.
        """
        core = self._head.core
        transaction = self._by_name.get(name)
        if transaction is None:
            transaction = self._by_name[name] = Transaction(name, core.take_uid(), timeout_ms)
            transaction.epoch = -1
        elif transaction.is_ending:
            then(ErrorCode.CONCURRENT_TRANSACTIONS, -1, -1)
            return
        elif producer_id >= 0 and (producer_id, epoch) != (transaction.producer_id, transaction.epoch):
            then(ErrorCode.PRODUCER_FENCED, -1, -1)
            return
        if transaction.state is State.ONGOING:
            # Its own retries end here, too: the client asks again until it is done.
            self._bump(transaction)
            self._end(transaction, commit=False, then=lambda error: None)
            then(ErrorCode.CONCURRENT_TRANSACTIONS, -1, -1)
            return
        self._bump(transaction)
        transaction.state = State.EMPTY
        transaction.timeout_ms = timeout_ms
        self._keep(transaction)
        begun = transaction

        def durable(failure: str | None) -> None:
            error = ErrorCode.NONE if failure is None else ErrorCode.COORDINATOR_NOT_AVAILABLE
            then(error, begun.producer_id, begun.epoch)

        self._head.promises.when_durable(durable)

    def _bump(self, transaction: Transaction) -> None:
        """Fence whoever has been the producer up to now."""
        if transaction.epoch >= EPOCH_MAX - 1:
            transaction.producer_id, transaction.epoch = self._head.core.take_uid(), 0
        else:
            transaction.epoch += 1

    def check(self, name: str, producer_id: int, epoch: int) -> ErrorCode:
        """Whether this is the producer that may act under this id now."""
        transaction = self._by_name.get(name)
        if transaction is None or transaction.producer_id != producer_id:
            return ErrorCode.INVALID_PRODUCER_ID_MAPPING
        if transaction.epoch != epoch:
            return ErrorCode.PRODUCER_FENCED
        return ErrorCode.NONE

    # --- a transaction -------------------------------------------------------------------------------

    def join(
        self, name: str, producer_id: int, epoch: int, places: Sequence[tuple[str, int, Partition]]
    ) -> ErrorCode:
        """Let partitions (topic, number, partition) take part; none: a group does."""
        error = self.check(name, producer_id, epoch)
        if error:
            return error
        transaction = self._by_name[name]
        if transaction.is_ending:
            return ErrorCode.CONCURRENT_TRANSACTIONS
        now_ms = self._head.core.changes.now_ms
        if transaction.state is not State.ONGOING:
            transaction.state = State.ONGOING
            transaction.started_ms = now_ms
            self._watch(now_ms)
        for topic, index, partition in places:
            transaction.partitions[partition] = topic, index
        return ErrorCode.NONE

    def has_joined(self, name: str, partition: Partition) -> bool:
        """Whether a partition takes part in the transaction that is open under this id."""
        transaction = self._by_name.get(name)
        return (
            transaction is not None
            and transaction.state is State.ONGOING
            and partition in transaction.partitions
        )

    def is_restored(self, name: str) -> bool:
        """Whether what has joined the transaction is not known for sure, because of a restart."""
        transaction = self._by_name.get(name)
        return transaction is not None and transaction.is_restored

    def end(self, name: str, producer_id: int, epoch: int, *, commit: bool, bump: bool, then: Then) -> None:
        """End the open transaction. `bump`: what comes after it has another epoch.

        The same end again is no error: its answer may have been lost.
        """
        error = self.check(name, producer_id, epoch)
        transaction = self._by_name.get(name)
        if transaction is None or error:
            retried = (
                transaction is not None
                and bump
                and error is ErrorCode.PRODUCER_FENCED
                and transaction.decided_epoch == epoch
                and transaction.decided is PREPARING[commit]
            )
            then(ErrorCode.NONE if retried else error)
            return
        if transaction.is_ending:
            then(ErrorCode.CONCURRENT_TRANSACTIONS)
        elif transaction.state is State.ONGOING:
            self._end(transaction, commit=commit, then=then, bump=bump)
        elif transaction.state is COMPLETE[PREPARING[commit]] or (
            transaction.state is State.EMPTY and not commit and bump
        ):
            then(ErrorCode.NONE)
        else:
            then(ErrorCode.INVALID_TXN_STATE)

    def _end(self, transaction: Transaction, *, commit: bool, then: Then, bump: bool = False) -> None:
        """Keep what was decided, and tell the partitions when that is durable."""
        transaction.decided = transaction.state = PREPARING[commit]
        transaction.decided_epoch = transaction.epoch
        transaction.decided_at = [
            (topic, index, partition.log.offsets().accepted)
            for partition, (topic, index) in transaction.partitions.items()
        ]
        self._keep(transaction)
        self._head.groups.end_transaction(transaction.producer_id, commit=commit)

        def durable(failure: str | None) -> None:
            if failure is not None:
                then(ErrorCode.COORDINATOR_NOT_AVAILABLE)
                return
            self._mark(transaction, then, bump=bump)

        self._head.promises.when_durable(durable)

    def _mark(self, transaction: Transaction, then: Then, *, bump: bool = False) -> None:
        """Write the markers of a decision that is durable."""
        commit = transaction.decided is State.PREPARE_COMMIT
        places = transaction.partitions
        wanted = [
            (
                partition,
                partition.append_marker(
                    transaction.producer_id, transaction.epoch, COORDINATOR_EPOCH, commit=commit
                ),
            )
            for partition in places
            if partition.failure is None
        ]
        transaction.partitions = {}
        transaction.is_restored = False

        def committed(lost: Sequence[int]) -> None:
            transaction.state = COMPLETE[transaction.state]
            if bump:
                self._bump(transaction)
                self._keep(transaction)
            then(ErrorCode.KAFKA_STORAGE_ERROR if lost else ErrorCode.NONE)

        Committing(wanted, committed)

    # --- time ----------------------------------------------------------------------------------------

    def _watch(self, now_ms: int) -> None:
        if not self._timed:
            self._timed = True
            self._head.core.scheduler.at(now_ms + LOOK_MS, self)

    def on_timer(self, now_ms: int) -> None:
        """Abort what has been open for too long, and fence whoever has left it so (K63)."""
        self._timed = False
        for transaction in self._by_name.values():
            if transaction.state is State.ONGOING:
                if now_ms - transaction.started_ms >= transaction.timeout_ms:
                    self._bump(transaction)
                    self._end(transaction, commit=False, then=lambda error: None)
                else:
                    self._watch(now_ms)

    # --- keeping -------------------------------------------------------------------------------------

    def _keep(self, transaction: Transaction) -> None:
        self._head.core.keep(PREFIX + key_of(transaction.name), transaction.kept())

    def _restore(self) -> None:
        """Take over what was kept, and what the logs say is open."""
        by_producer: dict[int, Transaction] = {}
        for key, value in self._head.core.kept(PREFIX):
            (name,) = msgspec.json.decode(key.removeprefix(PREFIX))
            kept = decode(value)
            transaction = Transaction(name, kept.producer_id, kept.timeout_ms)
            transaction.epoch = kept.epoch
            transaction.is_restored = True
            if kept.decided:
                transaction.decided = State(kept.decided)
                transaction.decided_epoch, transaction.decided_at = kept.decided_epoch, kept.decided_at
                transaction.state = COMPLETE[transaction.decided]
            self._by_name[name] = by_producer[kept.producer_id] = transaction
        if by_producer:
            self._restore_open(by_producer)

    def _restore_open(self, by_producer: dict[int, Transaction]) -> None:
        """End what was decided and is open all the same; let what is open else go on."""
        now_ms = self._head.core.changes.now_ms
        decided: dict[Transaction, None] = {}
        for topic in self._head.topics.all():
            for index, stream in enumerate(topic.partitions):
                for producer_id, first in stream.log.open_transactions.items():
                    transaction = by_producer.get(producer_id)
                    if transaction is None:
                        continue
                    transaction.partitions[stream.partition] = topic.name, index
                    ends = {(name, number): end for name, number, end in transaction.decided_at}
                    if first < ends.get((topic.name, index), 0):
                        decided[transaction] = None
        holding = self._head.groups.in_transactions()
        for transaction in by_producer.values():
            if transaction in decided and transaction.decided is not None:
                transaction.state = transaction.decided
                self._mark(transaction, lambda error: None)
            elif transaction.partitions or transaction.producer_id in holding:
                transaction.state = State.ONGOING
                transaction.started_ms = now_ms
                self._watch(now_ms)


encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(Kept).decode
