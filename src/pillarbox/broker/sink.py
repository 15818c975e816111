"""What the core may ask of a head. Always batches, never one message at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.errors import Reason


class Outlet(Protocol):
    """The way out of one connection. While it is not writable, its consumers get nothing."""

    writable: bool

    def blocked(self, reason: str) -> None:
        """Publishers are being held up, for this reason."""

    @property
    def channel_count(self) -> int:
        """How many channels are open, where the protocol has such a thing."""

    def shut_down(self, text: str) -> None:
        """Close the connection: the broker's side wants it, for this reason."""

    def unblocked(self) -> None:
        """They are not any more."""


class Waiting(Protocol):
    """Whoever waits until something is safe."""

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """The publishes with these numbers are safe (inclusive)."""

    def refuse(self, tag_first: int, tag_last: int) -> None:
        """The publishes with these numbers (inclusive) were refused; all before them are answered."""

    def disconnect(self, reason: Reason, text: str) -> None:
        """End the connection: what it waits for cannot be."""


class Sink(Protocol):
    """A receiver of deliveries: an AMQP channel, a STOMP session."""

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        """Send a run of messages; they carry the tags `tag_first`, `tag_first + 1`, ..."""

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """The queue went away under this consumer, or the right to read it; what it has out stays out."""

    def time_answers(self, queue: Queue) -> None:
        """Deliveries of this queue have to be answered in time from now on (see `ack_timeout`)."""
