"""A producer whose transactions have an epoch each (KIP-890), and what it was promised of them.

Every client in Python that there is has transactions of the first kind, so this one says by itself what the
protocol says. It remembers what was under way when the broker died, asks again for an end that was not
answered, as such a client does, and has to be told the next epoch, whatever the crash has overtaken.
"""

from __future__ import annotations

import contextlib
import threading
import time

from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.transactions import EPOCH_LAST
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.party import NEW, Party

from .rounds import Wrong

TOPIC, NAME = "second", "second kind"
JOINS = 12
"""The version of Produce by which a partition joins the transaction."""
ABORT_EVERY = 3
PATIENCE_S = 20.0


class SecondKind:
    """See the module. Its records are numbers; `committed` are those that readers have to see, in order."""

    def __init__(self) -> None:
        self.committed: list[int] = []
        self.asked_again = 0
        """Ends that were not answered before the broker died."""
        self._party: Party | None = None
        self._ending: tuple[int, bool] | None = None
        """A number, and whether to commit it: an end that was asked for and not answered."""
        self._next = 0

    def settle(self, bootstrap: str) -> None:
        """After a start of the broker: come to an end with what was under way. Raises Wrong."""
        with Asking(bootstrap) as client:
            party = self._of(client)
            if self._ending is not None:
                self.asked_again += 1
                self._end(party, *self._ending)
            if party.id < 0:
                client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
            self._demand(party.begin(go_on=party.id >= 0), "it cannot begin again")

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """One transaction after the other, until the broker is gone."""
        with contextlib.suppress(OSError), Asking(bootstrap) as client:
            party = self._of(client)
            while not stop.is_set():
                number, self._next = self._next, self._next + 1
                self._demand(party.send(str(number).encode(), version=JOINS), f"{number} is refused")
                self._ending = number, number % ABORT_EVERY != 0
                self._end(party, *self._ending)

    def _of(self, client: Asking) -> Party:
        if self._party is None:
            self._party = Party(client, NAME, TOPIC)
        self._party.client = client
        self._party.client_ms = int(time.time() * 1000)
        return self._party

    def _end(self, party: Party, number: int, commit: bool) -> None:
        id_before, before = party.id, party.epoch
        deadline = time.monotonic() + PATIENCE_S
        while (error := party.end(commit=commit, version=NEW)) == Code.CONCURRENT_TRANSACTIONS:
            if time.monotonic() > deadline:
                break
        self._demand(error, f"the end of {number} is refused")
        # Behind the last epoch comes another producer.
        is_last = before == EPOCH_LAST
        if party.epoch != (0 if is_last else before + 1) or (party.id != id_before) != is_last:
            told = f"{party.id} and {party.epoch}, and were {id_before} and {before}"
            raise Wrong(f"after {number} producer and epoch are {told}")
        self._ending = None
        if commit:
            self.committed.append(number)

    @staticmethod
    def _demand(error: Code, sentence: str) -> None:
        if error != Code.NONE:
            raise Wrong(f"second kind: {sentence}: {error.name}")
