"""One client's connection: packets in, in the order that MQTT wants, and packets out. Sans I/O.

What packets mean stands in `connecting`, `subscribing`, `inbound` and `outbound`; `HANDLERS` says which.

What is wrong ends the connection, and a client of version 5 is told why. Source: MQTT 5.0, chapters 3 and 4.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pillarbox.broker.bearer import Bearer
from pillarbox.broker.lean import NO_LIST
from pillarbox.broker.outside import Undecided, Waiter
from pillarbox.errors import BrokerError
from pillarbox.protocols.base import StreamConnection
from pillarbox.protocols.mqtt import connecting, packets, subscribing
from pillarbox.protocols.mqtt.errors import reason_of
from pillarbox.protocols.mqtt.inbound import Inbound
from pillarbox.protocols.mqtt.packets import (
    BARE_BYTES,
    BARE_PACKET_BYTES,
    Answer,
    Auth,
    Connect,
    Disconnect,
    PingRequest,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from pillarbox.protocols.mqtt.primitives import WireError
from pillarbox.protocols.mqtt.properties import CONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from pillarbox.protocols.mqtt.reasons import ReasonCode
from pillarbox.protocols.mqtt.sessions import bounded

if TYPE_CHECKING:
    from pillarbox.broker.client import ClientFacts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.protocols.mqtt.head import Head
    from pillarbox.protocols.mqtt.outbound import Outbound
    from pillarbox.protocols.mqtt.sessions import ClientSession

STRANGER_BYTES_MAX: Final = 256 << 10
"""Of the first packet: a name, a password and a will, each of up to 64 KiB."""

LARGE_BYTES: Final = 64 << 10
"""From this size on a packet that is on its way is read in larger pieces."""

REST_MS: Final = 5000
"""After so much silence a connection gives back what it needs only while messages come and go."""
LOOK_MS: Final = 1500
"""It is looked at at least as often."""

PLAIN: Final = frozenset(PUBLISH << 4 | qos << 1 for qos in (0, 1, 2))
"""First bytes of a PUBLISH that is neither retained nor a duplicate."""
EXACTLY_ONCE: Final = PUBLISH << 4 | 2 << 1
"""The one of QoS 2."""

SHOWN: Final = {packets.V31: "MQTT 3.1", packets.V311: "MQTT 3.1.1", packets.V5: "MQTT 5.0"}

_log = logging.getLogger("pillarbox.mqtt")


class Connection(StreamConnection):
    """See the module."""

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
        self.version = packets.V311
        self.state: ClientSession | None = None
        """What outlives the connection, or may; None before CONNECT and after the end."""
        self.client_id = ""
        self.will: Will | None = None
        self.keep_alive_s = 0
        self.packet_bytes_max = packets.PACKET_BYTES_MAX
        """Of packets to the client."""
        self.wants_reasons = True
        """Answers to its packets may say in words what is wrong (3.1.2.11.7)."""
        self.inbound = Inbound(self)
        self.outbound: Outbound
        """Made with the session."""

    def __repr__(self) -> str:
        name = self.state.client_id if self.state is not None else None
        return f"<Connection {self.peer} client={name!r}>"

    # --- bytes in ----------------------------------------------------------------------------------

    def _scan(self) -> None:
        try:
            try:
                used = self._scan_packets(bytes(self._input))
            finally:
                self.inbound.flush()
                if self.state is not None:
                    self.outbound.flush()
        except WireError as error:
            used = len(self._input)
            if error.reason is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
                # In the words that every version understands.
                self.send(packets.connack(packets.V311, 1, session_present=False, properties={}))
            self.refuse(error.reason, str(error))
        del self._input[:used]

    def _scan_packets(self, data: bytes) -> int:
        """Act on all whole packets; return how many bytes they are. Raises WireError."""
        at = self.in_body = count = counted = 0
        traffic = self.head.traffic
        take, take_alike, least_answer = self.inbound.take, self.inbound.take_alike, PUBACK << 4
        while at < len(data) and not self.want_close:
            first = data[at]
            if self.state is None and first >> 4 != CONNECT:
                raise WireError(ReasonCode.PROTOCOL_ERROR, "it does not begin with CONNECT")
            if first >= least_answer and first in BARE:
                if first == least_answer:
                    self.inbound.flush()
                    after = self.outbound.take_acknowledgements(data, at)
                    if after > at:
                        count += (after - at) // BARE_PACKET_BYTES
                        at = after
                        continue
                elif self._take_bare(first, data, at):
                    at += BARE_PACKET_BYTES
                    count += 1
                    continue
            sized = packets.size_of(data, at)
            if sized is None:
                break
            start, end = sized
            self._demand_size(end - at)
            if end > len(data):
                self.in_body = end - at if end - at >= LARGE_BYTES else 0
                break
            if first >> 4 == PUBLISH and self.core.alarm is not None:
                self.published = self.waiting = True
                break
            if first in PLAIN and end - start > 2 and (body := take(first, data, start, end)):
                number = 1
                if end < len(data) and first != EXACTLY_ONCE:
                    number += take_alike(data, at, body, end)
                count += number
                at += number * (end - at)
                continue
            at = end
            count += 1
            # A packet may ask for these totals, so it finds those of all before it, and its own.
            traffic.packets_in += count
            traffic.bytes_in += at - counted
            count, counted = 0, at
            self.inbound.flush()
            packet = packets.decode(first, data[start:end], self.version)
            self._act_on(packet)
            if self._asking is not None:
                break
        traffic.packets_in += count
        traffic.bytes_in += at - counted
        return len(data) if self.want_close else at

    def _take_bare(self, first: int, data: bytes, at: int) -> bool:
        """Act on an answer that says nothing but which message it is for; False: here is none."""
        if len(data) - at < BARE_PACKET_BYTES or data[at + 1] != BARE_BYTES:
            return False
        packet_id = data[at + 2] << 8 | data[at + 3]
        if not packet_id:
            return False
        self.inbound.flush()
        BARE[first](self, packet_id)
        return True

    def _act_on(self, packet: Any) -> None:
        """Do what a packet asks for, or do it again when somebody outside has allowed it (R8).

        What is refused, and no answer to the packet has a place for, ends the connection.
        """
        try:
            HANDLERS[type(packet)](self, packet)
        except Undecided as undecided:
            self.ask(undecided, lambda: self._act_on(packet))
        except BrokerError as error:
            self.refuse(reason_of(error), error.text)

    def ask(self, undecided: Undecided, again: Callable[[], None]) -> None:
        """See `BaseConnection`."""
        super().ask(undecided, lambda: self._go_on_with(again))

    def go_on_later(self, again: Callable[[], None]) -> None:
        """Do more of what a packet asks for in another turn: it is too much for one. Input waits."""

        def go_on() -> None:
            if turn.again is not None:
                self._asking = None
                self._go_on_with(turn.again)
                if self._asking is None:
                    self.go_on_reading()

        turn = Waiter(again, {})
        self.waiting, self._asking = True, turn
        self.core.chores.in_turn(go_on)

    def _go_on_with(self, again: Callable[[], None]) -> None:
        """What is wrong now is as wrong as if it had been done at once."""
        try:
            again()
        except WireError as error:
            self.refuse(error.reason, str(error))
        except BrokerError as error:
            self.refuse(reason_of(error), error.text)
        except Undecided as still:
            self.ask(still, again)

    def _demand_size(self, size: int) -> None:
        limit = self.head.settings.packet_bytes_max if self.state is not None else STRANGER_BYTES_MAX
        if size > limit:
            raise WireError(ReasonCode.PACKET_TOO_LARGE, f"a packet of {size} bytes")

    # --- packets out ---------------------------------------------------------------------------------

    def send(self, data: bytes, packets_count: int = 1) -> None:
        """Have so many packets written in this turn."""
        if not self._out:
            self._out = []
            self.on_output()
        self._out.append(data)
        self.bodies_out_bytes += len(data)
        self.head.traffic.packets_out += packets_count

    def take_output(self) -> list[bytes | bytearray | memoryview]:
        """What there is to write."""
        self.head.traffic.bytes_out += self.bodies_out_bytes
        out, self._out = self._out, NO_LIST
        self.bodies_out_bytes = 0
        return out

    def send_reason(self, write: Callable[[str | None], bytes], text: str) -> None:
        """Send a packet that says so in words, or without them if they make it too large for the client
        ([MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.14.2-3])."""
        packet = write(text)
        self.send(packet if len(packet) <= self.packet_bytes_max else write(None))

    def answer_when_durable(self, kind: int, packet_id: int) -> None:
        """Send PUBREC, PUBREL or PUBCOMP when all that was kept up to now is durable."""
        self.reply_when_durable(packets.answer(kind, packet_id, self.version))

    def reply_when_durable(self, packet: bytes) -> None:
        """Send a packet when all that was kept up to now is durable.

        A session that ends with its connection has nothing that a crash could break.
        """
        state = self.state
        assert state is not None
        if not state.is_kept:
            self.send(packet)
            return

        def reply(failure: str | None) -> None:
            if failure is not None:
                self.refuse(ReasonCode.UNSPECIFIED, failure)
            elif self.state is state:
                self.send(packet)

        self.head.promises.when_durable(reply)

    # --- the end ---------------------------------------------------------------------------------------

    def refuse(self, reason: ReasonCode, text: str) -> None:
        """End it for what the client has done or may not do; it is told if its version can be."""
        if self.want_close:
            return
        _log.warning("closing the MQTT connection %s: %s", self.peer, text)
        self._disconnect(reason, text)

    def shut_down(self, text: str) -> None:
        """Close it from the broker's side, for this reason."""
        self._disconnect(ReasonCode.ADMINISTRATIVE_ACTION, text)

    def take_over(self) -> None:
        """Another connection goes on with the session."""
        self._disconnect(ReasonCode.SESSION_TAKEN_OVER, "another client has connected under this name")

    def _disconnect(self, reason: ReasonCode, text: str) -> None:
        if self.version >= packets.V5 and self.state is not None:
            self.send_reason(partial(packets.disconnect, reason), text)
        self.end()

    def end(self) -> None:
        """Leave the session, publish the will if there is one, and have the socket closed."""
        state = self.state
        if state is not None:
            self.outbound.end()
            self.state = None
            session, will = self.session, self.will
            assert session is not None
            session.close()
            self.head.left(self, state, session, will)
        self.ask_no_more()
        self.want_close = True
        self.on_output()

    def closed(self, reason: str) -> None:
        """The socket is gone."""
        self.end()
        self._input.clear()
        # What points back here would keep all of it until the collector looks at what is old.
        self.inbound.close()
        if self.session is not None:
            self.session = None
            self.outbound.close()

    # --- what the driver says --------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """End a connection that is silent for one and a half times its keep alive (3.1.2.10)."""
        silent_ms = now_ms - self._received_ms
        if self.want_close or self._asking is not None:
            return
        if self.session is None:
            if now_ms - self._started_ms >= self.head.settings.login_ms:
                self.refuse(ReasonCode.UNSPECIFIED, "nobody has connected in time")
        elif self.keep_alive_s and silent_ms >= self.keep_alive_s * 1500:
            self.refuse(ReasonCode.KEEP_ALIVE_TIMEOUT, "nothing was heard of it in time")
        elif isinstance(self.session.user, Bearer) and now_ms >= self.session.user.expires_ms:
            self.refuse(ReasonCode.MAXIMUM_CONNECT_TIME, "its token is not valid any more")
        elif REST_MS <= silent_ms < REST_MS + LOOK_MS:
            self.outbound.rest()

    def consumers(self) -> list[Consumer]:
        return list(self.outbound.consumers.values()) if self.state is not None else []

    def describe(self) -> str:
        """See `Client`."""
        return f"MQTT client {self.client_id!r} at {self.peer}"

    def client_facts(self) -> ClientFacts:
        """What it is."""
        properties = {"client_id": self.state.client_id} if self.state is not None else {}
        return self.facts(SHOWN[self.version], "PLAIN", self.keep_alive_s, properties)


# --- what packets do ---------------------------------------------------------------------------------


def _acknowledged(connection: Connection, packet_id: int, reason: int = 0) -> None:
    connection.outbound.acknowledged(packet_id)


def _received(connection: Connection, packet_id: int, reason: int = 0) -> None:
    connection.outbound.received(packet_id, reason)


def _released(connection: Connection, packet_id: int, reason: int = 0) -> None:
    connection.inbound.released(packet_id)


def _completed(connection: Connection, packet_id: int, reason: int = 0) -> None:
    connection.outbound.completed(packet_id)


ANSWERS: Final = {PUBACK: _acknowledged, PUBREC: _received, PUBREL: _released, PUBCOMP: _completed}

BARE: Final = {packets.ANSWER_FIRSTS[kind]: act for kind, act in ANSWERS.items()}
"""The same by the first byte of their packets."""


def _answer(connection: Connection, answer: Answer) -> None:
    ANSWERS[answer.kind](connection, answer.packet_id, answer.reason)


def _publish(connection: Connection, publish: Publish) -> None:
    connection.inbound.publish(publish)


def _ping(connection: Connection, ping: PingRequest) -> None:
    connection.send(packets.PING_RESPONSE)


def _disconnect(connection: Connection, disconnect: Disconnect) -> None:
    """The client goes, and says whether its will counts and how long its session lives (3.14)."""
    state = connection.state
    assert state is not None
    expiry_s = disconnect.properties.get("session_expiry_interval")
    if expiry_s is not None:
        if expiry_s and not state.expiry_s:
            raise WireError(ReasonCode.PROTOCOL_ERROR, "a session expiry where there was none")
        head = connection.head
        head.sessions.set_expiry(state, bounded(expiry_s, head.settings.session_expiry_max_s))
    if disconnect.reason == ReasonCode.SUCCESS:
        # Whatever else it says, it is no good end ([MQTT-3.1.2-10]).
        connection.will = None
    connection.end()


def _auth(connection: Connection, auth: Auth) -> None:
    raise WireError(ReasonCode.PROTOCOL_ERROR, "AUTH where no method was agreed upon")


HANDLERS: Final[dict[type, Callable[[Connection, Any], None]]] = {
    Connect: connecting.connect,
    Publish: _publish,
    Answer: _answer,
    Subscribe: subscribing.subscribe,
    Unsubscribe: subscribing.unsubscribe,
    PingRequest: _ping,
    Disconnect: _disconnect,
    Auth: _auth,
}
