"""Duplicate detection: a message that says who it is, is taken once at each address (A41).

Of each address the last ids are known, so many as its head says; the oldest give way. Those of persistent
messages are kept in the journal, in the group that brings the message, so that a crash neither takes one
twice nor loses one that nobody has. An id is known by a digest: how long it is costs nothing.

Of all addresses no more than `IDS_MAX` are known: beyond that those of the address go that was used longest
ago. Not here: what an id is, what its sender is told. Source: Artemis, "Duplicate Message Detection".
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker import definitions as kept

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.core import Core

IDS_MAX: Final = 200_000
"""Of a broker; each takes some 400 bytes, most of them as a definition."""
DIGEST_BYTES: Final = 16
FORGET_IDS: Final = 500
"""Ids of an address that are forgotten in one part: less than a millisecond."""
PREFIX: Final = '["duplicate",'
"""How keys begin under which they are kept."""

Address = tuple[str, str, str]
"""Virtual host, exchange and routing key."""


class _Kept(msgspec.Struct, array_like=True):
    """An id as the journal has it."""

    number: int
    digest: bytes


class Duplicates:
    """The ids of one broker; see the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_address: dict[Address, dict[bytes, int]] = {}
        """Digests and their numbers, the oldest first. The address that was used last comes last."""
        self._number = 0
        """Of the next id: it is never used again."""
        self.count = 0
        """Of all ids."""
        self._restore()

    def __repr__(self) -> str:
        return f"<Duplicates addresses={len(self._by_address)} ids={self.count}>"

    def _restore(self) -> None:
        found: dict[Address, list[tuple[int, bytes]]] = {}
        for key, value in self._core.kept(PREFIX):
            _, vhost, exchange, routing_key, _ = msgspec.json.decode(key, type=list[str])
            one = msgspec.msgpack.decode(value, type=_Kept)
            found.setdefault((vhost, exchange, routing_key), []).append((one.number, one.digest))
        for address, numbered in found.items():
            numbered.sort()
            self._by_address[address] = {digest: number for number, digest in numbered}
            self._number = max(self._number, numbered[-1][0] + 1)
            self.count += len(numbered)

    def knows(self, address: Address, identity: str) -> bool:
        """Was a message of this id taken at this address?"""
        ids = self._by_address.get(address)
        return ids is not None and _digest(identity) in ids

    def add(self, address: Address, identity: str, *, size: int, durable: bool) -> None:
        """Know the id of a message that is taken now; `size`: how many are known of its address."""
        ids = self._by_address[address] = self._by_address.pop(address, {})
        digest, number = _digest(identity), self._number
        assert digest not in ids, "a duplicate is not taken"
        self._number += 1
        ids[digest] = number
        self.count += 1
        if durable:
            self._core.keep(_key(address, number), msgspec.msgpack.encode(_Kept(number, digest)))
        while len(ids) > size:
            self.count -= 1
            self._core.keep(_key(address, ids.pop(next(iter(ids)))), None)
        while self.count > IDS_MAX and len(self._by_address) > 1:
            oldest = next(iter(self._by_address))
            gone = list(self._by_address.pop(oldest).values())
            self.count -= len(gone)
            self._core.chores.begin(self._forget(oldest, gone))

    def _forget(self, address: Address, numbers: list[int]) -> Parts:
        """Forget what was kept of an address."""
        for start in range(0, len(numbers), FORGET_IDS):
            for number in numbers[start : start + FORGET_IDS]:
                self._core.keep(_key(address, number), None)
            yield


def _digest(identity: str) -> bytes:
    return blake2b(identity.encode(), digest_size=DIGEST_BYTES).digest()


def _key(address: Address, number: int) -> str:
    return kept.key_of("duplicate", *address, str(number))
