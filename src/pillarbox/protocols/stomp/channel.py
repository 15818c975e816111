"""What a client sends and gets: publishing, deliveries, acknowledgements, transactions, receipts.

It is the `Sink` of all its subscriptions, under one ledger. Receipts leave in the order in which they were
asked for: that of a SEND when the message is safe (as a confirm is), all others when what came before is.

Source: STOMP 1.2, "Client Frames"; rows A3-A5, A7, A8, R142. Not here: what a frame asks for (`commands`).
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pillarbox.broker.ack_timeout import AckTimeout
from pillarbox.broker.choice import GROUP
from pillarbox.broker.confirm import Publisher
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.index import NO_ARGUMENTS, Envelope, Keys
from pillarbox.broker.ledger import Outcome, UnknownDelivery
from pillarbox.broker.returning import give_back
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.target import Target, find_target
from pillarbox.broker.transaction import Transaction
from pillarbox.engine.base import NO_EXPIRATION, Address, Message
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.stomp import artemis
from pillarbox.protocols.stomp.declaring import (
    JOB,
    MOMENT,
    RETAIN,
    composed,
    for_sending,
    is_of_a_topic,
    keep_groups,
    read_schedule,
    reply_to,
    retained,
)
from pillarbox.protocols.stomp.errors import REJECTED, StompError, from_broker_error
from pillarbox.protocols.stomp.headers import keep_milliseconds
from pillarbox.protocols.stomp.orders import find_order
from pillarbox.protocols.stomp.sending import (
    EXPIRES,
    HEAD_BYTES_MAX,
    HEADS_MAX,
    ROUTES_MAX,
    Batch,
    Prepared,
    prepare,
)
from pillarbox.protocols.stomp.subscription import AUTO, CLIENT, DIGITS_MAX, SEPARATOR, Subscription
from pillarbox.protocols.stomp.transforming import TRANSFORMATION, note_sent
from pillarbox.protocols.stomp.wire import RECEIPT, cut_receipt, read_head, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pillarbox.broker.chores import Parts
    from pillarbox.broker.ledger import Entry
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.broker.schedule_walk import Walk
    from pillarbox.broker.session import Session
    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.connection import Connection
    from pillarbox.protocols.stomp.head import Settings
    from pillarbox.protocols.stomp.wire import Scanner

_SEPARATOR = SEPARATOR.encode()

IDENTITY = "_AMQ_DUPL_ID"
"""Artemis' header with which a message says who it is: one that comes again is no other one."""
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

    def __init__(self, connection: Connection, session: Session) -> None:
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
        self.publisher: Publisher | None = Publisher(self)
        self.receipts: deque[bytes | None] = deque()
        """Asked for and not sent, in order; None: of a message that asked for none."""
        self.transactions: dict[str, Transaction] = {}
        self._once: dict[str, dict[tuple[tuple[str, str, str], str], bool]] = {}
        """Addresses and ids of messages of these transactions that say who they are, and whether they are
        persistent."""
        self.temporary: dict[str, str] = {}
        """Queues behind the client's own names of temporary ones."""
        self.replies: set[str] = set()
        """Temporary queues, by the client's names, that are read because a message asks for a reply there."""
        self._not_own: set[str] = set()
        """Queues of subscriptions that do not want what this client itself sends."""
        self._watches: dict[Subscription, Callable[[Queue], None]] = {}
        """Of subscriptions that stand for several queues: what hears of new ones."""
        self._unwanted: list[int] = []
        """Deliveries that did not meet the selector of their subscription and are not settled yet."""
        self._ack_forms: dict[tuple[bytes, bytes], Subscription] = {}
        """See `Subscription.ack_forms`."""
        self._acknowledging = 0
        """Subscriptions that there have been whose deliveries have to be answered."""
        self._prepared: dict[bytes, Prepared] = {}
        self._targets: dict[str, Target] = {}
        self._ack_timeout: AckTimeout | None = None
        self._work: Parts | None = None
        """What is under way because the client has asked for it."""
        self._walk: Walk | None = None
        """Looks at what waits in schedules, because the client has asked for it."""
        self._batch: Batch | None = None
        """Messages that are not handed on yet."""

    def __repr__(self) -> str:
        return f"<Channel subscriptions={len(self.subscriptions)} out={self.ledger.count}>"

    @property
    def messages_uncommitted(self) -> int:
        """See `ClientChannel`."""
        return sum(one.message_count for one in self.transactions.values())

    @property
    def acks_uncommitted(self) -> int:
        return sum(one.answer_count for one in self.transactions.values())

    # --- publishing ----------------------------------------------------------------------------------

    def send(self, head: bytes, body: Body) -> bool:
        """Take one SEND; those that go the same way are handed on together (`flush`). Raises StompError.

        Returns whether those that follow and have the same head may be taken by `send_alike`.
        """
        receipt = None
        if RECEIPT in head:
            head, receipt = cut_receipt(head)
        known = prepared = self._prepared.get(head)
        if prepared is None or not prepared.target.route.stamp.valid:
            known, prepared = None, self._prepare(head, body, receipt)
            if prepared is None:
                return False
        batch = self._batch
        if batch is None or not batch.takes(prepared):
            self.flush()
            batch = self._batch = Batch(prepared)
        if known is None:
            batch.unshared_bytes += len(prepared.properties)
        batch.add(body, receipt, self.core.changes.now_ms)
        return known is not None

    def send_alike(self, bodies: list[bytes], receipts: list[bytes]) -> None:
        """Take SENDs that differ from the last one in nothing but their bodies, and receipts if they ask for
        them."""
        assert self._batch is not None
        self._batch.add_alike(bodies, receipts, self.core.changes.now_ms)

    def flush(self) -> None:
        """Hand on the messages that were gathered. Raises StompError."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        try:
            stored, refused = batch.publish(self.core)
        except BrokerError as error:
            raise from_broker_error(error) from None
        self._count(batch.last.target, len(batch.messages))
        if refused or any(batch.asked):
            self._promise(batch.asked, stored, refused)

    def _count(self, target: Target, count: int) -> None:
        self.counters.publish += count
        if not target.route.queues:
            self.counters.unroutable += count
        if self.core.held:
            self.connection.published = True

    def _prepare(self, head: bytes, body: Body, receipt: bytes | None) -> Prepared | None:
        """What a head means that is new; None: its message is dealt with by itself, which is done."""
        _, headers = read_head(head, self.connection.version)
        text = headers.get("destination")
        if text is None:
            raise StompError("Missing destination", "\"SEND\" must include a 'destination' header")
        order = find_order(self, text, headers)
        if order is not None:
            self.flush()
            order(self, text, headers, body, receipt)
            return None
        if self.settings.is_artemis:
            text = self.address(text, headers)
        is_momentary = EXPIRES in headers or MOMENT in headers
        if TRANSFORMATION in headers and self.settings.is_activemq:
            # What it says of the message depends on its body.
            is_momentary = True
            note_sent(headers, body, is_bytes=self.connection.is_sized)
        read_schedule(self, headers)
        if self.settings.is_activemq:
            keep_milliseconds(headers)
        if "reply-to" in headers:
            headers["reply-to"] = reply_to(self, headers["reply-to"])
        parts = composed(self, text)
        transaction = headers.get("transaction")
        every = [self._prepare_for(part, headers) for part in parts]
        if IDENTITY in headers and self.settings.id_cache_size:
            self._send_once(every, headers[IDENTITY], body, receipt, transaction)
            return None
        prepared = every.pop()
        alone = len(parts) > 1 or transaction is not None
        if prepared.target.route.per_message and not alone:
            target, _, _ = self._resolve(prepared)
            if not target.route.histories:
                # Among others that go to the same queues: of those that wait for their time there are many.
                return msgspec.structs.replace(prepared, target=target)
            alone = True
        if alone:
            self.flush()
            for one in every:
                self._send_alone(one, body, None, transaction)
            self._send_alone(prepared, body, receipt, transaction)
            return None
        if len(head) <= HEAD_BYTES_MAX and not is_momentary and JOB not in headers:
            if len(self._prepared) >= HEADS_MAX:
                self._prepared.clear()
            self._prepared[head] = prepared
        return prepared

    def address(self, text: str, headers: dict[str, str]) -> str:
        """What a SEND of Artemis' calls its destination, in the words of all. Raises StompError."""
        self.flush()
        try:
            found = artemis.destination_of(self, text, headers, artemis.DESTINATION_TYPE)
        except BrokerError as error:
            raise from_broker_error(error) from None
        headers.pop(artemis.DESTINATION_TYPE, None)
        return found

    def _prepare_for(self, text: str, headers: Mapping[str, str]) -> Prepared:
        """What the headers say of a message to one destination."""
        now_ms = self.core.changes.now_ms
        target = self.target(text, headers)
        if GROUP in headers and self.settings.is_activemq:
            keep_groups(self, target)
        if headers.get(RETAIN, "").lower() == "true" and (keeper := retained(self, target)) is not None:
            target = keeper
            headers = {name: value for name, value in headers.items() if name != RETAIN}
        return prepare(headers, target, self.dialect, user=self.session.user.name, now_ms=now_ms)

    def target(self, text: str, headers: Mapping[str, str]) -> Target:
        """Where a destination leads; a queue that is missing is made. Raises StompError."""
        key = f"{text} later" if JOB in headers else text
        known = self._targets.get(key)
        if known is not None and known.route.stamp.valid:
            return known
        # Order: what is declared now may change where earlier messages would go.
        self.flush()
        try:
            found = for_sending(self, text, headers)
            target = self._without_own(find_target(self.session, self.origin, found.exchange, found.key))
        except BrokerError as error:
            raise from_broker_error(error) from None
        if len(self._targets) >= ROUTES_MAX:
            self._targets.clear()
        if target.route.stamp.valid:
            self._targets[key] = target
        return target

    def _resolve(self, prepared: Prepared) -> tuple[Target, Keys, Envelope]:
        """Where a message goes whose exchange looks at it, and what the exchange sees. Raises StompError."""
        said, address = prepared.said, prepared.target.address
        keys = (address.routing_key,)
        envelope = Envelope(said.headers, said.property_named)
        try:
            _, route = self.session.route(address.exchange, keys, envelope)
        except BrokerError as error:
            raise from_broker_error(error) from None
        return self._without_own(prepared.target._replace(route=route)), keys, envelope

    def want_nothing_of_its_own(self, queue: str) -> None:
        """Send nothing more into this queue, which is that of a subscription of the client (A8)."""
        self._not_own.add(queue)
        self.forget_routes()

    def _without_own(self, target: Target) -> Target:
        """The target without queues that do not want what this client sends."""
        if not self._not_own:
            return target
        queues = tuple(queue for queue in target.route.queues if queue.name not in self._not_own)
        return target._replace(route=msgspec.structs.replace(target.route, queues=queues))

    def forget_routes(self) -> None:
        """What was allowed may not be any more."""
        self._targets.clear()
        self._prepared.clear()

    def _send_once(
        self,
        every: list[Prepared],
        identity: str,
        body: Body,
        receipt: bytes | None,
        transaction: str | None,
    ) -> None:
        """Publish a message to those destinations that have had none of its id (A41). Raises StompError."""
        self.flush()
        duplicates = self.core.duplicates
        for one in every:
            address = self._address_of(one)
            asked, receipt = (receipt, None) if one is every[-1] else (None, receipt)
            if transaction is not None:
                once = self._once.setdefault(transaction, {})
                if (address, identity) in once:
                    self.receipt(asked)
                    continue
                self._send_alone(one, body, asked, transaction)
                # Known when it is committed, which looks whether anybody was before.
                once[address, identity] = one.persistent
            elif duplicates.knows(address, identity):
                self.receipt(asked)
            elif not self._send_alone(one, body, asked, None):
                self._know(address, identity, one.persistent)

    def _address_of(self, prepared: Prepared) -> tuple[str, str, str]:
        address = prepared.target.address
        return self.session.vhost.name, address.exchange, address.routing_key

    def _know(self, address: tuple[str, str, str], identity: str, persistent: bool) -> None:
        size = self.settings.id_cache_size
        self.core.duplicates.add(address, identity, size=size, durable=persistent)

    def commit(self, name: str) -> bool:
        """Commit a transaction; return whether all of it was taken. Raises StompError.

        If there was a message of the same id, nothing of it is done (A41).
        """
        transaction = self.transaction(name)
        once = self._once.get(name, {})
        if any(self.core.duplicates.knows(*each) for each in once):
            self.abort(name)
            raise StompError("Duplicate message", f"transaction '{name}' has a message that there was before")
        committed = transaction.commit()
        del self.transactions[name]
        self._once.pop(name, None)
        if not committed.refused:
            for (address, identity), persistent in once.items():
                self._know(address, identity, persistent)
        return not committed.refused

    def abort(self, name: str) -> None:
        """Roll a transaction back. Raises StompError."""
        self.transaction(name).rollback()
        del self.transactions[name]
        self._once.pop(name, None)

    def _send_alone(
        self, prepared: Prepared, body: Body, receipt: bytes | None, transaction: str | None
    ) -> bool:
        """Publish a message whose exchange looks at it, or that waits for a commit. Raises StompError.

        Return whether a queue has refused it.
        """
        refused: Sequence[int] = ()
        target = prepared.target
        message = prepared.message(body, self.core.changes.now_ms)
        try:
            if target.route.per_message:
                target, keys, envelope = self._resolve(prepared)
                target.route.remember(keys, envelope, message)
            if transaction is None:
                stored, refused = target.publish(self.core, message)
                self._promise([receipt], stored, refused)
            else:
                self.transaction(transaction).publish(
                    target.counters,
                    target.route.queues,
                    [message],
                    len(body),
                    persistent=message.persistent,
                    expiring=message.expiration_ms != NO_EXPIRATION,
                    prioritized=message.priority > 0,
                    message_bytes=MESSAGE_BYTES + len(message.properties),
                )
                self.receipt(receipt)
        except BrokerError as error:
            raise from_broker_error(error) from None
        self._count(target, 1)
        return bool(refused)

    def transaction(self, name: str) -> Transaction:
        """The open transaction of this name. Raises StompError."""
        try:
            return self.transactions[name]
        except KeyError:
            raise StompError("Bad transaction", f"Invalid transaction identifier: '{name}'") from None

    # --- receipts --------------------------------------------------------------------------------------

    def _promise(self, asked: list[bytes | None], stored: bool, refused: object = ()) -> None:
        assert self.publisher is not None
        self.receipts.extend(asked)
        self.core.confirms.accept(self.publisher, len(asked), stored, refused)  # type: ignore[arg-type]
        self.core.wake()

    def receipt(self, asked: bytes | None) -> None:
        """Send a receipt when everything that this client has done so far is as safe as it will be."""
        if asked is None:
            return
        core = self.core
        stored = core.changes.has_facts or core.synced_ticket < core.journal_ticket
        if stored or self.receipts:
            self._promise([asked], stored)
        else:
            self._send_receipts([asked])

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """See `Sink`."""
        done = self.receipts.popleft
        asked = [one for _ in range(tag_first, tag_last + 1) if (one := done()) is not None]
        self.counters.confirm += len(asked)
        self._send_receipts(asked)
        self.connection.receipts_sent()

    def _send_receipts(self, asked: list[bytes]) -> None:
        # Nothing follows an ERROR that ends the connection.
        if asked and not self.connection.want_close:
            self.connection.send(b"".join([b"RECEIPT\nreceipt-id:%b\n\n\0\n" % one for one in asked]))

    def refuse(self, tag_first: int, tag_last: int) -> None:
        """See `Sink`: STOMP has no word for one message that was refused, so the connection ends."""
        asked = self.receipts.popleft()
        for _ in range(tag_first, tag_last):
            self.receipts.popleft()
        error = StompError(REJECTED, "a queue that is full has refused the message")
        self.connection.fail(error, receipt=asked)

    def disconnect(self, reason: Reason, text: str) -> None:
        """See `Sink`."""
        self.connection.fail(from_broker_error(BrokerError(reason, text)))

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
        """End a subscription. What it has out may still be acknowledged."""
        self._strike_out(subscription)
        self._stop_watching(subscription)
        tags = [tag for tag, consumer in self.consumers.items() if consumer.head is subscription]
        self.session.cancel_all([self.consumers.pop(tag) for tag in tags])

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
        waits = None if transaction is None else self.transaction(transaction)
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
            raise _unknown(error) from None

    def acknowledge(self, head: bytes, scanner: Scanner) -> bool:
        """Take an ACK that is written as usual, and those that count on from it; False: it is not.

        Raises StompError if a delivery is not out.
        """
        before, _, rest = head.rpartition(_SEPARATOR)
        digits, _, behind = rest.partition(b"\n")
        subscription = self._ack_forms.get((before, behind))
        if subscription is None or not digits.isdigit() or len(digits) > DIGITS_MAX:
            return False
        self.flush()
        tag = int(digits)
        if subscription.ack == CLIENT:
            self.settle(subscription, tag, Outcome.ACCEPTED, None)
            return True
        last = scanner.count_on(len(before) + len(_SEPARATOR), digits)
        try:
            self.ledger.settle_range(tag, last, Outcome.ACCEPTED)
        except UnknownDelivery as error:
            raise _unknown(error) from None
        return True

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
            self.receipt(receipt)
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
                    self.receipt(receipt)
                    self.connection.go_on()
                    return
                yield

        self.core.chores.add(all_parts())

    # --- the end ---------------------------------------------------------------------------------------

    def end(self) -> None:
        """Give back what is out, and end all subscriptions; nothing is sent."""
        self._batch = self._work = None
        if self._walk is not None:
            self._walk.stop()
        for transaction in self.transactions.values():
            transaction.rollback()
        self.transactions.clear()
        self._once.clear()
        consumers, self.consumers = self.consumers, {}
        for subscription in list(self._watches):
            self._stop_watching(subscription)
        self.subscriptions.clear()
        self._ack_forms.clear()
        give_back(self.core.chores, self.ledger)
        self.session.cancel_all(consumers.values())
        self.session.remove_channel(self)
        self._ack_timeout = None


def _unknown(error: UnknownDelivery) -> StompError:
    return StompError("precondition_failed", f"PRECONDITION_FAILED - {error}")
