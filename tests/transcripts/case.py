"""What every scenario gets: names of its own, and the transcript that it writes."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

Line = list[Any]
"""What was seen, and its values: what JSON can hold."""


class Case:
    """One run of a scenario. Names end with a token of the run, which the transcript does not show."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
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
