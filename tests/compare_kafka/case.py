"""What a scenario gets: a broker's addresses, names of its own, and the transcript that it writes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Line = list[Any]
"""What was seen, and its values: what JSON can hold."""


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


class Case:
    """One run of a scenario. Names end with a token of the run, which the transcript does not show."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.bootstrap = broker.bootstrap
        self.sasl_bootstrap = broker.sasl_bootstrap
        self.lines: list[Line] = []
        self.clients: dict[str, Any] = {}
        """What a file's tools keep for as long as the case lives, by a name of theirs."""
        self._ending = f"-{secrets.token_hex(4)}"

    def name(self, word: str) -> str:
        """Return a name that no other run uses, for a topic, a group or an id."""
        return word + self._ending

    def saw(self, what: str, *values: Any) -> None:
        """Add a line."""
        self.lines.append([what, *map(self._plain, values)])

    def shorten(self, text: str) -> str:
        """Return a text without the token of this run."""
        return text.replace(self._ending, "")

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Enum):
            return value.name
        if isinstance(value, bytes | bytearray):
            return self.shorten(bytes(value).decode(errors="backslashreplace"))
        if isinstance(value, Mapping):
            return {self.shorten(str(key)): self._plain(each) for key, each in value.items()}
        if isinstance(value, Iterable) and not isinstance(value, str):
            return [self._plain(each) for each in value]
        return self.shorten(str(value))
