"""One client's connection: sizes and headers in, calls to the handlers, answers out in the order of requests.

Sans-I/O: bytes come in by `receive`, what there is to write is taken by `take_output`. Not here: what a key
does (`api`), what all connections share (`head`), layouts (`codec`).

What is wrong with the bytes closes the connection without a word, as Kafka does it: a size that cannot be, a
request that cannot be decoded, a key or version that was not offered. Only ApiVersions in a version that
nobody knows gets an answer (T5).

A client that does not read is not acted on: what waits for its socket is bounded (`ANSWERS_BYTES`), and of
the calls whose answers carry records one is under way at a time (`CARRYING_RECORDS`).

Source: Kafka's protocol guide, "Network", "Protocol Common"; rows K1, K70, K71.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any

from pillarbox.broker.bearer import Bearer
from pillarbox.broker.client import ClientFacts
from pillarbox.broker.outside import Undecided, Vouched
from pillarbox.errors import BrokerError
from pillarbox.protocols.base import BaseConnection
from pillarbox.protocols.kafka.api import handler
from pillarbox.protocols.kafka.api.api_versions import unknown_version
from pillarbox.protocols.kafka.asking import ask_first
from pillarbox.protocols.kafka.beginning import REQUEST_BYTES_MIN, STRANGER_BYTES_MAX
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.codec import API_VERSIONS, RequestHeader, decode_header, decode_request
from pillarbox.protocols.kafka.login import Login
from pillarbox.protocols.kafka.sasl import LoginRefused
from pillarbox.protocols.kafka.versions import FETCH, PRODUCE, SHARE_FETCH
from pillarbox.protocols.kafka.wire import WireError

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.protocols.kafka.head import Head

REQUEST_BYTES_MAX = 100 << 20
"""Kafka's `socket.request.max.bytes`, for requests with records, which are not taken apart."""

PLAIN_BYTES_MAX = 4 << 20
"""Of any other request: what is decoded takes up to 25 times the memory of its bytes."""

CALLS_MAX = 64
"""Requests of one connection that wait for an answer; clients have five under way as a rule. What comes
behind them is left where it is."""

CALLS_BYTES_MAX = 16 << 20
"""The same, in bytes of requests."""

ANSWERS_BYTES = 1 << 20
"""Of answers that are ready and not written yet: from there on the next request waits. The last of them may
go beyond, by as much as one answer can have."""

CARRYING_RECORDS = frozenset((FETCH, SHARE_FETCH))
"""Keys with answers as large as a client asks for: the next one of a connection begins when the answer to the
last one is with the socket, and that has room. Kafka acts on one request of a connection at a time."""

LARGE_BYTES = 64 << 10
"""From this size on a request that is on its way is read in larger pieces."""

BEFORE_LOGIN = frozenset((17, API_VERSIONS, 36))
"""SaslHandshake, ApiVersions and SaslAuthenticate: what a client may ask before it has said who it is."""

NO_HEADER = RequestHeader(-1, 0, 0, None)
"""Of messages that have none: those of a login after a handshake of version 0."""

_SIZE = Struct(">i")
_SIZE_AND_KEY = Struct(">ih")

_log = logging.getLogger("pillarbox.kafka")


class Connection(BaseConnection):
    """See the module."""

    advertised: tuple[str, int] | None = None
    """Where its client is told to connect; None: as everybody."""

    def __init__(
        self,
        head: Head,
        *,
        peer: str = "",
        loopback: bool = True,
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(head.core, peer=peer, loopback=loopback, on_output=on_output)
        self.head = head
        self.client_host = self.addresses[0]
        self.login: Login | None = None
        """A login that has begun and is not over."""
        self.sasl_mechanism = ""
        """What the client has logged in by; nothing: it was let in without."""
        self.client_software = ("", "")
        """Name and version, as the client gives them (KIP-511)."""
        self.client_id: str | None = None
        """As the client has last called itself."""
        self.decides = False
        """A request is being acted on: what is not known of the client's rights may be asked outside."""
        self.is_closed = False
        self.was_shut_down = False
        """It was the broker that has closed it."""
        self._calls: deque[Call] = deque()
        self._calls_bytes = 0
        self.bodies_out_bytes = 0
        """Of answers that are ready and not written yet."""
        self._untaken_bytes = 0
        """The same, with what the socket has not taken yet."""
        self._carrying = 0
        """Calls under way whose answers carry records."""
        self._paused = False
        """The socket has more to write than it should."""
        self._scanning = False
        self._muted_ms = 0
        """Up to when nothing of it is acted on."""
        self._turned_away = False
        self._over_ms: int | None = None
        """When its login ends."""
        self._frame_bytes = 0
        """Size of the request that is on its way, with its four bytes; 0: nobody knows."""

    def __repr__(self) -> str:
        return f"<Connection {self.peer} calls={len(self._calls)}>"

    # --- bytes in ----------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview) -> None:
        """Take what the socket gave and act on all whole requests in it. Nothing of `data` is kept."""
        self._received_ms = self.core.changes.now_ms
        self._input += data
        if len(self._input) >= self._frame_bytes and not self.waiting:
            self._scan()
        self.in_body = max(0, self._frame_bytes - len(self._input))

    def body_bytes_due(self) -> int:
        """How many bytes are sure to come while `in_body`."""
        return self.in_body

    def _scan(self) -> None:
        """Act on all whole requests; leave what is not whole, or has no room among the calls."""
        if self.login is not None and self.login.bare:
            self._scan_login(self.login)
            return
        data = self._input
        at = self._frame_bytes = 0
        self._scanning = True
        with memoryview(data) as view:
            while len(data) - at >= 8 and not self.want_close:
                size, key = _SIZE_AND_KEY.unpack_from(data, at)
                if self._is_full or (self._carrying and key in CARRYING_RECORDS):
                    self.waiting = True
                    break
                if not REQUEST_BYTES_MIN <= size <= self._size_max(key):
                    self.refuse(f"a request of key {key} and {size} bytes")
                    break
                if size > STRANGER_BYTES_MAX and self.session is None and not self._let_in():
                    break
                end = at + 4 + size
                if end > len(data):
                    self._frame_bytes = end - at if end - at >= LARGE_BYTES else 0
                    break
                if key == PRODUCE and self.core.alarm is not None and self.session is not None:
                    self.published = self.waiting = True
                    break
                frame = bytes(view[at + 4 : end])
                at = end
                self._request(frame)
        self._scanning = False
        if self.want_close:
            at = len(data)
        del data[:at]
        self._flush_answers()

    def _scan_login(self, login: Login) -> None:
        """Take messages of a login that have no headers, and answer them so (KIP-43)."""
        data = self._input
        while self.login is login and not self.want_close and len(data) >= _SIZE.size:
            (size,) = _SIZE.unpack_from(data)
            if not 0 <= size <= STRANGER_BYTES_MAX:
                self.refuse(f"a message of {size} bytes to log in")
                break
            end = _SIZE.size + size
            if end > len(data):
                break
            said = bytes(data[_SIZE.size : end])
            del data[:end]
            call = Call(self, NO_HEADER, size)
            self._begin(call)
            self._respond(login, call, said)
            if self._asking is not None:
                return
        self._flush_answers()
        if self.login is None and not self.want_close and data:
            self._scan()

    def _respond(self, login: Login, call: Call, said: bytes) -> None:
        """Answer one of these, now or when somebody outside has said who that is."""
        try:
            call.pieces = [login.respond(said)]
        except LoginRefused as refused:
            self._calls.remove(call)
            self.refuse(f"login refused: {refused}")
        except Undecided as undecided:
            self.ask(undecided, lambda: self._respond(login, call, said))

    def _size_max(self, key: int) -> int:
        if self.session is None and key in BEFORE_LOGIN:
            return STRANGER_BYTES_MAX
        return REQUEST_BYTES_MAX if key == PRODUCE else PLAIN_BYTES_MAX

    def _let_in(self) -> bool:
        """Let in who begins with a large request, before that is read; whether that is done."""

        def again() -> None:
            self._let_in()

        try:
            return self._enter()
        except Undecided as undecided:
            self.ask(undecided, again)
            return False

    def _request(self, frame: bytes) -> None:
        """Answer one request, or see that it is answered later."""
        try:
            header, at = decode_header(frame)
            key, version, _, self.client_id = header
            call = Call(self, header, len(frame))
            first, last = self.head.taken.get(key, (0, -1))
            if not first <= version <= last:
                if key != API_VERSIONS:
                    raise WireError(f"key {key} in version {version}, which was not offered")
                self._begin(call)
                unknown_version(call)
                return
            request, _ = decode_request(key, version, frame, at)
        except (WireError, KeyError) as fault:
            self.refuse(str(fault))
            return
        self._begin(call)
        self._act(call, request)

    def _act(self, call: Call, request: Any) -> None:
        """Have a request answered, now or when somebody outside has said that it may be (R8)."""
        self.decides = True
        is_timed = self.head.quotas.times_requests
        if is_timed:
            call.work_begins()
        try:
            if self.session is None and call.key not in BEFORE_LOGIN and not self._enter():
                return
            if self.session is not None:
                self.core.events.acting = self.session.user.name
                if isinstance(self.session.user, Vouched):
                    ask_first(call, request)
            response = handler(call.key)(call, request)
        except Undecided as undecided:
            self.ask(undecided, lambda: self._act(call, request))
            return
        finally:
            self.decides = False
        if response is not None:
            call.reply(response)
        elif is_timed:
            call.work_rests()

    def go_on_reading(self) -> None:
        self._go_on()
        self.on_output()

    def _begin(self, call: Call) -> None:
        self._calls.append(call)
        self._calls_bytes += call.size
        self._carrying += call.key in CARRYING_RECORDS

    @property
    def _is_full(self) -> bool:
        """Whether the next request has to wait where it is: much waits for answers or to be written, there is
        a pause, or somebody outside is asked."""
        return (
            not self.writable
            or self._asking is not None
            or len(self._calls) >= CALLS_MAX
            or self._calls_bytes >= CALLS_BYTES_MAX
            or self._muted_ms > self.core.changes.now_ms
        )

    def _go_on(self) -> None:
        """Act on what was left where it was, if there is room now."""
        if self.waiting and not self._is_full:
            self.waiting = False
            self._scan()

    def _enter(self) -> bool:
        """Let in a client that need not say who it is: whom its certificate speaks for (K70), or whoever the
        settings name."""
        try:
            self.log_in(self.head.principal_of(self))
        except BrokerError as error:
            self.refuse(error.text)
            return False
        return True

    def log_in(self, principal: Principal) -> None:
        """Go on as somebody, or as the same one with other rights. Raises BrokerError if it may not enter."""
        if self.session is None:
            head = self.head
            self.core.quotas.demand_place(head.settings.connection_max)
            self.session = self.core.open_session(
                principal, head.settings.vhost, self, permitted=not head.authorizer.demands_entry
            )
            self.session.introduce(self)
        else:
            self.session.renew(principal)
        self._over_ms = principal.expires_ms if isinstance(principal, Bearer) else None

    @property
    def lifetime_ms(self) -> int:
        """How long the login is good for; 0: for ever, or there is none."""
        return 0 if self._over_ms is None else max(1, self._over_ms - self.core.changes.now_ms)

    def describe(self) -> str:
        """See `Client`."""
        return f"{self.peer} ({self._software or 'kafka'})"

    @property
    def _software(self) -> str:
        return " ".join(self.client_software).strip()

    def refuse(self, reason: str) -> None:
        """Close it, when what was answered up to now is written; the operator is told why."""
        _log.warning("closing the Kafka connection %s: %s", self.peer, reason)
        self._end()

    def _end(self) -> None:
        """Have the socket closed when all answers so far are written."""
        self.ask_no_more()
        self.want_close = True
        self.on_output()

    def mute(self, pause_ms: int) -> None:
        """Act on nothing of it for so long (K74); what is under way is answered."""
        self._muted_ms = max(self._muted_ms, self.core.changes.now_ms + pause_ms)
        self.core.scheduler.at(self._muted_ms, self)

    def turn_away(self, pause_ms: int) -> None:
        """Act on nothing of it, and close it then: too many come from there (K74). No word of it in the log,
        which would grow by each."""
        self._turned_away = True
        self.mute(pause_ms)

    def on_timer(self, now_ms: int) -> None:
        """A pause is over, unless another one has begun meanwhile."""
        if self._turned_away:
            self._end()
            return
        self._go_on()
        self.on_output()

    # --- answers out -------------------------------------------------------------------------------

    def ready(self, size: int) -> None:
        """A call has an answer of so many bytes; after enough of them the client has to read first."""
        if self.is_closed:
            return
        self.bodies_out_bytes += size
        self._untaken_bytes += size
        self.head.untaken_bytes += size
        if self.bodies_out_bytes >= ANSWERS_BYTES:
            self.writable = False

    def answered(self) -> None:
        """A call has its answer: whatever is next in order can leave."""
        if self._scanning:
            return
        self._flush_answers()

    def _flush_answers(self) -> None:
        if self._calls and self._calls[0].pieces is not None and not self.is_closed:
            self.on_output()

    def take_output(self) -> list[bytes | bytearray | memoryview]:
        """Answers that are ready, in the order of their requests."""
        out: list[bytes | bytearray | memoryview] = []
        calls = self._calls
        while calls:
            pieces = calls[0].pieces
            if pieces is None:
                break
            call = calls.popleft()
            self._calls_bytes -= call.size
            self.bodies_out_bytes -= call.answer_size
            self._carrying -= call.key in CARRYING_RECORDS
            if pieces:
                out.append(_SIZE.pack(sum(map(len, pieces))))
                out += pieces
        if self.writable:
            self._let_go()
            self._go_on()
        else:
            # The driver wakes it when it has written that, and has said whether it was too much.
            self.writable = self._has_room
        return out

    @property
    def _has_room(self) -> bool:
        return not self._paused and self.bodies_out_bytes < ANSWERS_BYTES

    # --- what the driver says ----------------------------------------------------------------------

    def pause(self) -> None:
        self._paused = True
        self.writable = False

    def unpause(self) -> None:
        self._paused = False
        self._let_go()
        self.writable = self._has_room
        self.wake_consumers()

    def wake_consumers(self) -> None:
        """What it has asked for and was left where it is goes on, if there is room."""
        if not self._paused:
            self._let_go()
        self._go_on()

    def _let_go(self) -> None:
        """Its socket has taken what was written, or nearly all of it."""
        self.head.untaken_bytes += self.bodies_out_bytes - self._untaken_bytes
        self._untaken_bytes = self.bodies_out_bytes

    def tick(self, now_ms: int) -> None:
        """Close a connection that has been silent for too long, unless something of it is under way."""
        if self._over_ms is not None and now_ms >= self._over_ms:
            self.refuse("its login is over, and it has not logged in again")
            return
        if self._asking is not None:
            return
        idle_ms = self.head.settings.idle_ms
        if not self._calls and now_ms - self._received_ms >= idle_ms:
            self._end()
        elif self.session is None and self._asking is None and self._is_late(now_ms):
            self.refuse("nobody has logged in in time")

    def _is_late(self, now_ms: int) -> bool:
        """Whether its client should have come in by now.

        Who need not log in may have asked for versions alone: librdkafka keeps a connection to a coordinator
        so.
        """
        settings = self.head.settings
        may_come_in = self.certificate_user is not None or settings.admits(loopback=self.loopback)
        is_strange = not may_come_in or self.client_id is None
        return is_strange and now_ms - self._started_ms >= settings.login_ms

    def shut_down(self, text: str) -> None:
        """Close it from the broker's side. Clients look for another connection without being told why."""
        self.was_shut_down = True
        self._end()

    def closed(self, reason: str) -> None:
        """The socket is gone."""
        self.ask_no_more()
        self.is_closed = True
        for call in self._calls:
            if call.gone is not None:
                call.gone()
        self._calls.clear()
        self.bodies_out_bytes = 0
        self._let_go()
        self._input.clear()
        self.head.forget(self)
        if self.session is not None:
            self.session.close()
            self.session.part()

    # --- what the core says ------------------------------------------------------------------------

    def unblocked(self) -> None:
        self._go_on()
        self.on_output()

    @property
    def channel_count(self) -> int:
        return 0

    # --- what people see ---------------------------------------------------------------------------

    def client_facts(self) -> ClientFacts:
        """What it is."""
        name, version = self.client_software
        properties = {"product": name, "version": version} if name else {}
        if self.client_id:
            properties["connection_name"] = self.client_id
        return self.facts("Kafka", self.sasl_mechanism or "ANONYMOUS", 0, properties, channel_max=0)
