"""Receipts, in the order in which they were asked for.

That of a SEND leaves when its message is safe, as a confirm does; all others when what came before is.
Source: STOMP 1.2, "receipt"; row A4.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pillarbox.broker.confirm import Publisher
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.stomp.errors import REJECTED, StompError, from_broker_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillarbox.broker.core import Core
    from pillarbox.broker.counters import ChannelCounters
    from pillarbox.protocols.stomp.connection import Connection


class Receipts:
    """Those that one client has asked for and not got: what the core tells when something is safe."""

    def __init__(self, connection: Connection, core: Core, counters: ChannelCounters) -> None:
        self._connection = connection
        self._core = core
        self._counters = counters
        self.publisher: Publisher | None = Publisher(self)
        self._asked: deque[bytes | None] = deque()
        """In order; None: of a message that asked for none."""

    def __repr__(self) -> str:
        return f"<Receipts owed={len(self._asked)}>"

    def __len__(self) -> int:
        return len(self._asked)

    def owed(self) -> list[bytes | None]:
        """What was asked for and not sent, in order; None: of a message that asked for none."""
        return list(self._asked)

    def promise(self, asked: list[bytes | None], stored: bool, refused: Sequence[int] = ()) -> None:
        """Messages were taken, of which some asked for receipts; see `Confirms.accept`."""
        assert self.publisher is not None
        self._asked.extend(asked)
        self._core.confirms.accept(self.publisher, len(asked), stored, refused)
        self._core.wake()

    def ask(self, asked: bytes | None) -> None:
        """Send a receipt when everything that this client has done so far is as safe as it will be.

        If it can never be, the connection ends, as that of all who wait for one.
        """
        if asked is None:
            return
        core = self._core
        stored = core.owes
        if stored and core.failure is not None:
            self.disconnect(Reason.INTERNAL_ERROR, core.failure)
        elif stored or self._asked:
            self.promise([asked], stored)
        else:
            self._send([asked])

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """See `Waiting`."""
        done = self._asked.popleft
        asked = [one for _ in range(tag_first, tag_last + 1) if (one := done()) is not None]
        self._counters.confirm += len(asked)
        self._send(asked)
        self._connection.receipts_sent()

    def _send(self, asked: list[bytes]) -> None:
        # Nothing follows an ERROR that ends the connection.
        if asked and not self._connection.want_close:
            self._connection.send(b"".join([b"RECEIPT\nreceipt-id:%b\n\n\0\n" % one for one in asked]))

    def refuse(self, tag_first: int, tag_last: int) -> None:
        """See `Waiting`: STOMP has no word for one message that was refused, so the connection ends."""
        asked = self._asked.popleft()
        for _ in range(tag_first, tag_last):
            self._asked.popleft()
        error = StompError(REJECTED, "a queue that is full has refused the message")
        self._connection.fail(error, receipt=asked)

    def disconnect(self, reason: Reason, text: str) -> None:
        """See `Waiting`."""
        self._connection.fail(from_broker_error(BrokerError(reason, text)))
