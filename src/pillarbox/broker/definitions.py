"""Definitions as they are kept: how a queue, exchange, binding, user or permission becomes bytes.

One struct per kind; the kind's name is that of the journal's definition facts. A key names the thing
within its kind. Not here: what the things do.

Invariant: decoding what was encoded gives an equal struct; unknown kinds are an error, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pillarbox.broker.auth import Permission, User
from pillarbox.broker.policy import Policy
from pillarbox.broker.quotas import USER, VHOST, Limits
from pillarbox.broker.topic_permission import TopicPermission


class VhostDefinition(msgspec.Struct, frozen=True):
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str = ""
    protected: bool = False


class ExchangeDefinition(msgspec.Struct, frozen=True):
    vhost: str
    name: str
    kind: str
    auto_delete: bool
    internal: bool
    arguments: dict[str, Any]


class QueueDefinition(msgspec.Struct, frozen=True):
    vhost: str
    name: str
    auto_delete: bool
    arguments: dict[str, Any]
    groups: bool = False
    """Messages that belong to groups were sent to it (A28)."""


class LaneDefinition(msgspec.Struct, frozen=True):
    """A lane of a queue with priorities; the lane of priority 0 goes with the queue's own definition."""

    queue: int
    """The queue's uid; the key is that of the lane."""
    priority: int


class LifetimesDefinition(msgspec.Struct, frozen=True):
    """Times to live that a queue had before (`Lane.lifetimes`); the key is the uid of the lane."""

    spans: list[tuple[int, int | None]]


class ScheduleDefinition(msgspec.Struct, frozen=True):
    """The messages that wait in a durable exchange; the key is the uid under which they are kept."""

    vhost: str
    exchange: str


class DeadDefinition(msgspec.Struct, frozen=True):
    """The dead letters that no queue took; the key is the uid under which they are kept (R49)."""

    queue: int
    """The uid of the queue in which they died."""


class BindingDefinition(msgspec.Struct, frozen=True):
    vhost: str
    source: str
    destination: str
    to_exchange: bool
    key: str
    arguments: dict[str, Any]


class TopicDefinition(msgspec.Struct, frozen=True):
    """What a topic was given beside its streams: settings in a head's words, and options for its logs."""

    vhost: str
    name: str
    settings: dict[str, str]
    options: dict[str, Any]


class GlobalParameterDefinition(msgspec.Struct, frozen=True):
    name: str
    value: Any


class ParameterDefinition(msgspec.Struct, frozen=True):
    """A runtime parameter of a component that has no home of its own (see `parameters`)."""

    vhost: str
    component: str
    name: str
    value: Any


HEAD = "head"
"""What a head keeps for itself, by keys that begin with its name: bytes that the domain does not read."""

KINDS: dict[str, type[msgspec.Struct]] = {
    "global_parameter": GlobalParameterDefinition,
    "vhost": VhostDefinition,
    "parameter": ParameterDefinition,
    "user": User,
    "permission": Permission,
    VHOST: Limits,
    USER: Limits,
    "topic_permission": TopicPermission,
    "policy": Policy,
    "operator_policy": Policy,
    "exchange": ExchangeDefinition,
    "queue": QueueDefinition,
    "lane": LaneDefinition,
    "lifetimes": LifetimesDefinition,
    "schedule": ScheduleDefinition,
    "dead": DeadDefinition,
    "binding": BindingDefinition,
    "topic": TopicDefinition,
}


class Definitions(Mapping[tuple[str, str], bytes]):
    """Definitions as they are kept, by kind and key: of each kind in the order in which they were made.

    A dictionary for each kind, which `of` gives: pairs for keys would take 72 bytes more for each of them.
    """

    __slots__ = ("_by_kind",)

    def __init__(self) -> None:
        self._by_kind: dict[str, dict[str, bytes]] = {kind: {} for kind in (*KINDS, HEAD)}

    def __repr__(self) -> str:
        return f"<Definitions count={len(self)}>"

    def of(self, kind: str) -> dict[str, bytes]:
        """Those of one kind by key, to be changed."""
        return self._by_kind[kind]

    def __getitem__(self, place: tuple[str, str]) -> bytes:
        kind, key = place
        return self._by_kind[kind][key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((kind, key) for kind, of_kind in self._by_kind.items() for key in of_kind)

    def __len__(self) -> int:
        return sum(map(len, self._by_kind.values()))

    def rows(self) -> Iterator[tuple[str, str, bytes]]:
        """All of them with their kinds and keys."""
        return (
            (kind, key, value) for kind, of_kind in self._by_kind.items() for key, value in of_kind.items()
        )

    def copy(self) -> Definitions:
        """Those of this moment. Cost: a few nanoseconds for each."""
        copied = Definitions()
        copied._by_kind = {kind: of_kind.copy() for kind, of_kind in self._by_kind.items()}
        return copied


def _plain(value: Any) -> Any:
    """A head's typed number or string as what it is; its width on the wire makes no difference (T9)."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return bytes(value)
    raise TypeError(f"cannot keep a {type(value).__name__}")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoders = {kind: msgspec.msgpack.Decoder(shape) for kind, shape in KINDS.items()}


def encode(definition: msgspec.Struct) -> bytes:
    """The bytes to keep."""
    return _encoder.encode(definition)


def decode(kind: str, value: bytes) -> Any:
    """What `encode` was given. Raises KeyError for an unknown kind, msgspec.DecodeError for bad bytes."""
    return _decoders[kind].decode(value)


def key_of(*parts: object) -> str:
    """A key from names that may hold any character."""
    return msgspec.json.encode(parts).decode()
