"""The fence between the core and the heads: a mistake in one of them costs a connection, not the broker.

Heads write deliveries and confirms while the core is in the middle of a tick. An exception of theirs is
reported, their connection ends with the tick, when nobody goes through consumers or publishers any more, and
all others get what is theirs. What the connection had out goes back to its queues.
Not here: exceptions in a head's own input, which end its socket before the core hears of anything.
"""

from __future__ import annotations

from collections.abc import Callable

END = "the broker has a defect, see its log"
"""What such a client is told, if anything."""


def raised(error: Exception) -> None:
    """Where nobody takes reports, such as in a test of the core, the exception goes on."""
    raise error


class Fence:
    """One per broker. `report` takes each exception; `wake` asks for a tick."""

    def __init__(
        self, report: Callable[[Exception], None] = raised, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.report = report
        """For exceptions in a call to somebody who waits, of whom no connection is known: it gets no answer,
        and those behind it are called."""
        self._wake = wake
        self.broken: dict[object, Callable[[str], None]] = {}
        """Those whose connections are to end, with what ends them."""

    def broke(self, who: object, end: Callable[[str], None], error: Exception) -> None:
        """Report an exception, and have the connection of whoever raised it ended soon."""
        self.report(error)
        self.broken[who] = end
        self._wake()

    def cut(self) -> None:
        """End the connections of all who have failed."""
        broken, self.broken = self.broken, {}
        for end in broken.values():
            end(END)
