"""What a client sends: SENDs and what their heads mean, routes, transactions, messages that say who they are.

SENDs that go the same way are gathered and handed on together; what a head means is kept, so that one that
comes again is looked up. Source: STOMP 1.2, "SEND", "BEGIN", "COMMIT", "ABORT"; rows A5, A7, A41. Not here:
what it takes to declare a destination (`declaring`), the parts of a message (`sending`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker.choice import GROUP
from pillarbox.broker.index import Envelope, Keys
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.target import Target, find_target
from pillarbox.broker.transaction import Transaction
from pillarbox.engine.base import NO_EXPIRATION
from pillarbox.errors import BrokerError
from pillarbox.protocols.stomp import artemis
from pillarbox.protocols.stomp.declaring import (
    JOB,
    MOMENT,
    RETAIN,
    composed,
    for_sending,
    keep_groups,
    read_schedule,
    reply_to,
    retained,
)
from pillarbox.protocols.stomp.errors import StompError, from_broker_error
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
from pillarbox.protocols.stomp.transforming import TRANSFORMATION, note_sent
from pillarbox.protocols.stomp.wire import RECEIPT, cut_receipt, read_head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.channel import Channel

IDENTITY = "_AMQ_DUPL_ID"
"""Artemis' header with which a message says who it is: one that comes again is no other one."""


class Publishing:
    """The sending side of one client."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._connection = channel.connection
        self._settings = channel.settings
        self._session = channel.session
        self._core = channel.core
        self._counters = channel.counters
        self.transactions: dict[str, Transaction] = {}
        self._once: dict[str, dict[tuple[tuple[str, str, str], str], bool]] = {}
        """Addresses and ids of messages of these transactions that say who they are, and whether they are
        persistent."""
        self._not_own: set[str] = set()
        """Queues of subscriptions that do not want what this client itself sends."""
        self._prepared: dict[bytes, Prepared] = {}
        self._targets: dict[str, Target] = {}
        self._batch: Batch | None = None
        """Messages that are not handed on yet."""

    def __repr__(self) -> str:
        return f"<Publishing heads={len(self._prepared)} transactions={len(self.transactions)}>"

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
        batch.add(body, receipt, self._core.changes.now_ms)
        return known is not None

    def send_alike(self, bodies: list[bytes], receipts: list[bytes]) -> None:
        """Take SENDs that differ from the last one in nothing but their bodies, and receipts if they ask for
        them."""
        assert self._batch is not None
        self._batch.add_alike(bodies, receipts, self._core.changes.now_ms)

    def flush(self) -> None:
        """Hand on the messages that were gathered. Raises StompError."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        try:
            stored, refused = batch.publish(self._core)
        except BrokerError as error:
            raise from_broker_error(error) from None
        self._count(batch.last.target, len(batch.messages))
        if refused or any(batch.asked):
            self._channel.receipts.promise(batch.asked, stored, refused)

    def _count(self, target: Target, count: int) -> None:
        self._counters.publish += count
        if not target.route.queues:
            self._counters.unroutable += count
        if self._core.held:
            self._connection.published = True

    def _prepare(self, head: bytes, body: Body, receipt: bytes | None) -> Prepared | None:
        """What a head means that is new; None: its message is dealt with by itself, which is done."""
        _, headers = read_head(head, self._connection.version)
        text = headers.get("destination")
        if text is None:
            raise StompError("Missing destination", "\"SEND\" must include a 'destination' header")
        order = find_order(self._channel, text, headers)
        if order is not None:
            self.flush()
            order(self._channel, text, headers, body, receipt)
            return None
        if self._settings.is_artemis:
            text = self.address(text, headers)
        is_momentary = EXPIRES in headers or MOMENT in headers
        if TRANSFORMATION in headers and self._settings.is_activemq:
            # What it says of the message depends on its body.
            is_momentary = True
            note_sent(headers, body, is_bytes=self._connection.is_sized)
        read_schedule(self._channel, headers)
        if self._settings.is_activemq:
            keep_milliseconds(headers)
        if "reply-to" in headers:
            headers["reply-to"] = reply_to(self._channel, headers["reply-to"])
        parts = composed(self._channel, text)
        transaction = headers.get("transaction")
        every = [self._prepare_for(part, headers) for part in parts]
        if IDENTITY in headers and self._settings.id_cache_size:
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
            found = artemis.destination_of(self._channel, text, headers, artemis.DESTINATION_TYPE)
        except BrokerError as error:
            raise from_broker_error(error) from None
        headers.pop(artemis.DESTINATION_TYPE, None)
        return found

    def _prepare_for(self, text: str, headers: Mapping[str, str]) -> Prepared:
        """What the headers say of a message to one destination."""
        now_ms = self._core.changes.now_ms
        target = self.target(text, headers)
        if GROUP in headers and self._settings.is_activemq:
            keep_groups(self._channel, target)
        if (
            headers.get(RETAIN, "").lower() == "true"
            and (keeper := retained(self._channel, target)) is not None
        ):
            target = keeper
            headers = {name: value for name, value in headers.items() if name != RETAIN}
        return prepare(headers, target, self._channel.dialect, user=self._session.user.name, now_ms=now_ms)

    def target(self, text: str, headers: Mapping[str, str]) -> Target:
        """Where a destination leads; a queue that is missing is made. Raises StompError."""
        key = f"{text} later" if JOB in headers else text
        known = self._targets.get(key)
        if known is not None and known.route.stamp.valid:
            return known
        # Order: what is declared now may change where earlier messages would go.
        self.flush()
        try:
            found = for_sending(self._channel, text, headers)
            target = self._without_own(
                find_target(self._session, self._channel.origin, found.exchange, found.key)
            )
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
            _, route = self._session.route(address.exchange, keys, envelope)
        except BrokerError as error:
            raise from_broker_error(error) from None
        return self._without_own(prepared.target._replace(route=route)), keys, envelope

    def want_nothing_of_its_own(self, queue: str) -> None:
        """Send nothing more into this queue, which is that of a subscription of the client (A8)."""
        self._not_own.add(queue)
        self.forget_routes()

    def want_its_own_again(self, queues: Sequence[str]) -> None:
        """The subscriptions that read these queues are over."""
        if not self._not_own.isdisjoint(queues):
            self._not_own.difference_update(queues)
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
        duplicates = self._core.duplicates
        for one in every:
            address = self._address_of(one)
            asked, receipt = (receipt, None) if one is every[-1] else (None, receipt)
            if transaction is not None:
                once = self._once.setdefault(transaction, {})
                if (address, identity) in once:
                    self._channel.receipts.ask(asked)
                    continue
                self._send_alone(one, body, asked, transaction)
                # Known when it is committed, which looks whether anybody was before.
                once[address, identity] = one.persistent
            elif duplicates.knows(address, identity):
                self._channel.receipts.ask(asked)
            elif not self._send_alone(one, body, asked, None):
                self._know(address, identity, one.persistent)

    def _address_of(self, prepared: Prepared) -> tuple[str, str, str]:
        address = prepared.target.address
        return self._session.vhost.name, address.exchange, address.routing_key

    def _know(self, address: tuple[str, str, str], identity: str, persistent: bool) -> None:
        size = self._settings.id_cache_size
        self._core.duplicates.add(address, identity, size=size, durable=persistent)

    def commit(self, name: str) -> bool:
        """Commit a transaction; return whether all of it was taken. Raises StompError.

        If there was a message of the same id, nothing of it is done (A41).
        """
        transaction = self.transaction(name)
        once = self._once.get(name, {})
        if any(self._core.duplicates.knows(*each) for each in once):
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
        message = prepared.message(body, self._core.changes.now_ms)
        try:
            if target.route.per_message:
                target, keys, envelope = self._resolve(prepared)
                target.route.remember(keys, envelope, message)
            if transaction is None:
                stored, refused = target.publish(self._core, message)
                self._channel.receipts.promise([receipt], stored, refused)
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
                    until_moment=prepared.until_moment,
                )
                self._channel.receipts.ask(receipt)
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

    def end(self) -> None:
        """Roll back what is open; what was not handed on is gone."""
        self._batch = None
        for transaction in self.transactions.values():
            transaction.rollback()
        self.transactions.clear()
        self._once.clear()
