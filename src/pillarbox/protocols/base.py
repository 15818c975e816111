"""What connections of several protocols share: the side that the driver sees, and what people are shown.

A head's connection adds how bytes are taken apart and what they mean. Not here: any protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pillarbox.broker.client import ClientFacts, Tls
from pillarbox.broker.counters import TrafficCounters
from pillarbox.broker.lean import NO_LIST
from pillarbox.broker.outside import Caller

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.core import Core
    from pillarbox.broker.outside import Undecided, Waiter
    from pillarbox.broker.session import Session


def _nothing() -> int:
    return 0


class BaseConnection:
    """What all have; see `net.driver.Connection`. `peer` names both ends of the socket for people;
    `loopback`: the peer is this host; `on_output` is called when there is something to write."""

    published = False
    """Has published while publishers are held up."""
    certificate_user: str | None = None
    """Whom the client's TLS certificate speaks for."""
    tls: Mapping[str, str] | None = None
    in_body = 0
    """How many bytes there have to be before it is worth while to look at them; 0: nobody knows."""

    def __init__(
        self,
        core: Core,
        *,
        peer: str = "",
        loopback: bool = True,
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        self.core = core
        self.peer = peer
        self.loopback = loopback
        self.on_output = on_output
        self.unsent_bytes: Callable[[], int] = _nothing
        self.traffic = TrafficCounters()
        self.writable = True
        self.waiting = False
        self.want_close = False
        self.session: Session | None = None
        """Of whoever has logged in."""
        self._asking: Waiter | None = None
        """Somebody outside is being asked who this is, or what it may do (R8); input waits meanwhile."""
        self._input = bytearray()
        self._started_ms = self._received_ms = core.changes.now_ms

    # --- what the driver says --------------------------------------------------------------------------

    def touch(self, now_ms: int) -> None:
        """It is not read: its silence is ours."""
        self._received_ms = now_ms

    def pause(self) -> None:
        """Its socket takes nothing at the moment."""
        self.writable = False

    def unpause(self) -> None:
        self.writable = True
        self.wake_consumers()

    def wake_consumers(self) -> None:
        """Let its queues look whether there is something for it."""
        for consumer in self.consumers():
            consumer.queue.wake()

    def consumers(self) -> list[Consumer]:
        """All that receive for it."""
        return []

    # --- what others are asked ---------------------------------------------------------------------------

    @property
    def caller(self) -> Caller:
        """Where its client is, for those who want to know that before they let it in."""
        return Caller(self.addresses[0])

    def ask(self, undecided: Undecided, again: Callable[[], None]) -> None:
        """Leave input where it is until somebody outside has answered; then do again what wanted to know."""

        def answered() -> None:
            self._asking = None
            again()
            self.core.users.outside.over()
            if self._asking is None:
                self.go_on_reading()

        self.waiting = True
        self._asking = self.core.users.outside.when_answered(undecided, answered)

    def go_on_reading(self) -> None:
        """Act on the input that waits, unless there is a further reason for that."""

    def ask_no_more(self) -> None:
        """It ends: what nobody has allowed yet does not happen."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    # --- what the core says ------------------------------------------------------------------------------

    def blocked(self, reason: str) -> None:
        """Publishers are being held up: what they publish is left where it is."""

    # --- what people see -----------------------------------------------------------------------------------

    @property
    def flow_state(self) -> str:
        return "blocked" if self.published else "running"

    @property
    def addresses(self) -> tuple[str, int, str, int]:
        """Host and port of the client, host and port of the socket that accepted it."""
        theirs, _, ours = self.peer.partition(" -> ")
        return (*_parted(theirs), *_parted(ours))

    def facts(
        self,
        protocol: str,
        mechanism: str,
        timeout_s: int,
        properties: Mapping[str, Any],
        *,
        channel_max: int = 1,
    ) -> ClientFacts:
        """What it is, in the words of `Client`."""
        peer_host, peer_port, host, port = self.addresses
        tls = Tls(**self.tls) if self.tls is not None else None
        return ClientFacts(
            self.peer,
            protocol,
            host,
            port,
            peer_host,
            peer_port,
            mechanism,
            channel_max,
            0,
            timeout_s,
            properties,
            self._started_ms,
            tls,
        )


class StreamConnection(BaseConnection):
    """One whose packets are acted on as they come, and written in the order in which they are sent.

    It is its own and only channel.
    """

    def __init__(
        self,
        core: Core,
        *,
        peer: str = "",
        loopback: bool = True,
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(core, peer=peer, loopback=loopback, on_output=on_output)
        self.bodies_out_bytes = 0
        self._out: list[bytes | bytearray | memoryview] = NO_LIST

    def receive(self, data: bytes | memoryview) -> None:
        """Take what the socket gave and act on what is whole. Nothing of `data` is kept."""
        self._received_ms = self.core.changes.now_ms
        self._input += data
        if self.waiting:
            return
        if len(self._input) >= self.in_body:
            self._scan()
        if self.in_body and self.core.alarm is not None:
            self._leave_unread()

    def _leave_unread(self) -> None:
        """Leave the rest of a large message where it is: what was announced before an alarm does not come on
        top of what there is."""
        self.published = self.waiting = True

    def _scan(self) -> None:
        """Act on all of `_input` that is whole, and leave the rest."""
        raise NotImplementedError

    def body_bytes_due(self) -> int:
        """How many bytes are sure to come while `in_body`."""
        return max(0, self.in_body - len(self._input))

    def send(self, data: bytes) -> None:
        """Have this written in this turn."""
        if not self._out:
            self._out = []
            self.on_output()
        self._out.append(data)
        self.bodies_out_bytes += len(data)

    def take_output(self) -> list[bytes | bytearray | memoryview]:
        """What there is to write."""
        out, self._out = self._out, NO_LIST
        self.bodies_out_bytes = 0
        return out

    def unblocked(self) -> None:
        if self.waiting and self._asking is None:
            self.go_on_reading()

    def go_on_reading(self) -> None:
        self.waiting = False
        self._scan()
        self.on_output()

    @property
    def channel_count(self) -> int:
        return int(self.session is not None)


def _parted(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0
