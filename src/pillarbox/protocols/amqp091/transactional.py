"""A channel in transaction mode: publishes and answers wait for tx.commit or tx.rollback.

tx.select turns a channel into one of these, for as long as it lives, so that other channels take no step for
transactions. What is collected and how it takes effect stands in `broker.transaction`. Here: when commit-ok
is sent, what comes before it, and what may not come meanwhile.

Behaviour, as RabbitMQ 3.13 has it: a message is routed when it is published, so a missing exchange is refused
at once, but to the names of queues; basic.return comes at the commit, before commit-ok, also for what had a
queue that is gone by then. An unknown tag is refused at once, and so is one that is answered in this
transaction already. A rollback makes what was answered unanswered again. basic.get, consumers without
acknowledgements and basic.recover are not part of transactions. If a full queue refuses messages (R47), the
rest of the commit takes effect, and the channel is closed with 406. If something is to go back to a stream,
the connection is, with 540. The end of the channel is a rollback. Not as RabbitMQ: a direct reply (R70) waits
for the commit too, where RabbitMQ lets it go at once.

Source: AMQP 0-9-1 class tx (90); RabbitMQ's `rabbit_channel`; row R62. Invariant: commit-ok leaves when all
that the commit has stored is durable.
"""

from __future__ import annotations

from bisect import bisect_left
from struct import Struct
from typing import TYPE_CHECKING

from pillarbox.broker.confirm import Publisher
from pillarbox.broker.counters import SIZE_BOUNDS
from pillarbox.broker.ledger import Outcome, UnknownDelivery
from pillarbox.broker.transaction import Transaction
from pillarbox.errors import BrokerError
from pillarbox.protocols.amqp091 import methods
from pillarbox.protocols.amqp091.channel import Channel
from pillarbox.protocols.amqp091.errors import AmqpError, from_broker_error

if TYPE_CHECKING:
    from pillarbox.engine.base import Message
    from pillarbox.protocols.amqp091.publishing import Target

_uint32 = Struct(">I").unpack_from


class TransactionalChannel(Channel):
    """See the module. Never made, but become: see `begin`."""

    transactional = True
    transaction: Transaction
    committer: Publisher
    """Counts commits: what the journal confirms to it is a commit."""
    committing: bool
    """Between a tx.commit that brings messages to queues and its commit-ok."""
    partial: bool
    """A full queue has refused some of what is being committed."""

    def frame(self, kind: int, payload: bytes) -> None:
        """As every channel does, but nothing other than the end of the channel may overtake a commit."""
        if self.committing and not self.closing:
            method_id = _uint32(payload)[0] if kind == 1 else 0
            if method_id != methods.CHANNEL_CLOSE:
                raise AmqpError(504, "unexpected command while processing 'tx.commit'", method_id)
        super().frame(kind, payload)

    @property
    def messages_uncommitted(self) -> int:
        """See `ClientChannel`."""
        return self.transaction.message_count

    @property
    def acks_uncommitted(self) -> int:
        return self.transaction.answer_count

    # --- what waits for the commit -----------------------------------------------------------------

    def publish_run(
        self,
        target: Target,
        messages: list[Message],
        body_bytes: int,
        persistent: bool,
        expiring: bool,
        prioritized: bool,
        message_bytes: int,
    ) -> None:
        """Keep a run of messages until the commit. Closes the channel if they are too many."""
        if self.closing:
            return
        try:
            self.transaction.publish(
                target.counters,
                target.queues,
                messages,
                body_bytes,
                persistent=persistent,
                expiring=expiring,
                prioritized=prioritized,
                mandatory=target.mandatory,
                message_bytes=message_bytes,
            )
        except BrokerError as error:
            self.fail(from_broker_error(error, methods.BASIC_PUBLISH))
            return
        count = len(messages)
        self.counters.publish += count
        sizes = self.core.sizes
        sizes.counts[bisect_left(SIZE_BOUNDS, body_bytes // count)] += count
        sizes.body_bytes += body_bytes
        if not target.queues:
            self.counters.unroutable += count
        if self.core.held:
            self.connection.published_while_held()

    def unroutable(self, message: Message) -> None:
        """It is given back at the commit."""

    def acknowledge(self, tag_first: int, tag_last: int) -> None:
        """basic.ack for each of these tags."""
        try:
            self.transaction.settle_range(self.ledger, tag_first, tag_last, Outcome.ACCEPTED)
        except UnknownDelivery as error:
            self.fail(AmqpError(406, str(error), methods.BASIC_ACK))

    def acknowledge_all(self, tag: int) -> None:
        """basic.ack with `multiple`."""
        try:
            self.transaction.settle(self.ledger, tag, True, Outcome.ACCEPTED)
        except UnknownDelivery as error:
            self.fail(AmqpError(406, str(error), methods.BASIC_ACK))

    def settle(self, tag: int, multiple: bool, outcome: Outcome, method_id: int) -> None:
        """basic.ack, nack and reject one by one."""
        try:
            self.transaction.settle(self.ledger, tag, multiple, outcome)
        except UnknownDelivery as error:
            raise AmqpError(406, str(error), method_id) from None

    # --- its end -----------------------------------------------------------------------------------

    def commit(self) -> None:
        """tx.commit. Raises BrokerError if storage has failed, or something is to go back to a stream."""
        if self.reads_streams:
            self.transaction.demand_returnable()
        committed = self.transaction.commit()
        for message in committed.unroutable:
            super().unroutable(message)
        if committed.routed:
            self.committing = True
            self.partial = committed.refused
            self.plain = False
        elif committed.stored:
            # RabbitMQ answers at once when nothing was published, so what comes next is no fault: it waits.
            self.stall()
        else:
            self.send_method(methods.TX_COMMIT_OK)
            return
        self.core.confirms.accept(self.committer, 1, committed.stored)

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """See `Sink`: what was committed is durable."""
        if self.closing:
            return
        if self.committing:
            self.committing = False
            if self.partial:
                self.fail(AmqpError(406, "partial tx completion", methods.TX_COMMIT))
            else:
                self.plain = True
                self.send_method(methods.TX_COMMIT_OK)
        else:
            self.go_on(lambda: self.send_method(methods.TX_COMMIT_OK))

    def rollback(self) -> None:
        """tx.rollback."""
        self.transaction.rollback()
        self.send_method(methods.TX_ROLLBACK_OK)

    def end(self) -> None:
        """Give back deliveries and consumers, those that were answered without a commit included."""
        self.transaction.rollback()
        super().end()


def begin(channel: Channel) -> None:
    """Turn a channel into a transactional one (tx.select); it keeps all it has."""
    channel.__class__ = TransactionalChannel
    assert isinstance(channel, TransactionalChannel)
    channel.transaction = Transaction(channel.core, channel.session.vhost)
    channel.committer = Publisher(channel)
    channel.committing = channel.partial = False
