"""What a client gets: messages of its queues as PUBLISH, and its answers as settlements.

A packet identifier is the message's sequence in its queue, cut to 16 bits. So a message that is sent again,
even by a broker that was restarted, has the identifier under which its receiver may know it, and nothing has
to be kept for that. Only where that identifier is in use (the message 65,535 before is not answered yet, or
two queues feed one client) another one is taken, and a crash then may show a message of QoS 2 twice.

Source: MQTT 5.0, 4.3, 4.4, 4.6, 4.9; row R141.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.lean import NO_DICT
from pillarbox.broker.ledger import Outcome
from pillarbox.broker.returning import give_back
from pillarbox.engine.base import NO_EXPIRATION
from pillarbox.protocols.mqtt import packets, stored, topics
from pillarbox.protocols.mqtt.primitives import integer, text
from pillarbox.protocols.mqtt.properties import PUBACK, PUBREL, Properties
from pillarbox.protocols.mqtt.reasons import ReasonCode
from pillarbox.protocols.mqtt.sessions import Grant, Subscribed, shared_queue_name

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.broker.session import Session
    from pillarbox.engine.base import Message
    from pillarbox.errors import Reason
    from pillarbox.protocols.mqtt.connection import Connection

PREFETCH_MAX: Final = 1000
"""Messages of QoS 1 and 2 under way to one client, whatever it allows."""

IDENTIFIERS: Final = 0xFFFF

UNKNOWN: Final = (0, 0)
"""What is said of an identifier under which nothing is under way."""

BARE_PUBACK: Final = bytes((packets.ANSWER_FIRSTS[PUBACK], packets.BARE_BYTES))

_uint16 = Struct(">H").pack

MAIN: Final = "subscriptions"
"""The tag of the consumer of a session's own queue; a shared one has its filter."""


class Form(NamedTuple):
    """What messages that look alike have in common as they are written."""

    first: bytes
    topic: bytes
    properties: bytes
    qos: int


class Share(NamedTuple):
    """How a client gets what a shared subscription takes."""

    pattern: str
    grant: Grant


class Outbound:
    """See the module; it is the `Sink` of its consumers, and what is shown of the connection as a channel."""

    __slots__ = (
        "__weakref__",
        "_answered_first",
        "_answered_last",
        "_connection",
        "_core",
        "_out",
        "consumers",
        "counters",
        "ledger",
        "pool",
        "publisher",
        "session",
    )
    number = 1
    prefetch = 0
    transactional = False
    messages_uncommitted = 0
    acks_uncommitted = 0

    def __init__(self, connection: Connection, session: Session, receive_max: int) -> None:
        self._connection = connection
        self._core = connection.head.core
        self.session = session
        self.publisher = connection.inbound.publisher
        self.ledger = self._core.make_ledger()
        self.counters = self.ledger.counters
        self.pool = Pool(min(receive_max, PREFETCH_MAX))
        """All that is under way to this client, from whatever queue (receive maximum): of QoS 2 until PUBCOMP
        has come (4.9), also where that began on an earlier connection. So identifiers never run out."""
        assert connection.state is not None
        self.pool.credit -= len(connection.state.released)
        self.consumers: dict[str, Consumer] = NO_DICT
        self._out: dict[int, tuple[int, int]] = NO_DICT
        """Tag and quality of service of what is under way, by packet identifier."""
        self._answered_first, self._answered_last = 0, -1
        """Deliveries that were answered and are not settled yet: they follow one another."""

    def __repr__(self) -> str:
        return f"<Outbound consumers={len(self.consumers)} out={len(self._out)}>"

    # --- queues --------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Receive from the session's own queue, if it has one; made again when it has to be answered now."""
        state = self._connection.state
        assert state is not None
        own = [one for raw, one in state.subscriptions.items() if not raw.startswith(topics.SHARED)]
        no_ack = not any(one.options.qos for one in own) and not state.is_kept
        present = self.consumers.get(MAIN)
        if present is not None and (present.no_ack == no_ack or not present.no_ack):
            return
        if present is not None:
            self.session.cancel(self.consumers.pop(MAIN))
        if own:
            self._consume(MAIN, state.queue_name, no_ack=no_ack)

    def attend_shared(self, subscribed: Subscribed) -> None:
        """Receive from the queue of a shared subscription."""
        raw = subscribed.options.filter
        if raw not in self.consumers:
            self._consume(raw, shared_queue_name(subscribed.parsed), no_ack=False)
        self.consumers[raw].head = Share(subscribed.parsed.pattern, subscribed.grant)

    def _consume(self, tag: str, queue: str, *, no_ack: bool) -> None:
        consumer = self.session.consume(
            queue,
            self,
            self.ledger,
            tag=tag,
            no_ack=no_ack,
            exclusive=False,
            prefetch=0,
            pool=self.pool,
            priority=0,
            arguments=NO_DICT,
        )
        if self.consumers is NO_DICT:
            self.consumers = {}
        self.consumers[tag] = consumer

    def leave_shared(self, raw: str) -> None:
        """Receive no more of a shared subscription; what is under way may still be answered."""
        consumer = self.consumers.pop(raw, None)
        if consumer is not None:
            self.session.cancel(consumer)

    def end(self) -> None:
        """Give back what is under way, and the consumers."""
        self.flush()
        consumers, self.consumers = self.consumers, NO_DICT
        self._out = NO_DICT
        give_back(self._core.chores, self.ledger)
        self.session.cancel_all(consumers.values())
        self.session.remove_channel(self)

    def rest(self) -> None:
        """Nothing has come from the client for a while: take no more memory than is needed."""
        if not self._out:
            self._out = NO_DICT
        self.ledger.rest()
        for consumer in self.consumers.values():
            consumer.queue.rest()

    def close(self) -> None:
        """The socket is gone, and `end` was before."""
        del self._connection, self.session

    # --- deliveries ------------------------------------------------------------------------------------

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        """Send a run; what asks for no answer, or is not wanted any more, is settled at once.

        What messages of one topic with the same properties have in common is worked out once, and what stands
        in front of bodies of one size.
        """
        assert run.messages is not None
        shared: Share | None = consumer.head
        alike: Message | None = None
        form: Form | None = None
        head: bytes | None = None
        size = -1
        written: list[bytes | bytearray] = []
        # Consecutive tags that are settled here: from `first` up to the one before `tag`.
        first = tag = tag_first
        unsent = unsent_bytes = 0
        for position, message in enumerate(run.messages):
            if (
                alike is None
                or message.address is not alike.address
                or message.properties is not alike.properties
                or message.expiration_ms != NO_EXPIRATION
            ):
                alike, form = message, self._form(message, run.redelivered, shared)
                size = -1
            body = message.body
            if len(body) != size:
                size = len(body)
                head = self._head(form, size)
            tag = tag_first + position
            if head is None:
                unsent += 1
                unsent_bytes += size
            elif not form.qos:  # type: ignore[union-attr]
                written += (head, body)
            else:
                assert form is not None
                packet_id = self._identify(run.sequences[position], tag, form.qos)
                written += (head, _uint16(packet_id), form.properties, body)
                if first < tag:
                    self.ledger.settle_range(first, tag - 1, Outcome.ACCEPTED)
                first = tag + 1
        if first <= tag and not consumer.no_ack:
            self.ledger.settle_range(first, tag, Outcome.ACCEPTED)
        traffic = self._connection.head.traffic
        traffic.publishes_out += len(run.messages) - unsent
        traffic.payload_out += run.body_bytes - unsent_bytes
        if written:
            self._connection.send(b"".join(written), len(run.messages) - unsent)

    def _form(self, message: Message, redelivered: bool, shared: Share | None) -> Form | None:
        """How messages like this one are written; None: the client does not want them, or not any more, or
        their routing key is no topic."""
        connection = self._connection
        state = connection.state
        assert state is not None
        topic = topics.topic_of(message.address.routing_key)
        if message.address.origin != stored.ORIGIN:
            if not topics.is_name(topic):
                return None
            message = self._core.dialects.translated(message, stored.ORIGIN)
        facts = stored.facts(message)
        # A filter takes less than its binding, for which a `*` is a wildcard, and a `$` nothing special.
        if shared is None:
            grant = state.grant(topic, own=facts.sender == state.client_id)
        else:
            grant = shared.grant if topics.matches(shared.pattern, topic) else None
        if grant is None:
            return None
        qos = min(facts.qos, grant.qos)
        retain = facts.retained or (facts.retain and grant.retain_as_published)
        properties = self._properties(message, facts, grant) if connection.version >= packets.V5 else b""
        first = packets.publish_first(qos=qos, retain=retain, duplicate=bool(qos) and redelivered)
        return Form(first, text(topic), properties, qos)

    def _head(self, form: Form | None, body_size: int) -> bytes | None:
        """What stands in front of a body of this size, or of an identifier, which QoS 1 and 2 have.

        None: it is not wanted, or too large for this client. To it, that does not exist (3.1.2.11.4).
        """
        if form is None:
            return None
        first, topic, properties, qos = form
        size = len(topic) + len(properties) + body_size
        if qos:
            size += 2
            properties = b""
        before = first + integer(size)
        if len(before) + size > self._connection.packet_bytes_max:
            return None
        return before + topic + properties

    def _properties(self, message: Message, facts: stored.Facts, grant: Grant) -> bytes:
        more: Properties = {}
        seconds = stored.seconds_left(message, self._core.changes.now_ms)
        if seconds is not None:
            more["message_expiry_interval"] = seconds
        if grant.identifiers:
            more["subscription_identifier"] = list(grant.identifiers)
        return stored.with_more(facts.properties, more) if more else facts.properties

    def _identify(self, sequence: int, tag: int, qos: int) -> int:
        """The identifier under which a message goes out, which is to be answered."""
        state = self._connection.state
        assert state is not None
        out, released = self._out, state.released
        if out is NO_DICT:
            out = self._out = {}
        packet_id = sequence % IDENTIFIERS + 1
        while packet_id in out or packet_id in released:
            packet_id = packet_id % IDENTIFIERS + 1
        out[packet_id] = (tag, qos)
        return packet_id

    # --- answers -----------------------------------------------------------------------------------------

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK: the client has a message of QoS 1. One that nobody knows is of an earlier connection."""
        _, qos = self._out.get(packet_id, UNKNOWN)
        if qos == 1:
            self._settle(packet_id)

    def take_acknowledgements(self, data: bytes, at: int) -> int:
        """Take the PUBACKs from this place on that say nothing but which message they are for; return where
        anything else begins."""
        out = self._out
        last = len(data) - packets.BARE_PACKET_BYTES
        while at <= last and data.startswith(BARE_PUBACK, at):
            packet_id = data[at + 2] << 8 | data[at + 3]
            if not packet_id:
                break
            at += packets.BARE_PACKET_BYTES
            tag, qos = out.get(packet_id, UNKNOWN)
            if qos == 1:
                del out[packet_id]
                if tag != self._answered_last + 1:
                    self.flush()
                    self._answered_first = tag
                self._answered_last = tag
        return at

    def received(self, packet_id: int, reason: int) -> None:
        """PUBREC: the client has a message of QoS 2, or will not take it."""
        connection = self._connection
        state = connection.state
        assert state is not None
        _, qos = self._out.get(packet_id, UNKNOWN)
        if qos == 2:
            self._settle(packet_id)
            if reason >= ReasonCode.UNSPECIFIED:
                return
            state.add_released(packet_id)
            # What settling it gives back is for PUBCOMP to give.
            self.pool.credit -= 1
        if packet_id in state.released:
            connection.answer_when_durable(PUBREL, packet_id)
        elif reason < ReasonCode.UNSPECIFIED:
            not_found = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            connection.send(packets.answer(PUBREL, packet_id, connection.version, not_found))

    def completed(self, packet_id: int) -> None:
        """PUBCOMP: the client has forgotten the identifier."""
        state = self._connection.state
        assert state is not None
        if packet_id in state.released:
            state.drop_released(packet_id)
            if self.pool.waiting:
                self.pool.give_back(1)
            else:
                self.pool.credit += 1

    def _settle(self, packet_id: int) -> None:
        tag, _ = self._out.pop(packet_id)
        if tag != self._answered_last + 1:
            self.flush()
            self._answered_first = tag
        self._answered_last = tag

    def flush(self) -> None:
        """Settle what was answered."""
        first, last = self._answered_first, self._answered_last
        self._answered_first, self._answered_last = 0, -1
        if first:
            self.ledger.settle_range(first, last, Outcome.ACCEPTED)

    # --- the rest of a sink ------------------------------------------------------------------------------

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """Its queue was deleted, or may not be read any more: the client is told by the end (4.8)."""
        self.consumers.pop(consumer.tag, None)
        self._connection.refuse(ReasonCode.ADMINISTRATIVE_ACTION, "the queue of a subscription has gone")

    def time_answers(self, queue: Queue) -> None:
        """MQTT sends nothing again on one connection, however long an answer takes (4.4)."""

    def confirm(self, tag_first: int, tag_last: int) -> None:
        raise AssertionError("nothing is published here")

    def refuse(self, tag_first: int, tag_last: int) -> None:
        raise AssertionError("nothing is published here")

    def disconnect(self, reason: Reason, text: str) -> None:
        raise AssertionError("nothing is published here")
