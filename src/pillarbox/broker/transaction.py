"""A transaction: publishes and answers to deliveries that take effect together, or not at all.

A head fills it in the order in which its client speaks. What is published stands in no queue until the
commit. What is answered is withdrawn from its ledger, so that nobody answers it twice, but stays
unacknowledged in its queue and holds its credit. `commit` does everything in one call, first the publishes,
then the answers: so it stands in one journal group, which is replayed whole or not at all. `rollback` drops
the publishes and puts the deliveries back into their ledgers, to be answered again.

A message goes to the queues that were found when it was published, by their names: one that was deleted and
declared again meanwhile gets it. Not here: routing, what a head says to its client.

Source: AMQP 0-9-1 class tx (90); RabbitMQ's tx.commit and tx.rollback; row R62. Invariants: a commit changes
everything or raises before it has changed anything, except that a full queue may refuse messages (R47), which
its client is told; nothing of a transaction is seen before its commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pillarbox.broker.ledger import GIVEN_BACK, Outcome
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.counters import ExchangeCounters
    from pillarbox.broker.ledger import Entry, Ledger
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.vhost import VHost
    from pillarbox.engine.base import Message

TRANSACTION_BYTES_MAX = 128 << 20
"""Memory that the messages of one transaction may take: they stay there until the commit, which makes one
journal group of them. A single message may be larger. RabbitMQ has no bound but its memory."""


def _by_tag(answered: tuple[Entry, Outcome]) -> int:
    return answered[0].tag_first


class Publication:
    """Messages of one transaction that go the same way."""

    __slots__ = (
        "body_bytes",
        "counters",
        "expiring",
        "held_bytes",
        "mandatory",
        "messages",
        "persistent",
        "prioritized",
        "queues",
        "until_moment",
    )

    def __init__(
        self,
        counters: ExchangeCounters,
        queues: tuple[Queue, ...],
        persistent: bool,
        prioritized: bool,
        mandatory: bool,
        until_moment: bool,
    ) -> None:
        self.counters = counters
        self.queues = queues
        self.persistent = persistent
        self.prioritized = prioritized
        self.mandatory = mandatory
        self.until_moment = until_moment
        self.expiring = False
        self.messages: list[Message] = []
        self.body_bytes = self.held_bytes = 0


class Answer(NamedTuple):
    """Withdrawn deliveries of one ledger that get answers of one kind, with their outcomes."""

    ledger: Ledger
    kind: Outcome
    entries: list[tuple[Entry, Outcome]]


class Committed(NamedTuple):
    """What a commit has done."""

    stored: bool
    """The journal keeps some of it: whoever was promised something waits for the group."""
    routed: bool
    """It brought messages to queues."""
    refused: bool
    """A full queue has refused some of its messages (R47); all else took effect."""
    unroutable: list[Message]
    """Messages that no queue took and that their publisher wants back."""


class Transaction:
    """See the module. It can be used again after each commit and rollback."""

    def __init__(self, core: Core, vhost: VHost) -> None:
        self._core = core
        self._vhost = vhost
        self._publications: list[Publication] = []
        self._answers: list[Answer] = []
        self.message_count = 0
        self.held_bytes = 0
        """Memory that the messages take."""

    def __repr__(self) -> str:
        return f"<Transaction messages={self.message_count} answers={self.answer_count}>"

    @property
    def answer_count(self) -> int:
        """How many deliveries are answered in it."""
        return sum([entry.stop - entry.start for answer in self._answers for entry, _ in answer.entries])

    # --- filling it --------------------------------------------------------------------------------

    def publish(
        self,
        counters: ExchangeCounters,
        queues: tuple[Queue, ...],
        messages: list[Message],
        body_bytes: int,
        *,
        persistent: bool,
        expiring: bool,
        prioritized: bool,
        mandatory: bool = False,
        message_bytes: int = MESSAGE_BYTES,
        until_moment: bool = False,
    ) -> None:
        """Take messages that go to these queues at the commit; see `Core.publish`.

        `counters` are those of the exchange; `mandatory`: their publisher wants them back if there is no
        queue for them then; `until_moment`: their times to live end at a moment, whenever the commit comes.
        Raises PRECONDITION_FAILED for more than a transaction may hold.
        """
        held_bytes = body_bytes + len(messages) * message_bytes
        self._take(len(messages), held_bytes)
        last = self._publications[-1] if self._publications else None
        if (
            last is None
            or last.queues is not queues
            or last.counters is not counters
            or last.persistent is not persistent
            or last.prioritized is not prioritized
            or last.mandatory is not mandatory
            or last.until_moment is not until_moment
        ):
            last = Publication(counters, queues, persistent, prioritized, mandatory, until_moment)
            self._publications.append(last)
        last.messages += messages
        last.body_bytes += body_bytes
        last.held_bytes += held_bytes
        last.expiring = last.expiring or expiring

    def _take(self, count: int, held_bytes: int) -> None:
        if self.held_bytes + held_bytes > TRANSACTION_BYTES_MAX and self.message_count:
            text = f"transaction is larger than {TRANSACTION_BYTES_MAX} bytes"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        self.message_count += count
        self.held_bytes += held_bytes
        self._core.changes.resident_bytes += held_bytes

    def settle(self, ledger: Ledger, tag: int, multiple: bool, outcome: Outcome) -> None:
        """Answer one delivery at the commit, or all up to it (0: all there are).

        Raises UnknownDelivery, and changes nothing, if the tag is not out, or is answered already.
        """
        self._answer(ledger, outcome, ledger.withdraw_through(tag) if multiple else ledger.withdraw(tag, tag))

    def settle_range(self, ledger: Ledger, tag_first: int, tag_last: int, outcome: Outcome) -> None:
        """Answer exactly these deliveries at the commit.

        Raises UnknownDelivery for the first tag that is not out; those before it are answered by then.
        """
        self._answer(ledger, outcome, ledger.withdraw(tag_first, tag_last))

    def _answer(self, ledger: Ledger, outcome: Outcome, entries: Iterable[Entry]) -> None:
        # Joined to the last answer if it is alike: whatever is requeued or rejected together keeps its order.
        kind = Outcome.RELEASED if outcome in GIVEN_BACK else outcome
        last = self._answers[-1] if self._answers else None
        if last is None or last.ledger is not ledger or last.kind is not kind:
            last = Answer(ledger, kind, [])
            self._answers.append(last)
        # One after the other: what comes before an unknown tag is answered.
        last.entries.extend((entry, outcome) for entry in entries)

    # --- its end -----------------------------------------------------------------------------------

    def commit(self) -> Committed:
        """Let everything take effect, in one journal group; the transaction is empty then.

        Raises INTERNAL_ERROR, and changes nothing, if some of it would have to be stored and storage has
        failed. Cost: O(messages + entries), in one turn of the loop.
        """
        core = self._core
        for publication in self._publications:
            self._find_queues(publication)
        stored = self._is_stored()
        if stored:
            core.demand_storage()
        publications, self._publications = self._publications, []
        answers, self._answers = self._answers, []
        self._forget_messages()
        routed = refused = False
        unroutable: list[Message] = []
        for publication in publications:
            kept, left = self._publish(publication)
            stored, refused = stored or kept, refused or left
            routed = routed or bool(publication.queues)
            if publication.mandatory and not publication.queues:
                unroutable += publication.messages
        core.changes.note_move()
        for answer in answers:
            answer.ledger.settle_withdrawn(sorted(answer.entries, key=_by_tag))
            _deliver(dict.fromkeys([entry.lane.queue for entry, _ in answer.entries]))
        return Committed(stored, routed, refused, unroutable)

    def rollback(self) -> None:
        """Drop the messages and put the deliveries back into their ledgers, unanswered."""
        answers, self._answers = self._answers, []
        self._publications.clear()
        self._forget_messages()
        for answer in answers:
            answer.ledger.put_back([entry for entry, _ in answer.entries])

    def demand_returnable(self) -> None:
        """Refuse to give anything back to a queue that cannot take it."""
        for answer in self._answers:
            if answer.kind is not Outcome.ACCEPTED:
                for entry, _ in answer.entries:
                    entry.lane.queue.demand_returnable()

    def _find_queues(self, publication: Publication) -> None:
        """Have messages go to the queues that have the names now which were found for them."""
        queues = publication.queues
        if any(queue.deleted for queue in queues):
            known = self._vhost.queues
            there = [known.get(queue.name) if queue.deleted else queue for queue in queues]
            publication.queues = tuple([queue for queue in there if queue is not None])

    def _is_stored(self) -> bool:
        """Does the journal have to keep some of it?"""
        for publication in self._publications:
            if publication.persistent and any(queue.journaled for queue in publication.queues):
                return True
        # Of what is ready again the journal need not know.
        return any(
            entry.run.stored and not entry.lane.queue.deleted
            for answer in self._answers
            if answer.kind not in GIVEN_BACK
            for entry, _ in answer.entries
        )

    def _publish(self, publication: Publication) -> tuple[bool, bool]:
        """Bring messages to their queues; return whether some are stored, there or where a rule passes them
        on to, and whether a full queue has refused some of them."""
        core = self._core
        now_ms = core.changes.now_ms
        messages = publication.messages
        if publication.until_moment:
            messages = [_until_moment(message, now_ms) for message in messages]
        elif messages[0].accepted_ms != now_ms:
            # A time to live counts from the commit, as queues see it.
            messages = [msgspec.structs.replace(message, accepted_ms=now_ms) for message in messages]
        queues = publication.queues
        stored, refused = core.publish(
            queues,
            messages,
            publication.body_bytes,
            persistent=publication.persistent,
            expiring=publication.expiring,
            prioritized=publication.prioritized,
            message_bytes=(publication.held_bytes - publication.body_bytes) // len(messages),
        )
        counters = publication.counters
        counters.publish_in += len(messages)
        counters.publish_out += len(messages) * len(queues)
        _deliver(queues)
        return stored, bool(refused)

    def _forget_messages(self) -> None:
        self._core.changes.resident_bytes -= self.held_bytes
        self.message_count = self.held_bytes = 0


def _until_moment(message: Message, now_ms: int) -> Message:
    """The message as it is now, with what is left of its time; if that is nothing, nobody gets it."""
    left_ms = message.accepted_ms + message.expiration_ms - now_ms
    return msgspec.structs.replace(message, accepted_ms=now_ms - (left_ms < 0), expiration_ms=max(0, left_ms))


def _deliver(queues: Iterable[Queue]) -> None:
    """Let consumers have what came, and what is left expire, before the next part of the commit comes.

    So a queue does everything in the order in which RabbitMQ does, which acts upon the parts one by one.
    """
    for queue in queues:
        if queue.queued and not queue.deleted:
            queue.dispatcher(queue)
            if queue.timed:
                queue.expire(at_once=True)
            queue.trim()
