"""A request to the registry, and a row of its table: what handlers get, and who may ask.

Reading is for whoever may enter the virtual host, registering needs the right to write to the subject,
removing and setting the right to configure it, and what is set for all or for a context the tag
`administrator`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from pillarbox.ops.registry import errors, names
from pillarbox.ops.registry.desk import BODY_BYTES_MAX, Desk
from pillarbox.ops.registry.errors import refused

COUNT_MAX: Final = 1 << 31
"""More schemas than anybody has."""


class Right(Enum):
    """What somebody needs; the value is the word of the broker's permissions, or empty."""

    SEE = ""
    REGISTER = "write"
    CHANGE = "configure"
    RULE = "administrator"


class Asked(NamedTuple):
    """A request by somebody who may make it. `path`: the subject in it is with its context, and no alias."""

    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: bytes
    context: str | None = None
    """The one that the path begins with."""

    def all(self, name: str) -> list[str]:
        """What is said by this name, in order."""
        return [value for key, value in self.query if key == name]

    def get(self, name: str, missing: str = "") -> str:
        """What is said by this name last."""
        return next((value for key, value in reversed(self.query) if key == name), missing)

    def flag(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    @property
    def subject(self) -> str:
        """The subject, or the context, that is asked for; all of the default context, if none is."""
        return self.path.get("subject", self.context or names.DEFAULT_CONTEXT)

    def prefix(self, missing: str) -> str:
        """Which subjects are asked for, as `names.matches` has it."""
        inside = self.context if self.context is not None else names.DEFAULT_CONTEXT
        given = self.all("subjectPrefix")
        if not given:
            return missing if self.context is None else inside
        return given[-1] if given[-1].startswith(names.EVERY_CONTEXT) else names.qualified(given[-1], inside)

    def decoded(self, shape: Any) -> Any:
        """The body. Raises 42209, 400 and 422."""
        if len(self.body) > BODY_BYTES_MAX:
            raise refused(errors.TOO_LARGE, BODY_BYTES_MAX)
        try:
            return msgspec.json.decode(self.body, type=shape)
        except msgspec.ValidationError as error:
            raise refused(errors.BAD_BODY, error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.RegistryError(400, f"no JSON: {error}") from None

    def page(self, found: Iterable[Any]) -> Iterator[bytes]:
        """A part of a list, as `offset` and `limit` want it; sent in slices, as it may be long."""
        try:
            offset, limit = int(self.get("offset", "0")), int(self.get("limit", "-1"))
        except ValueError:
            raise errors.RegistryError(400, "offset and limit are numbers") from None
        offset = min(max(0, offset), COUNT_MAX)
        return _listed(islice(found, offset, None if limit < 0 else offset + min(limit, COUNT_MAX)))


def _listed(found: Iterable[Any]) -> Iterator[bytes]:
    separator = b"["
    for one in found:
        yield separator + msgspec.json.encode(one)
        separator = b","
    yield b"[]" if separator == b"[" else b"]"


Handler = Callable[[Desk, Asked], Awaitable[Any]]


class Route(NamedTuple):
    """One request that can be made. `writes`: it needs the desk, and is answered when it is durable."""

    method: str
    path: str
    handler: Handler
    right: Right = Right.SEE
    writes: bool = False
