"""Transactions: who may write under which transactional id, and how what was written ends as a whole.

A transaction begins with the first partition or group that joins it. Its end has two steps. The decision,
with the offsets that groups get by it, is kept in one journal group; when that is durable, every partition
gets a marker, and the answer waits for those. A restart finds in each log which transactions are open there:
what was decided is marked again, everything else goes on, and ends by its time if nobody ends it. So which
partitions take part need not be kept.

**Epochs.** Whoever is fenced, by another producer or by time, is fenced by the epoch of the markers: the one
after its own, of the same producer id. Clients of the second kind (KIP-890) have each transaction in an epoch
of its own, so their markers have the next epoch as well, and go on in it. What is kept has the producer id
and epoch of the markers beside those by which the client goes on, which are another id where the epochs of
the old one are used up.

Not here: what a log knows of its producers (`store.producers`), offsets themselves (`groups.offsets`),
answers (`api`). Source: KIP-98, KIP-360 (epochs are bumped to recover), KIP-890 (and at each end); Kafka's
answers in every state are those of 4.2.1, asked one by one; rows K60-K63. Invariant: a marker is written only
after the decision for it is durable.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.protocols.kafka.committing import Committing
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.internal_topics import TRANSACTIONS, InternalTopic, Owned
from pillarbox.protocols.kafka.transactions_topic import SETTINGS, Shown, transaction_record
from pillarbox.store.producers import ProducerRefused

if TYPE_CHECKING:
    from pillarbox.broker.partition import Partition
    from pillarbox.protocols.kafka.head import Head
    from pillarbox.protocols.kafka.producer_ids import ProducerIds

PREFIX: Final = "kafka/transaction/"
EPOCH_LAST: Final = 32_766
"""The last epoch that a producer gets of its id. One more is left, to fence it."""
NO_PRODUCER: Final = -1
NO_EPOCH: Final = -1
TIMEOUT_MS_MAX: Final = 900_000
"""Kafka's `transaction.max.timeout.ms`."""
LOOK_MS: Final = 1000
"""How often transactions are looked at, at most, to abort those whose time is over. Kafka looks every ten
seconds, and so is later."""
EXPIRY_LOOK_MS: Final = 3_600_000
"""How often ids are looked at that nobody uses: Kafka's
`transaction.remove.expired.transaction.cleanup.interval.ms`."""
COORDINATOR_EPOCH: Final = 0
"""There is one coordinator, and it never moves."""

Then = Callable[[ErrorCode, int, int], None]
"""Gets an error, or NONE with the producer id and epoch by which the client goes on."""


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
    """What a restart needs: whose id it is, and what was decided of its last transaction."""

    producer_id: int
    epoch: int
    timeout_ms: int
    decided: str = ""
    """The value of a state of `PREPARING`; empty: nothing yet."""
    marker_epoch: int = NO_EPOCH
    decided_at: list[tuple[str, int, int]] = []
    """Topic, partition, how far its log had come: what is open there and began before, was decided."""
    marker_id: int = NO_PRODUCER
    """Producer id of the markers; none: the same."""
    last_epoch: int = NO_EPOCH
    previous_id: int = NO_PRODUCER
    used_ms: int = 0
    decided_uids: list[int] = []
    """Uids of those partitions, in the same order: a topic that is made anew has had no part in it."""


class Transaction:
    """One transactional id, and its transaction if there is one."""

    def __init__(self, name: str, producer_id: int, timeout_ms: int) -> None:
        self.name = name
        self.producer_id = producer_id
        self.epoch = 0
        self.last_epoch = NO_EPOCH
        """The epoch that its producer had before this one: it may not know yet that there is another. None
        where somebody else is the producer by now."""
        self.previous_id = NO_PRODUCER
        """The same of its id, where its epochs were used up."""
        self.timeout_ms = timeout_ms
        self.used_ms = 0
        """When it was last used (K63)."""
        self.state = State.EMPTY
        self.partitions: dict[Partition, tuple[str, int]] = {}
        """Those that take part, with topic and number."""
        self.groups: set[str] = set()
        """Groups that take part."""
        self.started_ms = 0
        self.decided: State | None = None
        self.decided_at: list[tuple[str, int, int]] = []
        self.decided_uids: list[int] = []
        self.marker_id = NO_PRODUCER
        self.marker_epoch = NO_EPOCH
        """Producer id and epoch of the markers for what was decided last."""
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
                self.marker_epoch,
                self.decided_at,
                self.marker_id,
                self.last_epoch,
                self.previous_id,
                self.used_ms,
                self.decided_uids,
            )
        )

    def shown(self) -> Shown:
        """As its record in Kafka's topic says it: while it ends, that is about who is to be marked."""
        producer_id, epoch, following = self.producer_id, self.epoch, None
        if self.is_ending:
            producer_id, epoch = self.marker_id, self.marker_epoch
            if producer_id != self.producer_id:
                following = self.producer_id, self.epoch
        places = self.partitions.values()
        started_ms = 0 if self.state is State.EMPTY else self.started_ms
        return Shown(
            producer_id,
            epoch,
            self.timeout_ms,
            self.state.value,
            places,
            self.used_ms,
            started_ms,
            following,
        )

    @classmethod
    def restored(cls, name: str, kept: Kept, now_ms: int) -> Transaction:
        """What was kept of it."""
        transaction = cls(name, kept.producer_id, kept.timeout_ms)
        transaction.epoch, transaction.last_epoch = kept.epoch, kept.last_epoch
        transaction.previous_id = kept.previous_id
        transaction.used_ms = kept.used_ms or now_ms
        transaction.is_restored = True
        if kept.decided:
            transaction.decided = State(kept.decided)
            transaction.decided_at = kept.decided_at
            transaction.decided_uids = kept.decided_uids
            transaction.marker_id = kept.producer_id if kept.marker_id == NO_PRODUCER else kept.marker_id
            transaction.marker_epoch = kept.marker_epoch
            transaction.state = COMPLETE[transaction.decided]
        return transaction

    def decided_through(self, partition: Partition, place: tuple[str, int]) -> int:
        """How far the log of a partition had come when what was decided last was; 0: that is not about it."""
        for (topic, index, end), uid in zip_longest(self.decided_at, self.decided_uids):
            if (topic, index) == place and uid in (None, partition.uid):
                return int(end)
        return 0

    # --- epochs --------------------------------------------------------------------------------------

    def advance(self, ids: ProducerIds, *, known: bool) -> None:
        """Go on in the next epoch, of another producer id if need be. `known`: with the same producer."""
        self.last_epoch = self.epoch if known else NO_EPOCH
        self.previous_id = NO_PRODUCER
        if self.epoch >= EPOCH_LAST:
            self.previous_id = self.producer_id if known else NO_PRODUCER
            self.producer_id, self.epoch = ids.take(), 0
        else:
            self.epoch += 1

    def catch_up(self, ids: ProducerIds) -> None:
        """Its producer, who is late, is told how to go on: as it is now, unless that epoch is for fencing."""
        if self.epoch > EPOCH_LAST:
            last_epoch = self.last_epoch
            self.advance(ids, known=True)
            self.last_epoch = last_epoch

    def fence(self) -> None:
        """Have its producer's epoch be an old one. Its id stays: the markers are for that."""
        self.last_epoch = self.epoch
        self.epoch += 1

    def is_late(self, producer_id: int, epoch: int) -> bool:
        """Whether that is the producer, who has not heard yet of the epoch that it has by now."""
        if epoch != self.last_epoch or epoch == NO_EPOCH:
            return False
        return producer_id == (self.producer_id if self.previous_id == NO_PRODUCER else self.previous_id)


class Transactions:
    """All transactional ids of a broker."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._by_name: dict[str, Transaction] = {}
        self._due_ms: int | None = None
        """When it looks at all of them next."""
        self.topic = InternalTopic(head.core, head.topics, TRANSACTIONS, SETTINGS, self._all_shown)
        """What clients see of all this as records (K38)."""
        self._restore()
        self.topic.restored()

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
        then: Then,
    ) -> None:
        """Make somebody the only producer under this id; what another one has open is aborted.

        `producer_id` and `epoch`: who it says it is, to go on with another epoch (KIP-360); -1: it is new.
        """
        core, ids = self._head.core, self._head.producer_ids
        transaction = self._by_name.get(name)
        known, late = producer_id >= 0, False
        if transaction is None:
            transaction = self._by_name[name] = Transaction(name, ids.take(), timeout_ms)
            self._watch(core.changes.now_ms + EXPIRY_LOOK_MS)
        else:
            late = transaction.is_late(producer_id, epoch)
            if transaction.is_ending:
                then(ErrorCode.CONCURRENT_TRANSACTIONS, -1, -1)
                return
            if known and not late and (producer_id, epoch) != (transaction.producer_id, transaction.epoch):
                then(ErrorCode.PRODUCER_FENCED, -1, -1)
                return
            if transaction.state is State.ONGOING:
                # Its own retries end here, too: the client asks again until it is done.
                self._abort(transaction)
                then(ErrorCode.CONCURRENT_TRANSACTIONS, -1, -1)
                return
            if late:
                transaction.catch_up(ids)
            else:
                transaction.advance(ids, known=known)
        transaction.state = State.EMPTY
        transaction.timeout_ms = timeout_ms
        self._keep(transaction)
        self._tell_when_durable(transaction, then)

    def _tell_when_durable(self, transaction: Transaction, then: Then) -> None:
        """Answer with what is so now: until it is durable, somebody else may be the producer."""
        producer_id, epoch = transaction.producer_id, transaction.epoch

        def durable(failure: str | None) -> None:
            error = ErrorCode.NONE if failure is None else ErrorCode.COORDINATOR_NOT_AVAILABLE
            then(error, producer_id, epoch)

        self._head.promises.when_durable(durable)

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
        self,
        name: str,
        producer_id: int,
        epoch: int,
        places: Sequence[tuple[str, int, Partition]] = (),
        *,
        group: str | None = None,
    ) -> ErrorCode:
        """Let partitions (topic, number, partition) take part, or a group."""
        error = self.check(name, producer_id, epoch)
        if error:
            return error
        transaction = self._by_name[name]
        if transaction.is_ending:
            return ErrorCode.CONCURRENT_TRANSACTIONS
        now_ms = transaction.used_ms = self._head.core.changes.now_ms
        is_new = transaction.state is not State.ONGOING
        if is_new:
            self._open(transaction, now_ms)
        for topic, index, partition in places:
            is_new |= partition not in transaction.partitions
            transaction.partitions[partition] = topic, index
        if is_new:
            self._note(transaction)
        if group is not None:
            transaction.groups.add(group)
        return ErrorCode.NONE

    def _open(self, transaction: Transaction, now_ms: int) -> None:
        transaction.state = State.ONGOING
        transaction.started_ms = now_ms
        self._watch(now_ms + max(LOOK_MS, transaction.timeout_ms))

    def has_joined(self, name: str, place: Partition | str) -> bool:
        """Whether a partition, or a group, takes part in the transaction that is open under this id."""
        transaction = self._by_name.get(name)
        return (
            transaction is not None
            and transaction.state is State.ONGOING
            and (place in transaction.groups if isinstance(place, str) else place in transaction.partitions)
        )

    def is_restored(self, name: str) -> bool:
        """Whether what has joined the transaction is not known for sure, because of a restart."""
        transaction = self._by_name.get(name)
        return transaction is not None and transaction.is_restored

    def end(self, name: str, producer_id: int, epoch: int, *, commit: bool, bump: bool, then: Then) -> None:
        """End the open transaction. `bump`: what comes after it has another epoch.

        The same end again is no error: its answer may have been lost. Of clients of the second kind it has
        the epoch of before; in the present one there is nothing to commit, and an abort begins the next.
        """
        transaction = self._by_name.get(name)
        late = bump and transaction is not None and transaction.is_late(producer_id, epoch)
        error = ErrorCode.NONE if late else self.check(name, producer_id, epoch)
        if transaction is None or error:
            then(error, -1, -1)
        elif transaction.is_ending:
            again = transaction.state is PREPARING[commit]
            then(ErrorCode.CONCURRENT_TRANSACTIONS if again else ErrorCode.INVALID_TXN_STATE, -1, -1)
        elif late and transaction.state not in COMPLETE.values():
            then(ErrorCode.PRODUCER_FENCED, -1, -1)
        elif transaction.state is State.ONGOING or (bump and not late and not commit):
            self._decide(transaction, commit=commit, then=then, bump=bump)
        elif transaction.state is COMPLETE[PREPARING[commit]] and late:
            transaction.catch_up(self._head.producer_ids)
            self._keep(transaction)
            self._tell_when_durable(transaction, then)
        elif transaction.state is COMPLETE[PREPARING[commit]] and not bump:
            then(ErrorCode.NONE, transaction.producer_id, transaction.epoch)
        else:
            then(ErrorCode.INVALID_TXN_STATE, -1, -1)

    def _abort(self, transaction: Transaction) -> None:
        """End a transaction against the will of its producer, who is fenced."""
        transaction.fence()
        self._decide(transaction, commit=False, then=_nothing)

    def _decide(self, transaction: Transaction, *, commit: bool, then: Then, bump: bool = False) -> None:
        """Keep what was decided, and tell the partitions when that is durable."""
        head = self._head
        places = transaction.partitions
        if transaction.state is not State.ONGOING:
            transaction.started_ms = head.core.changes.now_ms
        transaction.groups = set()
        transaction.is_restored = False
        transaction.decided = transaction.state = PREPARING[commit]
        transaction.decided_at = [
            (topic, index, partition.log.offsets().accepted) for partition, (topic, index) in places.items()
        ]
        transaction.decided_uids = [partition.uid for partition in places]
        transaction.marker_id, transaction.marker_epoch = transaction.producer_id, transaction.epoch + bump
        if bump:
            transaction.advance(head.producer_ids, known=True)
        self._keep(transaction)
        head.groups.end_transaction(transaction.marker_id, commit=commit)

        def durable(failure: str | None) -> None:
            if failure is not None:
                then(ErrorCode.COORDINATOR_NOT_AVAILABLE, -1, -1)
                return
            transaction.partitions = {}
            self._mark(transaction, places, then)

        head.promises.when_durable(durable)

    def _mark(self, transaction: Transaction, places: Iterable[Partition], then: Then) -> None:
        """Write the markers of a decision that is durable."""
        commit = transaction.decided is State.PREPARE_COMMIT
        producer_id, epoch = transaction.marker_id, transaction.marker_epoch
        wanted = []
        for partition in places:
            if partition.failure is not None:
                continue
            known = partition.log.producers.get(producer_id)
            # An administrator may have written a marker with a later one.
            coordinator_epoch = max(COORDINATOR_EPOCH, -1 if known is None else known.coordinator_epoch)
            try:
                end = partition.append_marker(producer_id, epoch, coordinator_epoch, commit=commit)
            except ProducerRefused:
                continue  # Somebody has ended it there in the name of a later epoch.
            wanted.append((partition, end))

        def committed(lost: Sequence[int]) -> None:
            transaction.state = COMPLETE[PREPARING[commit]]
            self._note(transaction)
            self._go_on(transaction)
            error = ErrorCode.KAFKA_STORAGE_ERROR if lost else ErrorCode.NONE
            then(error, transaction.producer_id, transaction.epoch)

        Committing(wanted, committed)

    # --- time ----------------------------------------------------------------------------------------

    def _watch(self, due_ms: int) -> None:
        """Look at all of them at that time, if not earlier."""
        if self._due_ms is None or due_ms < self._due_ms:
            self._due_ms = due_ms
            self._head.core.scheduler.at(due_ms, self)

    def on_timer(self, now_ms: int) -> None:
        """Abort what has been open for too long, and fence whoever has left it so; forget ids that nobody has
        used for long (K63)."""
        if self._due_ms is None or now_ms < self._due_ms:
            return
        self._due_ms = None
        expired_ms = now_ms - self._head.settings.transactional_id_expiration_ms
        for transaction in self.all():
            if transaction.state is State.ONGOING:
                due_ms = transaction.started_ms + transaction.timeout_ms
                if now_ms >= due_ms:
                    self._abort(transaction)
                else:
                    self._watch(max(now_ms + LOOK_MS, due_ms))
            elif not transaction.is_ending and transaction.used_ms <= expired_ms:
                del self._by_name[transaction.name]
                self._head.core.keep(PREFIX + key_of(transaction.name), None)
                if self.topic.is_there:
                    self.topic.note(transaction.name, transaction_record(transaction.name, None))
        if self._by_name:
            self._watch(now_ms + EXPIRY_LOOK_MS)

    # --- keeping -------------------------------------------------------------------------------------

    def _keep(self, transaction: Transaction) -> None:
        transaction.used_ms = self._head.core.changes.now_ms
        self._head.core.keep(PREFIX + key_of(transaction.name), transaction.kept())
        self._note(transaction)

    def _note(self, transaction: Transaction) -> None:
        if self.topic.is_there:
            self.topic.note(transaction.name, transaction_record(transaction.name, transaction.shown()))

    def _all_shown(self) -> Iterator[Owned]:
        for transaction in self.all():
            yield transaction.name, transaction_record(transaction.name, transaction.shown())

    def _restore(self) -> None:
        """Take over what was kept, and what the logs say is open."""
        now_ms = self._head.core.changes.now_ms
        for key, value in self._head.core.kept(PREFIX):
            (name,) = msgspec.json.decode(key.removeprefix(PREFIX))
            transaction = self._by_name[name] = Transaction.restored(name, decode(value), now_ms)
            self._head.core.uid_is_taken(max(transaction.producer_id, transaction.marker_id))
        if self._by_name:
            self._watch(now_ms + EXPIRY_LOOK_MS)
            self._forget_lost()
            self._restore_open()

    def _forget_lost(self) -> None:
        """A power cut has taken the ends of logs: what stands there later was not decided before."""
        topics = self._head.topics
        for transaction in self._by_name.values():
            left = []
            for name, index, end in transaction.decided_at:
                topic = topics.get(name)
                if topic is not None and index < len(topic.partitions):
                    end = min(end, topic.partitions[index].log.offsets().accepted)
                left.append((name, index, end))
            if left != transaction.decided_at:
                transaction.decided_at = left
                self._head.core.keep(PREFIX + key_of(transaction.name), transaction.kept())

    def _restore_open(self) -> None:
        """End what was decided and is open all the same; let what is open else go on."""
        by_producer: dict[int, Transaction] = {}
        for transaction in self._by_name.values():
            by_producer[transaction.producer_id] = transaction
            if transaction.marker_id != NO_PRODUCER:
                by_producer[transaction.marker_id] = transaction
        decided: dict[Transaction, list[Partition]] = {}
        for topic in self._head.topics.all():
            for index, stream in enumerate(topic.partitions):
                for producer_id, first in stream.log.open_transactions.items():
                    found = by_producer.get(producer_id)
                    if found is None:
                        continue
                    if first < found.decided_through(stream.partition, (topic.name, index)):
                        decided.setdefault(found, []).append(stream.partition)
                    else:
                        found.partitions[stream.partition] = topic.name, index
        for transaction in self._by_name.values():
            if transaction.decided is not None and transaction in decided:
                transaction.state = transaction.decided
                self._mark(transaction, decided[transaction], _nothing)
            else:
                self._go_on(transaction)

    def _go_on(self, transaction: Transaction) -> None:
        """What a restart has found open in logs and groups, and is not of the last one, is the next one."""
        if transaction.is_restored and (
            transaction.partitions or transaction.producer_id in self._head.groups.in_transactions()
        ):
            self._open(transaction, self._head.core.changes.now_ms)


def _nothing(error: ErrorCode, producer_id: int, epoch: int) -> None:
    """Nobody waits for the end."""


encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(Kept).decode
