"""One AMQP 0-9-1 connection: frames, channels, its close and its heartbeats. Sans I/O.

Bytes come in through `receive`, leave through `out`; `on_output` asks the driver to take them. Channels do
the work; the hot path in is `ingest`. Not here: what comes before open-ok (`handshake`), what a
method means on a channel, permissions, queues.

States: PROTOCOL_HEADER → START → (SECURE) → TUNE → OPEN → RUNNING → CLOSING → CLOSED. A method that
`_HANDLERS` does not list for the state is the peer's error.

Source: AMQP 0-9-1 specification 2.2.4 (the connection class) and 4.2 (frames); RabbitMQ's tune checks
and authentication failure close; rows R1-R7, R9-R13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.bearer import Bearer
from pillarbox.broker.client import ClientFacts, Tls
from pillarbox.broker.counters import TrafficCounters
from pillarbox.broker.events import NOBODY
from pillarbox.broker.outside import Undecided
from pillarbox.broker.session import Session
from pillarbox.engine.base import Address
from pillarbox.errors import BrokerError
from pillarbox.profiles import REPUBLISHED_DEATHS
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.channel import Channel
from pillarbox.protocols.amqp091.errors import AmqpError, from_broker_error, from_frame, from_wire_error
from pillarbox.protocols.amqp091.handshake import (
    ACCEPTED_HEADERS,
    FRAME_MAX_BEFORE_TUNE,
    HANDSHAKE,
    STATE_NAMES,
    Settings,
    State,
    begin,
)
from pillarbox.protocols.amqp091.ingest import FRAME_END, ingest
from pillarbox.protocols.amqp091.publishing import (
    FACTS_BYTES_MAX,
    FACTS_MAX,
    ORIGIN,
    ROUTES_MAX,
    ROUTES_SWEPT_FROM,
    Facts,
    PublishRoute,
    Target,
    examine,
)
from pillarbox.protocols.amqp091.tracing import TracedChannel, class_of

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.outside import Waiter
    from pillarbox.broker.queue import Queue

CLOSE_TIMEOUT_MS = 10_000
"""How long a peer may take to answer connection.close before its socket is cut."""

BACKLOG_BYTES = 1 << 20
"""Body bytes handed out and not yet written after which consumers of this connection get no more, and
basic.get waits."""

IMPERSONATOR = "impersonator"
"""The tag of users who may publish messages whose `user_id` is somebody else's."""

PAYLOAD_MIN = {1: 4, 2: 14, 3: 0, 8: 0}
"""Types of frames, with the least that must be in one: a method's id, a content header without properties."""

SHARE = 200
"""What a connection may ask for in one turn beside publishing and acknowledging in the usual way; what it
sends behind that waits for turns to come. A method of class basic counts one, any other `DECLARATION`:
that is 40 declarations of 22 microseconds."""
DECLARATION = 5

STREAM_BYTES = 16 << 10
"""Body frames from this size on are taken in the pieces in which they arrive: below, putting a frame
together costs less than keeping track of it."""

SAID_SHOWN = 100
"""Characters that the log shows of what a client says about itself."""

_frame_head = Struct(">BHI").unpack_from
_uint32 = Struct(">I").unpack_from

FLOW_SHOWN_MS = 5000
"""How long a publisher shows the state `flow` after it was slowed down, so that who looks can see it."""


class Connection:
    """See the module. `peer` names both ends of the socket for people; `loopback`: the peer is this host."""

    def __init__(
        self,
        core: Core,
        settings: Settings,
        *,
        peer: str = "",
        loopback: bool = True,
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        self.core = core
        self.settings = settings
        self.peer = peer
        self.loopback = loopback
        self.certificate_user: str | None = None
        """Whom the client's TLS certificate speaks for; None without one that was checked."""
        self.known: Principal | None = None
        """Who it is, where that is known without a login."""
        self.on_output = on_output
        self.unsent_bytes: Callable[[], int] = lambda: 0
        self.out: list[wire.Piece] = []
        self.state = State.PROTOCOL_HEADER
        self.channels: dict[int, Channel] = {}
        self.routes: dict[bytes, PublishRoute] = {}
        self._routes_swept = ROUTES_SWEPT_FROM
        self.facts: dict[bytes, Facts] = {}
        self.unshared_bytes = 0
        """Bytes of property lists that were new since the last run of messages: all others are shared."""
        self.session: Session | None = None
        self.user: Principal | None = None
        self.traffic = TrafficCounters()
        self.tls: Mapping[str, str] | None = None
        """What is known of the encryption; None without it."""
        self.auth_mechanism = ""
        self.client_properties: dict[str, Any] = {}
        self.client_capabilities: Mapping[str, Any] = {}
        self.frame_max = min(FRAME_MAX_BEFORE_TUNE, settings.frame_max)
        self.channel_max = settings.channel_max
        self.heartbeat_s = 0
        self.resume = 0
        self.writable = True
        self.published = False
        """Has published while publishers are held up."""
        self.want_close = False
        """The driver shall close the socket when `out` is written."""
        self.waiting = False
        """Input is left where it is until there is room for the answer: the driver shall not read more."""
        self.sated = False
        """Input is left where it is, because this connection has had its share of the turn, or asks."""
        self._asking: set[Waiter] = set()
        """Questions to somebody outside: who this is, and for channels what it may do (R8)."""
        self._share = SHARE
        self.close_reason = ""
        self.blocked_reason: str | None = None
        self._slowed_ms = -FLOW_SHOWN_MS
        """When it was slowed down last because the disk was behind."""
        self._paused = False
        self.bodies_out_bytes = 0
        self._targets: dict[tuple[Exchange | None, tuple[Queue, ...], bool], Target] = {}
        self._tail = b""
        self._body_channel: Channel | None = None
        self._body_bytes = 0
        """How many bytes of a body are in the frame that is being taken in pieces."""
        self.in_body = 0
        """Not 0: bytes missing of a body frame that is being taken in pieces, its end octet included."""
        self._unframed = False
        """A frame was wrong in size or end: what follows cannot be told into frames."""
        self._started_ms = self._received_ms = self._sent_ms = core.changes.now_ms
        self._ended = False
        """Whatever it had is given back."""
        self._end_due: Callable[[], None] | None = None
        """The end that comes when no channel waits any more (see `_later`)."""
        self.deadline_ms: int | None = self._started_ms + settings.handshake_timeout_ms

    def __repr__(self) -> str:
        return f"<Connection {self.peer} {self.state.name} channels={len(self.channels)}>"

    # --- bytes in ----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Both ends, as RabbitMQ names a connection."""
        return self.peer

    def receive(self, data: bytes | memoryview) -> None:
        """Take what the socket gave and act on all whole frames in it. Nothing of `data` is kept."""
        self._received_ms = self.core.changes.now_ms
        if self.sated:
            self._tail += data
            return
        self._share = SHARE
        if self.in_body:
            data = self._receive_body(memoryview(data))
        data = self._tail + data if self._tail else bytes(data)
        if self._unframed:
            self._seek_close_ok(data)
            return
        if self.state is State.PROTOCOL_HEADER:
            if len(data) < 8 and any(header.startswith(data) for header in ACCEPTED_HEADERS):
                self._tail = data
                return
            self._tail = b""
            data = begin(self, data)
        while True:
            if self.state is State.CLOSED:
                self._tail = b""
                return
            try:
                used = ingest(self, data)
            except AmqpError as error:
                # Only frames of channel 0 and faults of framing get here; channels close themselves.
                self.fail(error)
                used = self.resume
                data = data[used:]
                if self._unframed:
                    self._seek_close_ok(data)
                    return
                continue
            break
        self._tail = data[used:] if used else data

    def _seek_close_ok(self, data: bytes) -> None:
        """Since where frames begin is not known any more, look for close-ok, whatever stands around it."""
        if self.state is State.CLOSING and _CLOSE_OK_FRAME in data:
            self.finish("closed by the broker")
        self._tail = data[1 - len(_CLOSE_OK_FRAME) :] if self.state is State.CLOSING else b""

    def next_frame(self, data: bytes, position: int) -> int:
        """Process one whole frame at this position; return its size, 0 if it is not whole.

        Sets `resume` behind the frame before acting on it. Raises AmqpError for faults that close the
        connection.
        """
        if self.state is State.CLOSED:
            return len(data) - position
        if self._asking or len(data) - position < 7:
            return 0
        kind: int
        number: int
        length: int
        kind, number, length = _frame_head(data, position)
        if length > self.frame_max:
            self.resume = position + 7
            self._unframed = True
            raise from_frame(501, kind, b"", f"{{frame_too_large,{length},{self.frame_max - 8}}}")
        end = position + 7 + length
        if kind == 3 and length >= STREAM_BYTES and self.core.alarm is None:
            taken = self._begin_body(number, length, data, position)
            if taken:
                return taken
        if end >= len(data):
            return 0
        payload = data[position + 7 : end]
        if data[end] != FRAME_END:
            self.resume = end + 1
            self._unframed = True
            raise from_frame(501, kind, payload, f"{{invalid_frame_end_marker,{data[end]}}}")
        if self.core.alarm is not None and self.session is not None and _is_content(kind, payload):
            self.published_while_held()
            return 0
        if self.bodies_out_bytes > BACKLOG_BYTES and kind == 1 and payload[:4] == _GET:
            self.waiting = True
            return 0
        if kind == 1:
            if self._share <= 0:
                self._be_sated()
                return 0
            self._share -= 1 if payload[:2] == _BASIC else DECLARATION
        self.resume = end + 1
        if len(payload) < PAYLOAD_MIN.get(kind, length + 1):
            raise from_frame(501, kind, payload, "unknown_frame")
        self._frame(kind, number, payload)
        return length + 8

    def _be_sated(self) -> None:
        self.sated = self.waiting = True
        self.core.chores.in_turn(self._take_share)

    def _take_share(self) -> None:
        """Go on with the input that waits; the driver is asked to look whether more may be read."""
        self.sated = self.waiting = bool(self._asking)
        self.receive(b"")
        self.on_output()

    def ask(self, undecided: Undecided, again: Callable[[], None]) -> None:
        """Leave input where it is until somebody outside has answered; then do again what wanted to know."""
        self.sated = self.waiting = True
        waiter = self.core.users.outside.when_answered(undecided, lambda: self._answered(waiter, again))
        self._asking.add(waiter)

    def _answered(self, waiter: Waiter, again: Callable[[], None]) -> None:
        self._asking.discard(waiter)
        self.sated = self.waiting = bool(self._asking)
        if self.deadline_ms is not None:
            # How long others take is not the client's fault.
            self.deadline_ms = self.core.changes.now_ms + self.settings.handshake_timeout_ms
        try:
            again()
        except AmqpError as error:
            self.fail(error)
        self.core.users.outside.over()
        self.receive(b"")
        self.on_output()

    def _ask_no_more(self) -> None:
        if self._asking:
            for waiter in self._asking:
                waiter.cancel()
            self._asking.clear()
            self.sated = self.waiting = False

    def _begin_body(self, number: int, length: int, data: bytes, position: int) -> int:
        """Take what is there of large body frames, so that they need not be put together first."""
        channel = self.channels.get(number)
        if channel is None or not channel.expects_body(length):
            return 0
        self._body_channel = channel
        self._body_bytes = length
        self.in_body = length + 1
        self.resume = len(data)
        rest = self._receive_body(memoryview(data)[position + 7 :])
        self.resume = len(data) - len(rest)
        return self.resume - position

    def _receive_body(self, data: memoryview) -> memoryview:
        """Take the rest of a body frame from the input, and large ones that follow; return what is left."""
        channel = self._body_channel
        assert channel is not None
        while True:
            left = self.in_body - 1
            piece = data[:left]
            channel.body_piece(piece)
            if len(data) <= left:
                self.in_body -= len(piece)
                return data[:0]
            self.in_body = 0
            try:
                if data[left] != FRAME_END:
                    self._unframed = True
                    payload = channel.body_last(self._body_bytes)
                    raise from_frame(501, 3, payload, f"{{invalid_frame_end_marker,{data[left]}}}")
                channel.body_frame_ended()
            except AmqpError as error:
                self.fail(error)
            data = data[left + 1 :]
            if len(data) < 7 or self._unframed:
                return data
            kind, number, length = _frame_head(data)
            large = kind == 3 and STREAM_BYTES <= length <= self.frame_max and self.core.alarm is None
            if not large or number != channel.number or not channel.expects_body(length):
                return data
            self._body_bytes = length
            self.in_body = length + 1
            data = data[7:]

    def body_bytes_due(self) -> int:
        """How many bytes are sure to come while `in_body`."""
        return self._body_channel.body_missing if self._body_channel is not None else 0

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if kind == 8:
            if number or payload:
                raise from_frame(505, kind, payload)
        elif self.state is State.CLOSING:
            if kind == 1 and number == 0 and payload[:4] == _CLOSE_OK:
                self.finish("closed by the broker")
            elif kind == 1 and number == 0 and payload[:4] == _CLOSE:
                # Both sides closed at once, and the peer may wait for this before it says close-ok.
                self.send_method(0, methods.CONNECTION_CLOSE_OK)
        elif number:
            if self.state is not State.RUNNING:
                raise from_frame(505, kind, payload)
            self.channel_frame(kind, number, payload)
        elif kind != 1:
            raise from_frame(505, kind, payload)
        else:
            self._method(payload)

    def channel_frame(self, kind: int, number: int, payload: bytes) -> None:
        """Hand a frame to its channel, or open one with it."""
        channel = self.channels.get(number)
        if channel is None:
            channel = self._open_channel(kind, number, payload)
            if channel is None:
                return
        channel.frame(kind, payload)

    def _open_channel(self, kind: int, number: int, payload: bytes) -> Channel | None:
        method_id = _uint32(payload)[0] if kind == 1 and len(payload) >= 4 else 0
        if method_id == methods.CHANNEL_OPEN:
            limit = self.channel_max
            if len(self.channels) >= limit:
                text = f"number of channels opened ({limit}) has reached the negotiated channel_max ({limit})"
                raise AmqpError(530, text)
            assert self.session is not None
            try:
                self.session.demand_channel()
            except BrokerError as error:
                raise from_broker_error(error, method_id) from None
            kind_of = TracedChannel if self.session.vhost.tracing else Channel
            channel = self.channels[number] = kind_of(self, self.session, number)
            self.session.add_channel(channel)
            return channel
        if kind == 1 and method_id not in methods.METHODS:
            raise AmqpError(503, "unimplemented method", method_id)
        if kind == 1:
            raise AmqpError(504, "expected 'channel.open'", method_id)
        raise AmqpError(504, "expected 'channel.open'", methods.BASIC_PUBLISH)

    def reopen_channel(self, number: int, payload: bytes) -> None:
        """Open a channel under the number of one that both sides have closed."""
        del self.channels[number]
        self.channel_frame(1, number, payload)

    # --- the methods of channel 0 ----------------------------------------------------------------------

    def _method(self, payload: bytes) -> None:
        method_id = _uint32(payload)[0]
        if method_id not in methods.METHODS:
            raise AmqpError(503, "unimplemented method", method_id)
        handler = _HANDLERS.get((self.state, method_id)) or _HANDLERS.get((None, method_id))
        if handler is None:
            if self.state is State.RUNNING:
                raise AmqpError(504, "unexpected method in connection state running", method_id)
            self.abort(f"unexpected {methods.METHODS[method_id].name} during the handshake")
            return
        try:
            handler(self, *methods.decode(method_id, payload, 4))
        except wire.WireError as error:
            raise from_wire_error(error, method_id) from None
        except BrokerError as error:
            raise from_broker_error(error, method_id) from None
        except Undecided as undecided:
            self.ask(undecided, lambda: self._method(payload))

    def trace(self, on: bool) -> None:
        """Make all channels such that tell the firehose (R75), or ordinary ones again."""
        for channel in self.channels.values():
            channel.__class__ = class_of(channel, on)

    def _close(self, code: int, text: str, class_id: int, method_id: int) -> None:
        if self._later(lambda: self._close(code, text, class_id, method_id)):
            return
        self._end()
        self.state = State.CLOSED
        self.close_reason = f"closed by the client: {code} {text}"
        self.core.chores.when_done(self._answer_close)

    def _later(self, end: Callable[[], None]) -> bool:
        """Is something not done that was asked for before? Then the end comes when it is."""
        if self.sated:
            self.core.chores.in_turn(end)
            return True
        if any(channel.stalled for channel in self.channels.values()):
            self._end_due = end
            return True
        return False

    def stall_over(self) -> None:
        """A channel waits for nothing any more: if none does, the end may come that waits for them."""
        if self._end_due is not None and not any(channel.stalled for channel in self.channels.values()):
            end, self._end_due = self._end_due, None
            end()

    def _answer_close(self) -> None:
        """connection.close-ok: everything is given back."""
        if not self.want_close:
            self.send_method(0, methods.CONNECTION_CLOSE_OK)
            self.finish(self.close_reason)

    def _update_secret(self, secret: bytes, reason: str) -> None:
        """Go on with another token (R8). What the former one had allowed and this one does not is refused."""
        assert self.session is not None
        assert self.user is not None
        renewed = self.core.users.renew(self.user, secret)
        if renewed is not self.user:
            self.session.renew(renewed)
            self.user = renewed
        self.send_method(0, methods.CONNECTION_UPDATE_SECRET_OK)

    def _blocked_by_peer(self, *_: Any) -> None:
        """connection.blocked is the server's to send; from a client it changes nothing."""

    # --- bytes out -----------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue bytes for the socket."""
        if not self.out:
            self.on_output()
        self.out.append(data)

    def send_method(self, channel: int, method_id: int, *arguments: Any) -> None:
        """Queue one method frame."""
        self.send(methods.method_frame(channel, method_id, *arguments))

    def take_output(self) -> list[wire.Piece]:
        """Everything to be written now; called by the driver once per tick."""
        out, self.out = self.out, []
        self._sent_ms = self.core.changes.now_ms
        self.bodies_out_bytes = 0
        self.writable = not self._paused
        return out

    @property
    def has_room(self) -> bool:
        """May more bodies be handed out before something is written?"""
        return self.bodies_out_bytes <= BACKLOG_BYTES

    def handed_out(self, body_bytes: int) -> None:
        """Note deliveries queued for the socket; after enough of them consumers wait for the next tick."""
        self.bodies_out_bytes += body_bytes
        if self.bodies_out_bytes > BACKLOG_BYTES:
            self.writable = False

    def pause(self) -> None:
        """The socket takes no more: give this connection's consumers nothing until `unpause`."""
        self._paused = True
        self.writable = False

    def unpause(self) -> None:
        """The socket takes bytes again."""
        self._paused = False
        self.writable = self.has_room
        self.wake_consumers()

    def wake_consumers(self) -> None:
        """Have the queues looked at from which this connection receives; go on with input that waits."""
        for channel in list(self.channels.values()):
            for consumer in channel.consumers.values():
                consumer.queue.wake()
            if channel.crowded and self.writable:
                channel.go_on()
        if self.waiting and self.writable and not self.sated:
            self.waiting = False
            self.receive(b"")

    def blocked(self, reason: str) -> None:
        """See `Outlet`: as with RabbitMQ, who publishes is told when it publishes, and nobody else is."""

    @property
    def flow_state(self) -> str:
        """The state that is shown to people (R74): as it is, or how a publisher is being held up.

        `blocked` by an alarm, `blocking` as soon as it publishes, `flow` because the disk was behind.
        """
        if self.state is State.RUNNING:
            if self.blocked_reason is not None:
                return "blocked"
            if self.core.alarm is not None:
                return "blocking"
            if self.published or self.core.changes.now_ms - self._slowed_ms < FLOW_SHOWN_MS:
                return "flow"
        return STATE_NAMES[self.state]

    def describe(self) -> str:
        """See `Client`: the name that it gave, what program it is, where it comes from."""
        said = self.client_properties
        name, product, version = (
            str(said.get(key, ""))[:SAID_SHOWN] for key in ("connection_name", "product", "version")
        )
        program = f"{product} {version}".strip() or "an unknown program"
        return f"client {name!r} ({program!r}) from {self.peer}"

    def client_facts(self) -> ClientFacts:
        """See `Client`."""
        peer, _, local = self.peer.partition(" -> ")
        peer_host, peer_port = _parted(peer)
        host, port = _parted(local)
        return ClientFacts(
            name=self.peer,
            protocol="AMQP 0-9-1",
            host=host,
            port=port,
            peer_host=peer_host,
            peer_port=peer_port,
            auth_mechanism=self.auth_mechanism,
            channel_max=self.channel_max,
            frame_max=self.frame_max,
            timeout_s=self.heartbeat_s,
            properties=self.client_properties,
            connected_ms=self._started_ms,
            tls=None if self.tls is None else Tls(**self.tls),
        )

    def published_while_held(self) -> None:
        """Have this connection held up too, and tell it why (R11) if it wants to know."""
        self.published = True
        reason = self.core.alarm
        if reason is None:
            self._slowed_ms = self.core.changes.now_ms
        if reason is not None and self.blocked_reason is None:
            self.blocked_reason = reason
            if self.client_capabilities.get("connection.blocked"):
                self.send_method(0, methods.CONNECTION_BLOCKED, reason)

    def unblocked(self) -> None:
        """Tell it that this is over."""
        told = self.blocked_reason is not None and self.client_capabilities.get("connection.blocked")
        self.blocked_reason = None
        if told and self.state is State.RUNNING:
            self.send_method(0, methods.CONNECTION_UNBLOCKED)
        if self._tail:
            self.receive(b"")

    # --- time ------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Heartbeats and deadlines; called about once a second."""
        if self.deadline_ms is not None and now_ms >= self.deadline_ms and not self._asking:
            self.finish("timeout")
            return
        if isinstance(self.user, Bearer) and now_ms >= self.user.expires_ms:
            self.core.warn(
                f"closing connection {self.peer} of user {self.user.name!r}: credential has expired"
            )
            self.shut_down("credential expired")
            return
        if self.heartbeat_s and self.state is State.RUNNING:
            interval_ms = self.heartbeat_s * 1000
            if now_ms - self._received_ms > 2 * interval_ms:
                self.finish(f"missed heartbeats from client, timeout: {self.heartbeat_s}s")
            elif now_ms - self._sent_ms >= interval_ms // 2:
                self._sent_ms = now_ms
                self.send(wire.HEARTBEAT_FRAME)

    def touch(self, now_ms: int) -> None:
        """Count the peer as alive: it was not read, so its silence means nothing."""
        self._received_ms = now_ms

    # --- the end ---------------------------------------------------------------------------------------

    def fail(self, error: AmqpError) -> None:
        """Close the connection because of this error."""
        if self.state in (State.CLOSING, State.CLOSED):
            return
        self._end()
        if self.state in (State.START, State.TUNE) and error.code != 403:
            # Like RabbitMQ: whoever cannot even log in is told nothing.
            self.finish(error.text)
            return
        self.state = State.CLOSING
        self.close_reason = error.text
        self.deadline_ms = self.core.changes.now_ms + CLOSE_TIMEOUT_MS
        class_id, method_id = error.method_id >> 16, error.method_id & 0xFFFF
        self.send_method(
            0, methods.CONNECTION_CLOSE, error.code, wire.clipped(error.text), class_id, method_id
        )

    @property
    def channel_count(self) -> int:
        """See `Outlet`."""
        return len(self.channels)

    def shut_down(self, text: str) -> None:
        """Close from the broker's side: 320 CONNECTION_FORCED (R12)."""
        if self.state is State.RUNNING:
            self.fail(AmqpError(320, text))
        else:
            self.finish(text)

    def closed(self, reason: str) -> None:
        """The socket is gone."""
        if self._asking:
            # What nobody has allowed yet does not happen.
            self.finish(reason)
            return
        while crowded := [channel for channel in self.channels.values() if channel.crowded]:
            # Room for answers is what nobody needs any more.
            self.bodies_out_bytes = 0
            crowded[0].go_on()
        if not self._later(lambda: self.closed(reason)):
            self.finish(reason)

    def abort(self, reason: str, delay_ms: int = 0) -> None:
        """Cut the socket without a word, now or after a while; meanwhile nothing is listened to."""
        self._end()
        self.close_reason = reason
        if delay_ms:
            self.state = State.CLOSED
            self.deadline_ms = self.core.changes.now_ms + delay_ms
        else:
            self.finish(reason)

    def finish(self, reason: str) -> None:
        self._end()
        self.close_reason = self.close_reason or reason
        self.state = State.CLOSED
        self.deadline_ms = None
        if not self.want_close:
            self.want_close = True
            self.on_output()

    def _end(self) -> None:
        """Give back what the connection has: deliveries, consumers, exclusive queues."""
        self._end_due = None
        self._ask_no_more()
        channels, self.channels = self.channels, {}
        for channel in channels.values():
            channel.end()
        if self.session is not None:
            self.session.close()
            self.session = None
        elif not self._ended:
            # Of the others the session tells.
            self.core.events.tell("connection.closed", self, by=NOBODY)
        self._ended = True

    # --- what publishing needs ---------------------------------------------------------------------------

    def find_route(self, key: bytes) -> PublishRoute | None:
        """Resolve basic.publish arguments and keep the result; None if the slow path must decide."""
        assert self.session is not None
        try:
            return self.resolve(key)
        except (AmqpError, BrokerError, Undecided):
            return None

    def resolve(self, key: bytes) -> PublishRoute:
        """The meaning of basic.publish arguments. Raises AmqpError or BrokerError."""
        try:
            _, exchange, routing_key, mandatory, immediate = methods.decode(methods.BASIC_PUBLISH, key, 0)
        except wire.WireError as error:
            raise AmqpError(error.code, error.detail, methods.BASIC_PUBLISH) from None
        if immediate:
            raise AmqpError(540, "immediate=true", methods.BASIC_PUBLISH)
        assert self.session is not None
        source, route = self.session.route(exchange, (routing_key,))
        target = self.target(source, route.queues, mandatory=mandatory)
        special = route.per_message or (mandatory and not route.queues)
        address = Address(ORIGIN, exchange, routing_key)
        found = PublishRoute(address, target, route.stamp, special, route.per_message)
        if len(self.routes) >= self._routes_swept:
            self._sweep_routes()
        if route.stamp.valid:
            self.routes[key] = found
        return found

    def _sweep_routes(self) -> None:
        """Forget routes that do not hold any more, and all if there are too many. Cost: O(routes), which are
        as often as not twice as many as after the last time."""
        for key in [key for key, route in self.routes.items() if not route.stamp.valid]:
            del self.routes[key]
        if len(self.routes) >= ROUTES_MAX:
            self.routes.clear()
        used = {route.target for route in self.routes.values()}
        for each in [each for each, target in self._targets.items() if target not in used]:
            del self._targets[each]
        self._routes_swept = min(ROUTES_MAX, max(ROUTES_SWEPT_FROM, 2 * len(self.routes)))

    def target(self, exchange: Exchange | None, queues: tuple[Queue, ...], *, mandatory: bool) -> Target:
        """The one object for these, so that runs can be told apart by identity."""
        target = self._targets.get((exchange, queues, mandatory))
        if target is None:
            if len(self._targets) >= ROUTES_MAX:
                self._targets.clear()
            assert self.session is not None
            counters = self.session.vhost.default_exchange if exchange is None else exchange.counters
            target = self._targets[exchange, queues, mandatory] = Target(counters, queues, mandatory)
        return target

    def _examine_deaths(self, facts: Facts) -> Facts:
        """A client publishes what has died before: not every release counts on from there."""
        assert self.session is not None
        if facts.fault is not None or self.session.permits(REPUBLISHED_DEATHS):
            return facts
        return msgspec.structs.replace(facts, special=True, has_deaths=True)

    def examine(self, properties: bytes) -> Facts:
        """The facts of a property list, kept for the next message that has the same."""
        assert self.user is not None
        facts = examine(properties, None if IMPERSONATOR in self.user.tags else self.user.name)
        if self.settings.interceptors and facts.fault is None:
            facts = msgspec.structs.replace(facts, special=True, has_headers=True, intercepted=True)
        self.unshared_bytes += len(properties)
        if facts.has_headers and b"\x07x-death" in properties:
            facts = self._examine_deaths(facts)
        if len(properties) > FACTS_BYTES_MAX:
            return facts
        if len(self.facts) >= FACTS_MAX:
            self.facts.clear()
        self.facts[properties] = facts
        return facts


def _parted(address: str) -> tuple[str, int]:
    """Host and port of one end, as a connection's name has it."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def _is_content(kind: int, payload: bytes) -> bool:
    """Does a frame belong to a message that is being published? That is what an alarm leaves where it is."""
    return payload[:4] == _PUBLISH if kind == 1 else kind in (2, 3)


# (state, method) → what to do; None as the state: in every state but CLOSING and CLOSED.
_HANDLERS: dict[tuple[State | None, int], Callable[..., None]] = {
    **HANDSHAKE,
    (State.RUNNING, methods.CONNECTION_UPDATE_SECRET): Connection._update_secret,
    (State.RUNNING, methods.CONNECTION_BLOCKED): Connection._blocked_by_peer,
    (State.RUNNING, methods.CONNECTION_UNBLOCKED): Connection._blocked_by_peer,
    (None, methods.CONNECTION_CLOSE): Connection._close,
}

_CLOSE = b"\x00\x0a\x00\x32"
_CLOSE_OK = b"\x00\x0a\x00\x33"
_CLOSE_OK_FRAME = methods.method_frame(0, methods.CONNECTION_CLOSE_OK)
_BASIC = b"\x00\x3c"
_PUBLISH = b"\x00\x3c\x00\x28"
_GET = b"\x00\x3c\x00\x46"
"""The one method whose answer is much larger than itself: it waits until there is room for another."""
