"""One client's connection: frames in, login, heart-beats, the end. Sans I/O.

Bytes come in through `receive`, leave through `out`; `on_output` asks the driver to take them. States:
CONNECTING → RUNNING → CLOSING (DISCONNECT came, receipts are to leave) → CLOSED. Whatever is wrong is told
in an ERROR frame (`errors` says what ends the connection). Not here: what is sent and got (`channel`).

Source: STOMP 1.2, "Connecting", "Heart-beating", "ERROR"; rows A1, A4, A10, A12, A45, R142.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from pillarbox.broker.advisories import BROKER
from pillarbox.broker.bearer import Bearer
from pillarbox.broker.event_details import only_local, wrong_password
from pillarbox.broker.outside import Undecided
from pillarbox.errors import BrokerError
from pillarbox.protocols.base import StreamConnection
from pillarbox.protocols.stomp.channel import Channel
from pillarbox.protocols.stomp.commands import COMMANDS
from pillarbox.protocols.stomp.errors import StompError, from_broker_error
from pillarbox.protocols.stomp.flow import FlowPublishing, Full, Room, SlowSubscriptions
from pillarbox.protocols.stomp.publishing import Publishing
from pillarbox.protocols.stomp.wire import (
    V10,
    VERSIONS,
    BodyTooLarge,
    Scanner,
    WireError,
    cut_receipt,
    read_head,
    write_frame,
    write_headers,
)
from pillarbox.protocols.strangers import principal_of_stranger

if TYPE_CHECKING:
    from pillarbox.broker.client import ClientFacts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.core import Core
    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.head import Settings

BACKLOG_BYTES = 1 << 20
"""Body bytes handed out and not yet written after which subscriptions of this connection get no more."""

SHARE = 40
"""Frames other than SEND, ACK and NACK of one connection in one turn; what comes behind waits for others."""
SENDS = frozenset((b"SEND\n", b"SEND\r", b"SEND"))
"""How heads of SEND begin."""
ACK = b"ACK\n"
CHEAP = frozenset(("ACK", "NACK", "BEGIN"))

LINGER_MS = 5000
"""How long a client that is sending more than it may is still read, and what it sends thrown away: where a
socket is closed with bytes unread, its other end may lose the ERROR frame that says why."""

HEARTBEAT_MS_MIN = 2000
"""The shortest interval of heart-beats: a connection looks at its clock once a second."""
GRACE = 2
"""Intervals after which a client that has sent nothing is given up."""


class State(enum.Enum):
    CONNECTING = enum.auto()
    RUNNING = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Connection(StreamConnection):
    """See the module."""

    def __init__(
        self,
        core: Core,
        settings: Settings,
        *,
        peer: str = "",
        loopback: bool = True,
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(core, peer=peer, loopback=loopback, on_output=on_output)
        self.settings = settings
        self.state = State.CONNECTING
        self.version = V10
        self.session_name = ""
        self.client_id = ""
        self._known_as: tuple[str, str] | None = None
        """Virtual host and client id, where that is nobody else's meanwhile."""
        self.channel: Channel | None = None
        self.room: Room | None = None
        """What a SEND waits for."""
        self._slowness: SlowSubscriptions | None = None
        self._paused = False
        self._scanner = Scanner()
        self._share = SHARE
        self._stalled = False
        self._sent_ms = self._started_ms
        self._receive_ms = self._send_ms = 0
        """Intervals of heart-beats; 0: there are none."""
        self._lingers = 0
        """Until when what a client sends is thrown away; 0: it is not."""

    def __repr__(self) -> str:
        return f"<Connection {self.peer} {self.state.name} version={self.version}>"

    # --- bytes in ----------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview) -> None:
        """Take what the socket gave and act on all whole frames in it. Nothing of `data` is kept."""
        self._received_ms = self.core.changes.now_ms
        if self._lingers:
            return
        scanner = self._scanner
        try:
            scanner.feed(data)
        except WireError as error:
            self._fail_frame(error)
            return
        if not self.waiting:
            self._share = SHARE
            self._scan()
            self.in_body = scanner.due_bytes
            if self.in_body and self.core.alarm is not None and not self.settings.send_fail_if_no_space:
                self._leave_unread()

    def body_bytes_due(self) -> int:
        return self._scanner.due_bytes

    def _scan(self) -> None:
        """Act on all frames that are whole, as far as this connection may go on."""
        try:
            if self.state is State.CONNECTING and (first := self._scanner.next()) is not None:
                self._do(partial(self._first_frame, first[0]))
            if self.channel is not None:
                self._scan_for(self.channel)
        except StompError as error:
            self.fail(error)
        except WireError as error:
            self._fail_frame(error)

    def _scan_for(self, channel: Channel) -> None:
        scanner, publishing = self._scanner, channel.publishing
        while self.state is State.RUNNING and not self.waiting:
            found = scanner.next()
            if found is None:
                break
            head, body = found
            if head[:5] not in SENDS:
                if head[:4] != ACK or not self._acknowledge(channel, head):
                    self._frame(head)
            elif self.core.alarm is None:
                try:
                    if publishing.send(head, body):
                        publishing.send_alike(*scanner.alike())
                except StompError as error:
                    self.refuse(error, cut_receipt(head)[1])
                except Full as full:
                    scanner.unread()
                    self.room = Room(self, full)
                except Undecided as undecided:
                    self.ask(undecided, partial(self._do, partial(self._send, publishing, head, body)))
            elif self.settings.send_fail_if_no_space:
                text = f"Usage Manager Limit reached: the broker is {self.core.alarm}."
                short = StompError(text, "Nothing can be sent until the broker has recovered.")
                self.refuse(short, cut_receipt(head)[1])
            else:
                scanner.unread()
                self.published = self.waiting = True
        publishing.flush()

    @property
    def is_sized(self) -> bool:
        """Had the frame at hand a `content-length`?"""
        return self._scanner.is_sized

    def _acknowledge(self, channel: Channel, head: bytes) -> bool:
        """Take an ACK that is written as usual; False: it is not, and nothing is done yet."""
        try:
            return channel.acknowledge(head, self._scanner)
        except StompError as error:
            self.refuse(error)
            return True

    def _send(self, publishing: Publishing, head: bytes, body: Body) -> None:
        """Take a SEND that had to wait."""
        try:
            publishing.send(head, body)
        except StompError as error:
            self.refuse(error, cut_receipt(head)[1])
        except Full as full:
            again = partial(self._do, partial(self._send, publishing, head, body))
            self.room = Room(self, full, again)

    def _do(self, act: Callable[[], object]) -> None:
        """Act, now or when somebody outside has said that it is allowed (R8)."""
        try:
            act()
        except StompError as error:
            self.fail(error)
        except WireError as error:
            self._fail_frame(error)
        except Undecided as undecided:
            self.ask(undecided, partial(self._do, act))

    def _fail_frame(self, error: WireError) -> None:
        """Close the connection because of what is no frame."""
        if not isinstance(error, BodyTooLarge):
            self.fail(StompError("Bad frame", str(error)))
            return
        if self.state is State.RUNNING:
            self._lingers = self.core.changes.now_ms + LINGER_MS
            self._scanner = Scanner()
        self.fail(StompError("The maximum data length was exceeded", str(error)))

    def go_on_reading(self) -> None:
        self._resume()

    def _frame(self, head: bytes) -> None:
        """Act on one frame that is no SEND. Raises StompError or WireError."""
        channel = self.channel
        assert channel is not None
        channel.publishing.flush()
        bare, receipt = cut_receipt(head)
        command, headers = read_head(bare, self.version)
        if command not in CHEAP:
            self._spend()
        try:
            if command == "DISCONNECT":
                self._disconnect(receipt)
                return
            act = COMMANDS.get(command)
            if act is None:
                self._refuse_command(command)
            else:
                act(channel, headers)
            channel.receipts.ask(receipt)
        except BrokerError as error:
            self.fail(from_broker_error(error), receipt)
        except StompError as error:
            self.refuse(error, receipt)
        except Undecided as undecided:
            self.ask(undecided, partial(self._do, partial(self._frame, head)))

    def refuse(self, error: StompError, receipt: bytes | None = None) -> None:
        """Tell the client that a frame was wrong, and go on if that is possible."""
        if error.is_fatal:
            self.fail(error, receipt)
        else:
            self._spend()
            self.tell(error, receipt=receipt)

    def _spend(self) -> None:
        """Count one frame that costs something; what comes behind the last one waits for its turn."""
        self._share -= 1
        if self._share <= 0 and not self.waiting:
            self.waiting = True
            self.core.chores.in_turn(self._resume)

    def _refuse_command(self, command: str) -> None:
        if command in ("CONNECT", "STOMP"):
            raise StompError("Bad CONNECT", "this connection has logged in already")
        raise StompError("Bad command", f'Could not interpret command "{command[:100]}"')

    def stall(self) -> None:
        """Leave input where it is until `go_on`."""
        self._stalled = self.waiting = True

    def go_on(self) -> None:
        """Act on the input that waits; the driver is asked to look whether more may be read."""
        self._stalled = False
        self._resume()

    def _resume(self) -> None:
        if self._stalled or self.state is State.CLOSED or self._asking is not None:
            return
        self.waiting = False
        self._share = SHARE
        self._scan()
        self.on_output()

    # --- login -------------------------------------------------------------------------------------

    def _first_frame(self, head: bytes) -> None:
        # Neither this frame nor its answer is escaped, whatever the version.
        command, headers = read_head(head, V10)
        if command not in ("CONNECT", "STOMP"):
            raise StompError("Illegal command", "You must log in using CONNECT first")
        offered = headers.get("accept-version", V10).split(",")
        common = [version for version in VERSIONS if version in offered]
        if not common:
            raise StompError("Version mismatch", f"Supported versions are {','.join(VERSIONS)}")
        self.version = common[-1]
        try:
            self._log_in(headers)
        except BrokerError as error:
            raise StompError("Bad CONNECT", error.text) from None
        self._agree_on_heartbeats(headers.get("heart-beat", "0,0"))
        self._scanner.body_bytes_max = self.settings.message_size_max
        self.state = State.RUNNING
        self.session_name = self.core.unique_name("session-")
        self.client_id = headers.get("client-id", "")
        told = (
            ("server", self.settings.server),
            ("session", self.session_name),
            ("heart-beat", f"{self._send_ms},{self._receive_ms}"),
            ("version", self.version),
        )
        self.send(b"CONNECTED\n" + write_headers(told, V10) + b"\n\0\n")

    def _log_in(self, headers: Mapping[str, str]) -> None:
        """Open the session. Raises StompError or BrokerError."""
        settings, core = self.settings, self.core
        vhost = headers.get("host", settings.vhost)
        if settings.is_activemq and vhost not in core.vhosts:
            vhost = settings.vhost
        caller = self.caller._replace(vhost=vhost)
        login = headers.get("login")
        if login is None:
            user = principal_of_stranger(
                core.users, settings.anonymous, settings.loopback_users, self, caller
            )
        else:
            known = core.users.authenticate(login, headers.get("passcode", "").encode(), caller)
            if known is None:
                core.events.login(self, login, "PLAIN", wrong_password(login))
                raise StompError("Bad CONNECT", f"Access refused for user '{login}'")
            if known.name in settings.loopback_users and not self.loopback:
                core.events.login(self, login, "PLAIN", only_local(login))
                raise StompError("Bad CONNECT", "non-loopback access denied")
            user = known
        core.events.login(self, user.name, "PLAIN")
        self._take_client_id(vhost, headers.get("client-id", ""))
        core.quotas.demand_place(settings.connection_max)
        try:
            self.session = core.open_session(user, vhost, self)
        except BrokerError:
            if vhost in core.vhosts and core.users.may_enter(user, vhost):
                raise
            raise StompError("Bad CONNECT", f"Virtual host '{vhost}' access denied") from None
        publishing = FlowPublishing if settings.policies.limit else Publishing
        channel = self.channel = Channel(self, self.session, publishing)
        if settings.policies.watch:
            self._slowness = SlowSubscriptions(self)
        self.session.forget_routes = channel.publishing.forget_routes
        self.session.client_id = headers.get("client-id", "")
        self.session.introduce(self)
        self.session.add_channel(channel)

    def _take_client_id(self, vhost: str, client_id: str) -> None:
        """Be known under this id, until the end. Raises StompError if another client is, as with ActiveMQ."""
        clients = self.settings.clients
        if clients is None or not client_id:
            return
        other = clients.setdefault((vhost, client_id), self)
        if other is not self:
            where = other.peer.partition(" -> ")[0]
            text = f"Broker: {BROKER} - Client: {client_id} already connected from tcp://{where}"
            raise StompError(text, text)
        self._known_as = (vhost, client_id)

    def _agree_on_heartbeats(self, text: str) -> None:
        """Do both what the client can and what it wants. Raises StompError."""
        can, _, wants = text.replace(" ", "").partition(",")
        if not (can.isdigit() and wants.isdigit() and text.isascii()) or len(text) > 40:
            raise StompError("Bad CONNECT", f"header 'heart-beat' is '{text}': it must be two numbers")
        self._receive_ms, self._send_ms = (
            max(int(each), HEARTBEAT_MS_MIN) if int(each) else 0 for each in (can, wants)
        )

    # --- bytes out -----------------------------------------------------------------------------------

    def take_output(self) -> list[bytes | bytearray | memoryview]:
        """Everything to be written now; called by the driver once per tick."""
        self._sent_ms = self.core.changes.now_ms
        self.writable = not self._paused
        return super().take_output()

    def hand_out(self, body_bytes: int) -> list[bytes | bytearray | memoryview]:
        """Where deliveries go; after enough of them the others wait for the next tick."""
        if not self._out:
            self._out = []
            self.on_output()
        self.bodies_out_bytes += body_bytes
        if self.bodies_out_bytes > BACKLOG_BYTES:
            self.writable = False
        return self._out

    def pause(self) -> None:
        """The socket takes no more: give this connection's subscriptions nothing until `unpause`."""
        self._paused = True
        super().pause()

    def unpause(self) -> None:
        """The socket takes bytes again."""
        self._paused = False
        super().unpause()

    def consumers(self) -> list[Consumer]:
        """All that receive for it."""
        return list(self.channel.consumers.values()) if self.channel is not None else []

    # --- what the core says --------------------------------------------------------------------------

    def unblocked(self) -> None:
        self._resume()

    def shut_down(self, text: str) -> None:
        """Close it from the broker's side."""
        self._lingers = 0
        self.fail(StompError("Connection closed by the broker", text))
        self.finish()

    # --- time ----------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Heart-beats and deadlines; called about once a second."""
        if self._asking is not None:
            return
        if self._lingers:
            if now_ms >= self._lingers:
                self._close()
            return
        if self.state is State.CONNECTING:
            if now_ms - self._started_ms >= self.settings.handshake_timeout_ms:
                self.finish()
            return
        user = self.session.user if self.session is not None else None
        if isinstance(user, Bearer) and now_ms >= user.expires_ms:
            text = "The credential used to authenticate this connection has expired"
            self.fail(StompError("Credential expired", text))
        elif self._receive_ms and now_ms - self._received_ms > GRACE * self._receive_ms:
            self.core.warn(f"closing STOMP connection {self.peer}: no heart-beat has come")
            self.finish()
        elif self._send_ms and now_ms - self._sent_ms >= self._send_ms // 2:
            self.send(b"\n")
        if self._slowness is not None:
            self._slowness.look(now_ms)

    # --- the end -------------------------------------------------------------------------------------

    def _disconnect(self, receipt: bytes | None) -> None:
        """DISCONNECT: everything is given back, and the receipt comes when all others have."""
        channel = self.channel
        assert channel is not None
        self.state = State.CLOSING
        channel.end()
        channel.receipts.ask(receipt)
        self.receipts_sent()

    def receipts_sent(self) -> None:
        """Some receipts have left: if there are no more to come, a client that has taken its leave may go."""
        if self.state is State.CLOSING and self.channel is not None and not self.channel.receipts:
            self.finish()

    def tell(self, error: StompError, subscription: str | None = None, receipt: bytes | None = None) -> None:
        """Send an ERROR frame."""
        told = [
            ("message", error.message),
            ("content-type", "text/plain"),
            ("version", ",".join(VERSIONS)),
        ]
        if subscription is not None:
            told.append(("subscription", subscription))
        frame = write_frame("ERROR", told, error.detail.encode(), self.version)
        if receipt is not None:
            frame = frame.replace(b"ERROR\n", b"ERROR\nreceipt-id:" + receipt + b"\n", 1)
        self.send(frame)

    def fail(self, error: StompError, receipt: bytes | None = None) -> None:
        """Close the connection because of this error, which is told to the client."""
        if self.state is State.CLOSED:
            return
        if self.channel is not None:
            with contextlib.suppress(StompError):
                # Messages that came before what was wrong are not lost with it, wherever the network cuts.
                self.channel.publishing.flush()
        self.tell(error, receipt=receipt)
        self.finish()

    def closed(self, reason: str) -> None:
        """The socket is gone."""
        self._lingers = 0
        self.finish()
        # What points back here would keep all of it until the collector looks at what is old.
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.part()
        self.room = self._slowness = None

    def finish(self) -> None:
        """Give back what the connection has, and have the socket closed."""
        if self.state is not State.CLOSED:
            # What its end lets others tell its subscriptions comes too late.
            self.writable = False
            if self.channel is not None and self.state is not State.CLOSING:
                self.channel.end()
            self.state = State.CLOSED
            if self._known_as is not None and self.settings.clients is not None:
                del self.settings.clients[self._known_as]
            if self.session is not None:
                self.session.close()
                self.session = None
        self.ask_no_more()
        if not self._lingers:
            self._close()

    def _close(self) -> None:
        if not self.want_close:
            self.want_close = True
            self.on_output()

    # --- what people see -----------------------------------------------------------------------------

    @property
    def flow_state(self) -> str:
        """See `Client`."""
        if self.state is State.RUNNING:
            return "blocked" if self.published and self.core.alarm is not None else "running"
        return {State.CONNECTING: "starting", State.CLOSING: "closing"}.get(self.state, "closed")

    def describe(self) -> str:
        """See `Client`."""
        return f"a STOMP client from {self.peer}"

    def client_facts(self) -> ClientFacts:
        """See `Client`."""
        properties = {"product": "STOMP client"}
        return self.facts(f"STOMP {self.version}", "PLAIN", self._receive_ms // 1000, properties)
