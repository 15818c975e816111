"""One AMQP 0-9-1 channel: content assembly, publishing, deliveries, confirms, its close. Sans I/O.

What the methods do stands in `commands`. A soft error closes the channel and is answered here; hard ones
are raised to the connection. After a soft error everything on the channel is dropped until close-ok.

Source: AMQP 0-9-1 specification, classes channel and basic; rows R26, R27, R60, R61, R66, R70.
Invariant: `plain` is true only while the channel is open and expects a method: the hot path asks it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.ack_timeout import AckTimeout
from pillarbox.broker.confirm import Publisher
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.counters import SIZE_BOUNDS
from pillarbox.broker.ledger import Outcome, UnknownDelivery
from pillarbox.broker.outside import Undecided
from pillarbox.broker.returning import ENTRIES_AT_ONCE, give_back
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import NO_EXPIRATION, Address, Body, Message
from pillarbox.errors import BrokerError, Reason
from pillarbox.profiles import LARGE_MESSAGE
from pillarbox.protocols.amqp091 import commands, methods, wire
from pillarbox.protocols.amqp091.deaths import with_counts
from pillarbox.protocols.amqp091.errors import AmqpError, from_broker_error, from_wire_error
from pillarbox.protocols.amqp091.interceptors import intercept
from pillarbox.protocols.amqp091.publishing import (
    NATIVE,
    ORIGIN,
    OWN_DEATHS,
    Target,
    envelope_of,
    with_reply_to,
    without_header,
)

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.ledger import Entry
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.broker.session import Session
    from pillarbox.protocols.amqp091.connection import Connection
    from pillarbox.protocols.amqp091.publishing import Facts, PublishRoute

HEADS_MAX = 1024
"""Pairs of frame heads that a channel keeps, one per combination of property and body size."""

KEYS_MAX = 256
"""Routing keys in a CC or BCC header, each of which is routed by itself: a millisecond or two for all.
RabbitMQ has no bound."""

_uint32 = Struct(">I").unpack_from
_uint16 = Struct(">H").unpack_from
_header_start = Struct(">HHQ").unpack_from
_tag = Struct(">Q").pack
_ack_frame = Struct(">BHIIQ?c").pack
_method_head = Struct(">BHIIB").pack
_header_head = Struct(">BHIHHQ").pack
_body_head = Struct(">BHI").pack
_FRAME_END = b"\xce"


class Content:
    """A publish whose frames are still arriving."""

    __slots__ = ("body", "key", "properties", "size")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.properties: bytes | None = None
        self.size = 0
        self.body = bytearray()


class Channel:
    """See the module; it is the `Sink` of its consumers and of its publisher."""

    reads_streams = False
    """Has, or had, a consumer of a stream, to which nothing can be given back."""

    transactional = False
    """Publishes and answers wait for a commit: see `transactional`."""

    def __init__(self, connection: Connection, session: Session, number: int) -> None:
        self.connection = connection
        self.session = session
        self.core = session.core
        self.number = number
        self.plain = False
        self.opened = False
        self.closing = False
        self.ledger = self.core.make_ledger()
        self.counters = self.ledger.counters
        self.consumers: dict[str, Consumer] = {}
        self.pool = Pool()
        self.prefetch = 0
        self.publisher: Publisher | None = None
        self.last_queue: str | None = None
        self.reply_queue: str | None = None
        """The name behind `amq.rabbitmq.reply-to` on this channel (R70)."""
        self._content: Content | None = None
        self._crossed = False
        self._busy = False
        """A method of this channel is being done."""
        self._cancelled: deque[str] = deque()
        """Tags of consumers whose queue has gone, to be told when the method at hand is answered."""
        self._stalled: deque[tuple[int, bytes]] | None = None
        self.crowded = False
        """Stalled only because there is no room for answers: `go_on` when there is."""
        self._heads: dict[int, tuple[bytes, bytes]] = {}
        self._ack_timeout: AckTimeout | None = None
        """The watch over deliveries that are not answered, where there is a limit (R54)."""

    def __repr__(self) -> str:
        return f"<Channel {self.number} consumers={len(self.consumers)} out={self.ledger.count}>"

    @property
    def messages_uncommitted(self) -> int:
        """See `ClientChannel`: only a transactional channel has any."""
        return 0

    @property
    def acks_uncommitted(self) -> int:
        return 0

    # --- frames in -----------------------------------------------------------------------------------

    def frame(self, kind: int, payload: bytes) -> None:
        """Act on one frame. Raises AmqpError for what closes the connection."""
        if self.closing:
            self._frame_while_closing(kind, payload)
        elif self._stalled is not None:
            self._stalled.append((kind, payload))
        else:
            try:
                self._frame(kind, payload)
            except AmqpError as error:
                if error.hard:
                    raise
                self.fail(error)

    def _frame_while_closing(self, kind: int, payload: bytes) -> None:
        """Only the two ends of the closing handshake count; all else was sent before the peer knew."""
        method_id = _uint32(payload)[0] if kind == 1 and len(payload) >= 4 else 0
        if method_id == methods.CHANNEL_CLOSE:
            # Both sides closed at once: the number is free, and the peer's close-ok may still come.
            self.send_method(methods.CHANNEL_CLOSE_OK)
            self._crossed = True
        elif method_id == methods.CHANNEL_CLOSE_OK:
            self.connection.channels.pop(self.number, None)
        elif method_id == methods.CHANNEL_OPEN:
            if not self._crossed:
                raise AmqpError(504, "second 'channel.open' seen", method_id)
            self.connection.reopen_channel(self.number, payload)

    def _frame(self, kind: int, payload: bytes) -> None:
        content = self._content
        if content is not None:
            self._content_frame(content, kind, payload)
        elif kind != 1:
            raise AmqpError(505, "expected method frame, got non method frame instead")
        else:
            self._method(_uint32(payload)[0], payload)

    def _method(self, method_id: int, payload: bytes) -> None:
        if method_id == methods.BASIC_PUBLISH:
            self._content = Content(payload[4:])
            self.plain = False
            return
        handler = commands.HANDLERS.get(method_id)
        if handler is None:
            raise AmqpError(503, "unimplemented method", method_id)
        self._busy = True
        try:
            handler(self, *methods.decode(method_id, payload, 4))
        except wire.WireError as error:
            raise from_wire_error(error, method_id) from None
        except BrokerError as error:
            raise from_broker_error(error, method_id) from None
        except Undecided as undecided:
            self._ask(undecided, lambda: self._method(method_id, payload))
        finally:
            self._busy = False
            while self._cancelled:
                self.send_method(methods.BASIC_CANCEL, self._cancelled.popleft(), True)

    def _content_frame(self, content: Content, kind: int, payload: bytes) -> None:
        if content.properties is None:
            expected = "expected content header for class 60, got"
            if kind != 2:
                text = f"{expected} non content header frame instead"
                raise AmqpError(505, text, methods.BASIC_PUBLISH)
            class_id = _uint16(payload)[0]
            if class_id != 60:
                text = f"{expected} one for class {class_id} instead"
                raise AmqpError(505, text, methods.BASIC_PUBLISH)
            _, _, content.size = _header_start(payload)
            content.properties = payload[12:]
            settings = self.connection.settings
            limit = settings.message_size_max
            if content.size > settings.message_size_noted and content.size <= limit:
                self.session.permits(LARGE_MESSAGE)
            if content.size > limit:
                text = f"message size {content.size} is larger than configured max size {limit}"
                raise AmqpError(406, text, methods.BASIC_PUBLISH)
        elif kind != 3 or len(content.body) + len(payload) > content.size:
            text = "expected content body, got non content body frame instead"
            raise AmqpError(505, text, methods.BASIC_PUBLISH)
        else:
            content.body += payload
        self._publish_if_whole(content)

    def _publish_if_whole(self, content: Content) -> None:
        if len(content.body) == content.size:
            assert content.properties is not None
            self._content = None
            self.plain = True
            self._publish(content.key, content.properties, content.body)

    def _publish(self, key: bytes, properties: bytes, body: Body) -> None:
        try:
            self.publish(key, properties, body)
        except BrokerError as error:
            raise from_broker_error(error, methods.BASIC_PUBLISH) from None
        except Undecided as undecided:
            self._ask(undecided, lambda: self._publish(key, properties, body))

    def expects_body(self, length: int) -> bool:
        """May a body frame of this length come next?"""
        content = self._content
        return (
            content is not None
            and content.properties is not None
            and len(content.body) + length <= content.size
            and not self.closing
        )

    @property
    def body_missing(self) -> int:
        """How many bytes of a body have yet to come."""
        content = self._content
        return content.size - len(content.body) if content is not None else 0

    def body_piece(self, piece: memoryview) -> None:
        """Take a part of a body frame that `expects_body` allowed."""
        if self._content is not None:
            self._content.body += piece

    def body_last(self, size: int) -> bytes:
        """The last bytes of the body so far, for words about a frame that was wrong."""
        return bytes(self._content.body[-size:]) if self._content is not None else b""

    def body_frame_ended(self) -> None:
        """The frame whose pieces came is over."""
        content = self._content
        if content is not None:
            try:
                self._publish_if_whole(content)
            except AmqpError as error:
                if error.hard:
                    raise
                self.fail(error)

    def stall(self) -> None:
        """Let frames wait until `go_on`: an answer must come first, and takes a while."""
        self._stalled = deque()
        self.plain = False

    def go_on(self, first: Callable[[], None] | None = None) -> None:
        """Do what the frames waited for, then process them as far as there is room for the answers.

        What they are is for the connection to say: the channel may be closed by one of them, and its number
        be opened again by the next.
        """
        stalled, self._stalled = self._stalled or (), None
        self.plain = not self.closing
        self.crowded = False
        connection = self.connection
        try:
            self._answer_late(first)
            for kind, payload in stalled:
                if self._stalled is None and not self.closing and not connection.has_room:
                    self.stall()
                    self.crowded = True
                connection.channel_frame(kind, self.number, payload)
        except AmqpError as error:
            connection.fail(error)
        connection.stall_over()

    def _ask(self, undecided: Undecided, again: Callable[[], None]) -> None:
        """Do this again when somebody outside has said whether it is allowed (R8); what comes next waits."""

        def done_again() -> None:
            try:
                if not self.closing:
                    again()
            except AmqpError as error:
                if error.hard:
                    raise
                self.fail(error)
            finally:
                self.core.users.outside.over()

        self.stall()
        self.connection.ask(undecided, lambda: self.go_on(done_again))

    @property
    def stalled(self) -> bool:
        """Do frames wait that will mean something?"""
        return self._stalled is not None and not self.closing

    def answer_when_done(self, method_id: int, *arguments: Any) -> None:
        """Answer when the core has done what it does in parts; the channel waits meanwhile."""

        def answer() -> None:
            if not self.closing:
                self.go_on(lambda: self.send_method(method_id, *arguments))

        if self.core.chores.under_way:
            self.stall()
            self.core.chores.when_done(answer)
        else:
            self.send_method(method_id, *arguments)

    def _answer_late(self, first: Callable[[], None] | None) -> None:
        """Do what came first, with the meaning that errors have in `frame`."""
        try:
            if first is not None:
                first()
        except BrokerError as refusal:
            error = from_broker_error(refusal, methods.BASIC_GET)
            if error.hard:
                raise error from None
            self.fail(error)
        except Undecided as undecided:
            assert first is not None
            self._ask(undecided, first)

    # --- publishing ------------------------------------------------------------------------------------

    def publish(self, key: bytes, properties: bytes, body: Body) -> None:
        """Publish one message, whatever it needs: the slow path, and the meaning of the fast one.

        `key` is the bytes of basic.publish's arguments. Raises AmqpError or BrokerError.
        """
        connection = self.connection
        route = connection.routes.get(key)
        if route is None or not route.stamp.valid:
            route = connection.resolve(key)
        facts = connection.facts.get(properties) or connection.examine(properties)
        if facts.fault is not None:
            raise AmqpError(*facts.fault, methods.BASIC_PUBLISH)
        if facts.intercepted:
            now_ms = self.core.changes.now_ms
            properties = intercept(properties, connection.settings.interceptors, now_ms)
        target, address, properties, remember = self._special(route, facts, properties)
        if facts.has_deaths:
            address = msgspec.structs.replace(address, origin=OWN_DEATHS)
        message = Message(
            address,
            properties,
            body,
            self.core.changes.now_ms,
            facts.expiration_ms,
            facts.persistent,
            facts.priority,
        )
        if target.mandatory and not target.queues:
            self.unroutable(message)
        expiring = facts.expiration_ms != NO_EXPIRATION
        message_bytes = MESSAGE_BYTES + len(properties)
        connection.unshared_bytes = 0
        self.publish_run(
            target, [message], len(body), facts.persistent, expiring, facts.priority > 0, message_bytes
        )
        if remember is not None:
            remember(message)

    def _special(
        self, route: PublishRoute, facts: Facts, properties: bytes
    ) -> tuple[Target, Address, bytes, Callable[[Message], None] | None]:
        """Apply what a message itself says about its route: CC and BCC, its envelope, reply-to.

        Returns where it goes, its address and properties as they are handed on, and whom to tell of it then.
        """
        target = route.target
        address = route.address
        remember = None
        if facts.selects_keys or route.per_message:
            envelope = envelope_of(properties, facts)
            headers = envelope.headers
            copies, hidden = _selected(headers, "CC"), _selected(headers, "BCC")
            keys = (address.routing_key, *copies, *hidden)
            source, resolved = self.session.route(route.address.exchange, keys, envelope)
            target = self.connection.target(source, resolved.queues, mandatory=target.mandatory)
            if resolved.histories:
                remember = partial(resolved.remember, keys, envelope)
            if "BCC" in headers:
                properties = without_header(properties, "BCC")
                address = Address(ORIGIN, address.exchange, address.routing_key, hidden)
        if facts.replies_directly:
            if self.reply_queue is None:
                text = "fast reply consumer does not exist"
                raise AmqpError(406, text, methods.BASIC_PUBLISH)
            properties = with_reply_to(properties, self.reply_queue)
        return target, address, properties, remember

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
        """Hand a run of messages to the core. Raises AmqpError if they had to be stored and cannot be."""
        count = len(messages)
        try:
            stored, refused = self.core.publish(
                target.queues,
                messages,
                body_bytes,
                persistent=persistent,
                expiring=expiring,
                prioritized=prioritized,
                message_bytes=message_bytes,
            )
        except BrokerError as error:
            raise from_broker_error(error, methods.BASIC_PUBLISH) from None
        self.counters.publish += count
        sizes = self.core.sizes
        sizes.counts[bisect_left(SIZE_BOUNDS, body_bytes // count)] += count
        sizes.body_bytes += body_bytes
        if not target.queues:
            self.counters.unroutable += count
        if self.core.held:
            self.connection.published_while_held()
        target.counters.publish_in += count
        target.counters.publish_out += count * len(target.queues)
        if self.publisher is not None:
            self.core.confirms.accept(self.publisher, count, stored, refused)

    def unroutable(self, message: Message) -> None:
        """No queue wants a message whose publisher asked to know: it is returned before its confirm (R27)."""
        self.counters.return_unroutable += 1
        self.send_return(message)

    def send_return(self, message: Message) -> None:
        """basic.return 312 NO_ROUTE."""
        exchange, key = _names(message.address)
        self.send_method(methods.BASIC_RETURN, 312, "NO_ROUTE", exchange, key)
        self.connection.send(b"".join(self.content_frames(message)))

    # --- deliveries ------------------------------------------------------------------------------------

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        """Send a run as basic.deliver: per message one pack and five parts of a join, as long as they are
        alike in all but their bodies."""
        connection = self.connection
        connection.handed_out(run.body_bytes)
        if not connection.out:
            connection.on_output()
        out = connection.out
        body_max = connection.frame_max - 8
        flag = b"\x01" if run.redelivered else b"\x00"
        ends_of = consumer.head
        heads = self._heads
        tag = tag_first
        address: Address | None = None
        properties: bytes | None = None
        alike_size = -1
        start = end = middle = b""
        messages = run.messages
        assert messages is not None
        if run.counts is not None:
            messages = with_counts(map(self.native, messages), run)
        for message in messages:
            body = message.body
            size = len(body)
            if size != alike_size or message.properties is not properties or message.address is not address:
                if message.address is not address:
                    address = message.address
                    ends = ends_of.get(address)
                    start, end = ends if ends is not None else self._deliver_ends(consumer, address)
                properties = written = message.properties
                alike_size = size
                if 0 < size <= body_max:
                    if address.origin not in NATIVE:
                        written = self.native(message).properties
                    sized = heads.get(len(written) << 32 | size) or self._content_heads(written, size)
                    header_head, body_head = sized
                    middle = (flag + end + header_head) + (written + body_head)
            if 0 < size <= body_max:
                out += (start, _tag(tag), middle, body, _FRAME_END)
            else:
                out += (start, _tag(tag), flag, end)
                out += self.content_frames(message)
            tag += 1

    def answer_get(self, queue: Queue, message: Message, tag: int, redelivered: bool) -> None:
        """basic.get-ok with a message of this queue."""
        exchange, key = _names(message.address)
        self.send_method(methods.BASIC_GET_OK, tag, redelivered, exchange, key, queue.ready_count)
        self.connection.send(b"".join(self.content_frames(message)))
        self.connection.handed_out(len(message.body))

    def _deliver_ends(self, consumer: Consumer, address: Address) -> tuple[bytes, bytes]:
        """What stands before and after tag and redelivered flag in basic.deliver; kept by the consumer."""
        tag = consumer.tag.encode()
        names = b"".join([_shortstr(name) for name in _names(address)])
        length = 4 + 1 + len(tag) + 9 + len(names)
        start = _method_head(1, self.number, length, methods.BASIC_DELIVER, len(tag)) + tag
        ends = (start, names + _FRAME_END)
        if len(consumer.head) >= HEADS_MAX:
            consumer.head.clear()
        consumer.head[address] = ends
        return ends

    def _content_heads(self, properties: bytes, size: int) -> tuple[bytes, bytes]:
        """The heads of a header frame and of a single body frame for these sizes."""
        header_head = _header_head(2, self.number, 12 + len(properties), 60, 0, size)
        body_head = _FRAME_END + _body_head(3, self.number, size)
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._heads[len(properties) << 32 | size] = header_head, body_head
        return header_head, body_head

    def native(self, message: Message) -> Message:
        """The message with properties as this protocol has them."""
        if message.address.origin in NATIVE:
            return message
        return self.core.dialects.translated(message, ORIGIN)

    def content_frames(self, message: Message) -> list[wire.Piece]:
        """Header and body frames of a message, as many as this connection's frame size asks for."""
        message = self.native(message)
        body = message.body
        header_head = _header_head(2, self.number, 12 + len(message.properties), 60, 0, len(body))
        parts: list[wire.Piece] = [header_head, message.properties, _FRAME_END]
        body_max = self.connection.frame_max - 8
        if len(body) <= body_max:
            if body:
                parts += (_body_head(3, self.number, len(body)), body, _FRAME_END)
            return parts
        # Views of a body that nobody changes, so that large ones are not copied once more.
        view = memoryview(body)
        for position in range(0, len(body), body_max):
            piece = view[position : position + body_max]
            parts += (_body_head(3, self.number, len(piece)), piece, _FRAME_END)
        return parts

    # --- answers ---------------------------------------------------------------------------------------

    def acknowledge(self, tag_first: int, tag_last: int) -> None:
        """basic.ack for each of these tags, as the hot path gathered them."""
        if tag_last - tag_first >= ENTRIES_AT_ONCE:
            self._in_parts(self._acknowledgements(tag_first, tag_last))
            return
        try:
            self.ledger.settle_range(tag_first, tag_last, Outcome.ACCEPTED)
        except UnknownDelivery as error:
            self.fail(AmqpError(406, str(error), methods.BASIC_ACK))

    def acknowledge_all(self, tag: int) -> None:
        """basic.ack with `multiple`: everything up to this tag, or (0) everything."""
        try:
            if self.ledger.count > ENTRIES_AT_ONCE:
                self.settle_many(tag, Outcome.ACCEPTED)
            else:
                self.ledger.settle(tag, True, Outcome.ACCEPTED)
        except UnknownDelivery as error:
            self.fail(AmqpError(406, str(error), methods.BASIC_ACK))

    def settle(self, tag: int, multiple: bool, outcome: Outcome, method_id: int) -> None:
        """basic.ack, nack and reject one by one."""
        if self.reads_streams and outcome is not Outcome.ACCEPTED:
            commands.demand_returnable(self, tag, multiple)
        try:
            if multiple:
                self.settle_many(tag, outcome)
            else:
                self.ledger.settle(tag, False, outcome)
        except UnknownDelivery as error:
            raise AmqpError(406, str(error), method_id) from None

    def settle_many(self, tag: int, outcome: Outcome) -> None:
        """Settle everything up to this tag, or (0) everything; the channel waits until it is done.

        Raises UnknownDelivery.
        """
        parts = self.ledger.settle_in_parts(tag, outcome)
        if parts is not None:
            self._in_parts(parts)

    def _acknowledgements(self, tag_first: int, tag_last: int) -> Parts:
        """basic.ack for very many tags."""
        try:
            for first in range(tag_first, tag_last + 1, ENTRIES_AT_ONCE):
                last = min(first + ENTRIES_AT_ONCE - 1, tag_last)
                self.ledger.settle_range(first, last, Outcome.ACCEPTED)
                yield
        except UnknownDelivery as error:
            self.fail(AmqpError(406, str(error), methods.BASIC_ACK))

    def _in_parts(self, parts: Parts) -> None:
        """Do what is much over some ticks; what comes next on the channel waits until it is done."""
        self.stall()
        self.ledger.busy = True

        def all_parts() -> Parts:
            yield from parts
            self.ledger.busy = False
            if self.connection.channels.get(self.number) is self:
                self.go_on()

        self.core.chores.begin(all_parts())

    def commit(self) -> None:
        """tx.commit, which only a transactional channel can do."""
        raise BrokerError(Reason.PRECONDITION_FAILED, "channel is not transactional")

    def rollback(self) -> None:
        """tx.rollback, likewise."""
        raise BrokerError(Reason.PRECONDITION_FAILED, "channel is not transactional")

    def time_answers(self, queue: Queue) -> None:
        """See `Sink`: close the channel when a delivery of this queue is not answered in time (R54)."""
        core = self.core
        if self._ack_timeout is None:
            self._ack_timeout = AckTimeout(
                core.scheduler, self.ledger, core.ack_timeout_ms, self._answer_overdue
            )
        self._ack_timeout.watch(queue, core.changes.now_ms)

    def _answer_overdue(self, entry: Entry, limit_ms: int) -> None:
        text = (
            f"delivery acknowledgement on channel {self.number} timed out. "
            f"Timeout value used: {limit_ms} ms. "
            "This timeout value can be configured, see consumers doc guide to learn more"
        )
        self.core.warn(f"queue {entry.lane.queue.name!r}, delivery tag {entry.tag_first}: {text}")
        self.fail(AmqpError(406, text))

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """See `Sink`."""
        if not self.closing:
            self.counters.confirm += tag_last - tag_first + 1
            frame = _ack_frame(
                1, self.number, 13, methods.BASIC_ACK, tag_last, tag_first != tag_last, b"\xce"
            )
            self.connection.send(frame)

    def refuse(self, tag_first: int, tag_last: int) -> None:
        """See `Sink`: basic.nack, whose last bit says nothing to a publisher; RabbitMQ sets it."""
        if not self.closing:
            self.send_method(methods.BASIC_NACK, tag_last, tag_first != tag_last, True)

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """See `Sink`: the queue is gone (R64), or the right to read it (R8)."""
        self.consumers.pop(consumer.tag, None)
        if self.connection.client_capabilities.get("consumer_cancel_notify"):
            if self._busy:
                # Who deletes the queue hears first that it is deleted.
                self._cancelled.append(consumer.tag)
            else:
                self.send_method(methods.BASIC_CANCEL, consumer.tag, True)

    def disconnect(self, reason: Reason, text: str) -> None:
        """See `Sink`."""
        self.connection.fail(from_broker_error(BrokerError(reason, text), methods.BASIC_PUBLISH))

    def send_method(self, method_id: int, *arguments: Any) -> None:
        """Queue one method frame on this channel."""
        self.connection.send(methods.method_frame(self.number, method_id, *arguments))

    # --- the end ---------------------------------------------------------------------------------------

    def fail(self, error: AmqpError) -> None:
        """Close the channel because of this error; the peer answers with close-ok."""
        if self.closing:
            return
        self.end()
        class_id, method_id = error.method_id >> 16, error.method_id & 0xFFFF
        self.send_method(methods.CHANNEL_CLOSE, error.code, wire.clipped(error.text), class_id, method_id)
        if self._stalled:
            # They waited for an answer that nobody will get; an end among them is to be heard.
            self.go_on()
        else:
            self.connection.stall_over()

    def answer_close(self) -> None:
        """channel.close-ok: everything is given back, and the number is free, if nothing else ended it."""
        channels = self.connection.channels
        if channels.get(self.number) is self:
            del channels[self.number]
            self.send_method(methods.CHANNEL_CLOSE_OK)

    def end(self) -> None:
        """Give back deliveries (if they are many, over some ticks) and consumers; nothing is sent."""
        self.closing = True
        self.plain = False
        self._content = None
        consumers, self.consumers = self.consumers, {}
        give_back(self.core.chores, self.ledger)
        self.session.cancel_all(consumers.values())
        self.session.remove_channel(self)
        if self.reply_queue is not None:
            self.session.drop_reply_queue(self.reply_queue)
        self._ack_timeout = None


def _names(address: Address) -> tuple[str, str]:
    """Exchange and routing key as receivers are told them: the beginning of what is too long."""
    return wire.shortened(address.exchange), wire.shortened(address.routing_key)


def _shortstr(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _selected(headers: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Sender-selected routing keys (R26): the strings in the array of this header."""
    if name not in headers:
        return ()
    value = headers[name]
    if not isinstance(value, list):
        text = f'invalid message: {{unacceptable_type_in_header,"{name}",{wire.type_name(value)}}}'
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if len(value) > KEYS_MAX:
        text = f"invalid message: more than {KEYS_MAX} routing keys in the header '{name}'"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    return tuple(item for item in value if isinstance(item, str))
