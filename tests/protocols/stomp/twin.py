"""The slow, obvious twins of the quick ways: a connection that reads in small pieces and frame by frame,
looks every head up, and writes header by header.

Source: DESIGN, "hot loops ... carry a benchmark and a slow, obvious twin in the tests".
"""

from __future__ import annotations

from typing import Any

from pillarbox.broker.consumer import Consumer
from pillarbox.broker.run import Run
from pillarbox.protocols.stomp.channel import Channel
from pillarbox.protocols.stomp.connection import SHARE, Connection
from pillarbox.protocols.stomp.destinations import TOPICS, shown
from pillarbox.protocols.stomp.errors import StompError
from pillarbox.protocols.stomp.headers import as_activemq, from_neutral, moments
from pillarbox.protocols.stomp.subscription import AUTO, Subscription
from pillarbox.protocols.stomp.wire import V12, Scanner, WireError, write_headers


class TwinScanner(Scanner):
    """Compares no frame with the one before."""

    def alike(self) -> tuple[list[bytes], list[bytes]]:
        return [], []


class TwinChannel(Channel):
    """Reads every ACK, and writes every header of every MESSAGE."""

    def acknowledge(self, head: bytes, scanner: Scanner) -> bool:
        return False

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        out = self.connection.hand_out(run.body_bytes)
        subscription: Subscription = consumer.head
        assert run.messages is not None
        for tag, message in enumerate(run.messages, tag_first):
            if subscription.selector is not None and not subscription.wants(message, self.core.dialects):
                if not consumer.no_ack:
                    self._let_go(tag)
                continue
            address, said = message.address, self.core.dialects.said(message)
            number = f"{subscription.tag}@@{self.connection.session_name}@@{tag}"
            told = [] if subscription.identity is None else [("subscription", subscription.identity)]
            destination = shown(address.exchange, address.routing_key, slashes=subscription.is_activemq)
            origin = ""
            if subscription._virtual_queue and address.exchange == TOPICS:
                destination, origin = subscription._virtual_queue, destination
            told += [("destination", destination), ("message-id", number)]
            if subscription.version == V12 and subscription.ack != AUTO:
                told.append(("ack", number))
            told.append(("redelivered", str(run.redelivered).lower()))
            pairs = from_neutral(said, message.expiration_ms)
            own = write_headers(
                as_activemq(pairs, said, origin) if subscription.is_activemq else pairs,
                self.connection.version,
            )
            if subscription.is_activemq:
                own += moments(message, own)
            head = b"MESSAGE\n" + write_headers(told, self.connection.version) + own
            out.append(head + b"content-length:%d\n\n" % len(message.body) + message.body + b"\0\n")


class TwinConnection(Connection):
    """See the module."""

    def __init__(self, *arguments: Any, piece_bytes: int = 1, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._scanner = TwinScanner()
        self._piece_bytes = piece_bytes

    def receive(self, data: bytes | memoryview) -> None:
        """Take what the socket gave at once, each piece as if it had come by itself."""
        self._received_ms = self.core.changes.now_ms
        if not self.waiting:
            self._share = SHARE
        for at in range(0, len(data), self._piece_bytes):
            if self.want_close:
                break
            try:
                self._scanner.feed(data[at : at + self._piece_bytes])
            except WireError as error:
                self.fail(StompError("Bad frame", str(error)))
                break
            if not self.waiting:
                self._scan()

    def _log_in(self, headers: Any) -> None:
        super()._log_in(headers)
        assert self.channel is not None
        self.channel.__class__ = TwinChannel
