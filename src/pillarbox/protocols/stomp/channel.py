"""What a client gets, and says of it: subscriptions, deliveries, acknowledgements.

It is the `Sink` of all its subscriptions, under one ledger. Source: STOMP 1.2, "Client Frames"; rows A3, A8,
R142. Not here: what a frame asks for (`commands`), what a client sends (`publishing`), `receipts`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.broker.ack_timeout import AckTimeout
from pillarbox.broker.confirm import Publisher
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.index import NO_ARGUMENTS
from pillarbox.broker.ledger import Outcome, UnknownDelivery
from pillarbox.broker.returning import ENTRIES_AT_ONCE, give_back, holding
from pillarbox.engine.base import Address, Message
from pillarbox.errors import BrokerError
from pillarbox.protocols.stomp.declaring import (
    is_of_a_topic,
)
from pillarbox.protocols.stomp.errors import StompError
from pillarbox.protocols.stomp.publishing import Publishing
from pillarbox.protocols.stomp.receipts import Receipts
from pillarbox.protocols.stomp.subscription import AUTO, CLIENT, DIGITS_MAX, SEPARATOR, Subscription
from pillarbox.protocols.stomp.wire import write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pillarbox.broker.chores import Parts
    from pillarbox.broker.ledger import Entry
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.broker.schedule_walk import Walk
    from pillarbox.broker.session import Session
    from pillarbox.protocols.stomp.connection import Connection
    from pillarbox.protocols.stomp.head import Settings
    from pillarbox.protocols.stomp.wire import Scanner

_SEPARATOR = SEPARATOR.encode()

DONE = object()
"""What comes behind the last part of some work."""
TRANSACTIONS_MAX = 16
"""Transactions of one connection that are open at a time, as with RabbitMQ."""


class Wanted(NamedTuple):
    """What a subscription asks of the queues that it reads."""

    prefetch: int
    pool: Pool
    priority: int
    arguments: Mapping[str, object]


class Channel:
    """See the module."""

    transactional = False
    number = 1
    """STOMP has no channels: this is the only one."""
    prefetch = 0

    def __init__(
        self,
        connection: Connection,
        session: Session,
        publishing: Callable[[Channel], Publishing] = Publishing,
    ) -> None:
        self.connection = connection
        self.session = session
        self.core = session.core
        dialects = self.core.dialects
        assert dialects.common is not None, "messages have to be written somehow"
        self.origin = dialects.common
        dialect = dialects.of(self.origin)
        assert dialect is not None
        self.dialect = dialect
        """How messages are kept: STOMP has no encoding of its own for that."""
        self.ledger = self.core.make_ledger()
        self.counters = self.ledger.counters
        self.consumers: dict[str, Consumer] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.pool = Pool()
        self.receipts = Receipts(connection, self.core, self.counters)
        self.temporary: dict[str, str] = {}
        """Queues behind the client's own names of temporary ones."""
        self.replies: set[str] = set()
        """Temporary queues, by the client's names, that are read because a message asks for a reply there."""
        self._watches: dict[Subscription, Callable[[Queue], None]] = {}
        """Of subscriptions that stand for several queues: what hears of new ones."""
        self._unwanted: list[int] = []
        """Deliveries that did not meet the selector of their subscription and are not settled yet."""
        self._ack_forms: dict[tuple[bytes, bytes], Subscription] = {}
        """See `Subscription.ack_forms`."""
        self._acknowledging = 0
        """Subscriptions that there have been whose deliveries have to be answered."""
        self._ack_timeout: AckTimeout | None = None
        self._work: Parts | None = None
        """What is under way because the client has asked for it."""
        self._walk: Walk | None = None
        """Looks at what waits in schedules, because the client has asked for it."""
        self.publishing = publishing(self)

    def __repr__(self) -> str:
        return f"<Channel subscriptions={len(self.subscriptions)} out={self.ledger.count}>"

    @property
    def publisher(self) -> Publisher | None:
        """See `ClientChannel`."""
        return self.receipts.publisher

    @property
    def messages_uncommitted(self) -> int:
        """See `ClientChannel`."""
        return sum(one.message_count for one in self.publishing.transactions.values())

    @property
    def acks_uncommitted(self) -> int:
        return sum(one.answer_count for one in self.publishing.transactions.values())

    # --- deliveries ------------------------------------------------------------------------------------

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        """Send a run as MESSAGE frames: a formatting each, as long as they are alike."""
        out = self.connection.hand_out(run.body_bytes)
        subscription: Subscription = consumer.head
        acks, tells_moments = subscription.acks, subscription.is_activemq
        address: Address | None = None
        properties: bytes | None = None
        form = b""
        assert run.messages is not None
        deliveries: Iterable[tuple[int, Message]] = enumerate(run.messages, tag_first)
        if subscription.looks:
            deliveries = self._looked_at(consumer, deliveries)
        for tag, message in deliveries:
            if message.properties is not properties or message.address is not address or tells_moments:
                address, properties = message.address, message.properties
                form = subscription.form_of(message, self.core.dialects, redelivered=run.redelivered)
            body = message.body
            size = len(body)
            out += (form % ((tag, tag, size) if acks else (tag, size)), body, b"\0\n")

    def _looked_at(
        self, consumer: Consumer, deliveries: Iterable[tuple[int, Message]]
    ) -> Iterable[tuple[int, Message]]:
        """Those that the subscription wants, in the form that it wants."""
        subscription: Subscription = consumer.head
        transform = subscription.transform
        if subscription.selector is not None:
            deliveries = self._wanted(consumer, deliveries)
        if transform is not None:
            deliveries = ((tag, transform(message)) for tag, message in deliveries)
        return deliveries

    def _wanted(
        self, consumer: Consumer, deliveries: Iterable[tuple[int, Message]]
    ) -> Iterator[tuple[int, Message]]:
        """Those that meet the selector of the subscription; the others are let go."""
        subscription: Subscription = consumer.head
        for tag, message in deliveries:
            if subscription.wants(message, self.core.dialects):
                yield tag, message
            elif not consumer.no_ack:
                self._let_go(tag)

    def _let_go(self, tag: int) -> None:
        """Have a delivery that its subscription does not want settled, when those under way are done."""
        if not self._unwanted:
            self.core.chores.in_turn(self._settle_unwanted)
        self._unwanted.append(tag)

    def _settle_unwanted(self) -> None:
        unwanted, self._unwanted = self._unwanted, []
        for tag in unwanted:
            # The client may have answered all up to a later one, or gone.
            with contextlib.suppress(UnknownDelivery):
                self.ledger.settle(tag, False, Outcome.ACCEPTED)

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """See `Sink`: its queue is gone, which ends the connection as with RabbitMQ."""
        subscription: Subscription = consumer.head
        if subscription.matches is not None:
            self.consumers.pop(f"{subscription.tag} {consumer.queue.name}", None)
            return
        self.consumers.pop(subscription.tag, None)
        self._strike_out(subscription)
        detail = (
            "The server has canceled a subscription.\n"
            f"No more messages will be delivered for {subscription.destination}."
        )
        self.connection.tell(StompError("Server cancelled subscription", detail), subscription.identity)

    def time_answers(self, queue: Queue) -> None:
        """See `Sink`."""
        core = self.core
        if self._ack_timeout is None:
            self._ack_timeout = AckTimeout(core.scheduler, self.ledger, core.ack_timeout_ms, self._overdue)
        self._ack_timeout.watch(queue, core.changes.now_ms)

    def _overdue(self, entry: Entry, limit_ms: int) -> None:
        text = f"a delivery was not acknowledged in time. Timeout value used: {limit_ms} ms"
        self.core.warn(f"queue {entry.lane.queue.name!r}, delivery {entry.tag_first}: {text}")
        self.connection.fail(StompError("precondition_failed", f"PRECONDITION_FAILED - {text}"))

    # --- subscriptions ---------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """What an operator has set."""
        return self.connection.settings

    def read(
        self,
        subscription: Subscription,
        queue: str,
        *,
        prefetch: int = 0,
        priority: int = 0,
        arguments: Mapping[str, object] = NO_ARGUMENTS,
    ) -> None:
        """Begin a subscription, which reads this queue. Raises BrokerError."""
        wanted = Wanted(prefetch, self.pool, priority, arguments)
        consumer = self._consume(
            subscription, queue, wanted, on_end=lambda: self._all_was_shown(subscription)
        )
        connection = self.connection
        subscription.begin(
            consumer,
            connection.session_name,
            connection.version,
            is_activemq=self.settings.is_activemq,
        )
        self._enter(subscription)
        self.consumers[subscription.tag] = consumer
        self._acknowledging += not consumer.no_ack

    def _enter(self, subscription: Subscription) -> None:
        self.subscriptions[subscription.tag] = subscription
        self._ack_forms |= dict.fromkeys(subscription.ack_forms(), subscription)

    def _strike_out(self, subscription: Subscription) -> None:
        self.subscriptions.pop(subscription.tag, None)
        for form in subscription.ack_forms():
            self._ack_forms.pop(form, None)

    def _consume(
        self,
        subscription: Subscription,
        queue: str,
        wanted: Wanted,
        on_end: Callable[[], None] | None = None,
    ) -> Consumer:
        """A consumer of this queue for a subscription. Raises BrokerError."""
        consumer = self.session.consume(
            queue,
            self,
            self.ledger,
            tag=subscription.tag,
            no_ack=subscription.ack == AUTO or subscription.browses,
            exclusive=False,
            prefetch=wanted.prefetch,
            pool=wanted.pool,
            priority=wanted.priority,
            arguments=wanted.arguments,
            on_end=on_end,
        )
        consumer.head = subscription
        return consumer

    def read_all(
        self,
        subscription: Subscription,
        *,
        prefetch: int,
        priority: int,
        arguments: Mapping[str, object],
    ) -> None:
        """Begin a subscription to all queues that it stands for, also those that are made later (A24)."""
        connection, vhost = self.connection, self.session.vhost
        subscription.start(connection.session_name, connection.version, is_activemq=self.settings.is_activemq)
        self._enter(subscription)
        self._acknowledging += subscription.ack != AUTO
        wanted = Wanted(prefetch, Pool(prefetch) if prefetch else Pool(), priority, arguments)

        def begin(queue: Queue) -> None:
            matches = subscription.matches
            if (
                self.subscriptions.get(subscription.tag) is not subscription
                or queue.deleted
                or queue.in_log
                or queue.owner is not None
                or matches is None
                or not matches(queue.name)
                or is_of_a_topic(self, queue)
            ):
                return
            # What the client may not read is none of its queues.
            with contextlib.suppress(BrokerError):
                consumer = self._consume(subscription, queue.name, wanted)
                self.consumers[f"{subscription.tag} {queue.name}"] = consumer

        def watch(queue: Queue) -> None:
            # When what made it has done everything else: a subscription's queue is to be bound.
            self.core.chores.in_turn(lambda: begin(queue))

        self._watches[subscription] = watch
        vhost.watchers.append(watch)
        for queue in list(vhost.queues.values()):
            begin(queue)

    def _stop_watching(self, subscription: Subscription) -> None:
        watch = self._watches.pop(subscription, None)
        if watch is not None:
            self.session.vhost.watchers.remove(watch)

    def _all_was_shown(self, subscription: Subscription) -> None:
        """Tell a client that browses that there is nothing more, as ActiveMQ does (A37)."""
        parts = (subscription.tag, self.connection.session_name, str(self.ledger.skip(1)))
        told = [
            ("destination", subscription.destination),
            ("message-id", SEPARATOR.join(parts)),
            ("browser", "end"),
        ]
        if subscription.identity is not None:
            told.insert(0, ("subscription", subscription.identity))
        self.connection.send(write_frame("MESSAGE", told, b"", self.connection.version))

    def cancel(self, subscription: Subscription) -> None:
        """End a subscription. What it has out may still be acknowledged; with ActiveMQ it goes back."""
        self._strike_out(subscription)
        self._stop_watching(subscription)
        tags = [tag for tag, consumer in self.consumers.items() if consumer.head is subscription]
        consumers = [self.consumers.pop(tag) for tag in tags]
        self.session.cancel_all(consumers)
        self.publishing.want_its_own_again([consumer.queue.name for consumer in consumers])
        if self.settings.is_activemq:
            self._give_back(subscription)

    def _give_back(self, subscription: Subscription) -> None:
        """Let others have what a subscription that has ended has not answered, but for what waits for a
        commit."""
        out = [
            (entry.tag_first, entry.base + entry.stop - 1)
            for entry in self.ledger.entries()
            if entry.consumer is not None and entry.consumer.head is subscription
        ]

        def returns() -> Parts:
            for position, (first, last) in enumerate(out, 1):
                self.ledger.settle_range(first, last, Outcome.RELEASED)
                if position % ENTRIES_AT_ONCE == 0:
                    yield

        if len(out) < ENTRIES_AT_ONCE:
            for _ in returns():
                raise AssertionError("it is one part")
        else:
            self._in_parts(holding(self.ledger.queues(), returns()))

    # --- answers ---------------------------------------------------------------------------------------

    def settle(
        self, subscription: Subscription | None, tag: int, outcome: Outcome, transaction: str | None
    ) -> None:
        """Answer a delivery, and with it all before it where the subscription says so.

        Raises StompError if it is not out.
        """
        if subscription is not None and subscription.browses:
            return
        multiple = subscription is not None and subscription.ack == CLIENT
        if self.settings.is_activemq and outcome is not Outcome.ACCEPTED:
            # Its NACK is about one message.
            multiple = False
        waits = None if transaction is None else self.publishing.transaction(transaction)
        try:
            if not multiple or self._acknowledging == 1:
                if waits is not None:
                    waits.settle(self.ledger, tag, multiple, outcome)
                elif not multiple:
                    self.ledger.settle(tag, False, outcome)
                elif (parts := self.ledger.settle_in_parts(tag, outcome)) is not None:
                    self._in_parts(parts)
                return
            assert subscription is not None
            for first, last in list(self._covered(subscription, tag)):
                if waits is not None:
                    waits.settle_range(self.ledger, first, last, outcome)
                else:
                    self.ledger.settle_range(first, last, outcome)
        except UnknownDelivery as error:
            if subscription is not None or not self.settings.is_activemq:
                raise self._unknown(error) from None
            # Its subscription has ended since, and others have it.

    def _unknown(self, error: UnknownDelivery) -> StompError:
        """What a client is told that answers a delivery which is not out: with ActiveMQ it goes on."""
        if self.settings.is_activemq:
            return StompError("Unexpected ACK received", f"Unexpected ACK or NACK received: {error}")
        return StompError("precondition_failed", f"PRECONDITION_FAILED - {error}")

    def acknowledge(self, head: bytes, scanner: Scanner) -> bool:
        """Take an ACK that is written as usual, and those that count on from it; False: it is not.

        Raises StompError if a delivery is not out.
        """
        before, _, rest = head.rpartition(_SEPARATOR)
        digits, _, behind = rest.partition(b"\n")
        subscription = self._ack_forms.get((before, behind))
        if subscription is None or not digits.isdigit() or len(digits) > DIGITS_MAX:
            return False
        self.publishing.flush()
        tag = int(digits)
        if subscription.ack == CLIENT:
            self.settle(subscription, tag, Outcome.ACCEPTED, None)
            return True
        last = scanner.count_on(len(before) + len(_SEPARATOR), digits)
        while True:
            try:
                self.ledger.settle_range(tag, last, Outcome.ACCEPTED)
                return True
            except UnknownDelivery as error:
                told = self._unknown(error)
                if told.is_fatal or error.tag == last:
                    raise told from None
                self.connection.refuse(told)
                tag = error.tag + 1

    def _covered(self, subscription: Subscription, tag: int) -> Iterator[tuple[int, int]]:
        """The deliveries of one subscription up to this, where several share the ledger."""
        last = 0
        for entry in self.ledger.entries():
            if entry.tag_first > tag:
                break
            if entry.consumer is not None and entry.consumer.head is subscription:
                last = min(tag, entry.base + entry.stop - 1)
                yield entry.tag_first, last
        if last != tag:
            raise UnknownDelivery(tag)

    def _in_parts(self, parts: Parts) -> None:
        """Do what is much over some ticks; what the client sends next waits until it is done."""
        self.ledger.busy = True
        self.connection.stall()

        def all_parts() -> Parts:
            yield from parts
            self.ledger.busy = False
            self.connection.go_on()

        self.core.chores.begin(all_parts())

    def walk(self, work: Callable[[Callable[[], None]], Walk], receipt: bytes | None) -> None:
        """Have what waits in schedules looked at; what the client sends next waits until it is done."""
        self.connection.stall()

        def end() -> None:
            self._walk = None
            self.receipts.ask(receipt)
            self.connection.go_on()

        self._walk = work(end)
        self.core.schedules.walks.begin(self._walk)

    def work(self, parts: Parts, receipt: bytes | None) -> None:
        """Do what may be much in ticks to come, as long as the client is there; what it sends next, and the
        receipt, wait until it is done."""
        self.connection.stall()
        self._work = parts

        def all_parts() -> Parts:
            while self._work is parts:
                if next(parts, DONE) is DONE:
                    self._work = None
                    self.receipts.ask(receipt)
                    self.connection.go_on()
                    return
                yield

        self.core.chores.add(all_parts())

    # --- the end ---------------------------------------------------------------------------------------

    def end(self) -> None:
        """Give back what is out, and end all subscriptions; nothing is sent."""
        self._work = None
        # Before what is out is given back: what was answered in a transaction is out again.
        self.publishing.end()
        if self._walk is not None:
            self._walk.stop()
        consumers, self.consumers = self.consumers, {}
        for subscription in list(self._watches):
            self._stop_watching(subscription)
        self.subscriptions.clear()
        self._ack_forms.clear()
        give_back(self.core.chores, self.ledger)
        self.session.cancel_all(consumers.values())
        self.session.remove_channel(self)
        self._ack_timeout = None

    def part(self) -> None:
        """The connection is gone: nothing here points back to what is here."""
        self.receipts.publisher = None
        del self.publishing
