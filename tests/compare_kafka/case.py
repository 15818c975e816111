"""What a scenario gets besides its transcript: a broker's addresses, and a place for its clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.transcripts import case


@dataclass(frozen=True)
class Broker:
    """A running broker as clients see it."""

    name: str
    bootstrap: str
    sasl_bootstrap: str
    """Takes the users of `bench.kafka_peer.USERS` by PLAIN and SCRAM."""
    restart: Callable[[], None]
    """Stop it and start it again, on the same data and ports."""
    printed: Callable[[], str]


class Case(case.Case):
    """One run of a scenario on a broker."""

    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self.broker = broker
        self.bootstrap = broker.bootstrap
        self.sasl_bootstrap = broker.sasl_bootstrap
        self.clients: dict[str, Any] = {}
        """What a file's tools keep for as long as the case lives, by a name of theirs."""
