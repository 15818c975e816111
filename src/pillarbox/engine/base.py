"""The seam between the domain and whatever keeps it: messages as stored, facts, journals.

Purpose: the words that `broker/` and the engines share. `broker/` says what has happened as *facts*,
one *group* of them per tick; an engine makes the group durable as a whole or not at all, brings cold
bodies back, and after a restart hands over what is unsettled. Not here: files, threads, protocols.

Invariants: sequences of a queue only grow, and gaps are legal. A queue is known by its uid, never by
its name; one with priorities has a uid for each lane, and each of these is a queue here. A `Location` is
shared by every run that was cut from one stored record, so an engine moves a record by changing its one
location.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

NO_EXPIRATION = -1

UID_KINDS = frozenset(("queue", "lane", "schedule", "dead"))
"""Kinds of definitions whose key is a decimal uid, under which there are messages."""


class Address(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Where a message was published to, and the protocol whose encoding it keeps.

    Compared by identity: heads key their own encodings of it by the object, so publishers reuse one
    address for all messages of a route.
    """

    origin: str
    exchange: str
    routing_key: str
    hidden_keys: tuple[str, ...] = ()
    """Further routing keys, of which receivers do not hear (BCC, R26): should the message die, they count."""


Body = bytes | bytearray
"""Nobody changes a body: it is a bytearray only because it arrived in pieces and copying is dear."""


class Message(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A message as stored: its sender's property bytes and body, untouched."""

    address: Address
    properties: bytes
    body: Body
    accepted_ms: int
    expiration_ms: int = NO_EXPIRATION
    """The sender's time to live in milliseconds, counted from `accepted_ms`; `NO_EXPIRATION` if none."""
    persistent: bool = False
    priority: int = 0
    """As its sender put it, for queues with priorities. It is not stored: the lane in which the message then
    stands says what counts, and whoever publishes it anew has its properties."""


class Location(msgspec.Struct, eq=False, gc=False):
    """Where one stored record of messages rests: a segment, a byte position in it, a size in bytes.

    The engine fills it when it takes the group and changes it when it moves the record. An engine that
    stores nothing leaves the segment at -1: such messages cannot be loaded and must be kept.
    """

    segment: int = -1
    position: int = -1
    size: int = 0
    messages: int = 0
    """How many messages the record holds, settled ones included."""


class MessagesFact(msgspec.Struct, eq=False):
    """Messages that entered one or more queues: payload once, however many queues.

    `targets` holds (queue uid, sequence of the first message); the others follow without a gap.
    `location` is filled by `Journal.append`.
    """

    targets: list[tuple[int, int]]
    messages: list[Message]
    location: Location


class SettledFact(msgspec.Struct, eq=False):
    """Sequences of one queue that are gone for good, as ranges (any step, in no particular order)."""

    uid: int
    sequences: list[range]


class DeliveredFact(msgspec.Struct, eq=False):
    """Every sequence of the queue up to and including this one was handed to a consumer once."""

    uid: int
    sequence: int


class ReturnedFact(msgspec.Struct, frozen=True):
    """These messages of a queue that counts have come back so often, or will have when they are back from
    whoever has them. What was delivered and has no such fact came back once, as failed."""

    uid: int
    sequences: range
    count: int
    failures: int
    """How often of these the delivery counted as failed."""
    held_until_ms: int = 0
    """They are not ready before that time."""


class DefinitionFact(msgspec.Struct, eq=False):
    """One definition, by kind (`queue`, `exchange`, `binding`, `user`, ...) and key, set or removed.

    `value` is opaque bytes (None: removed). The engine keeps the last value of each (kind, key). For
    `UID_KINDS` the key is the decimal uid, and removing it also drops all state under that uid.
    """

    kind: str
    key: str
    value: bytes | None


class Group(msgspec.Struct, eq=False):
    """All facts of one tick: replayed whole or not at all, in this order: definitions, messages,
    delivered, returned, settled. `ticket` grows by one from group to group of a process."""

    ticket: int
    definitions: list[DefinitionFact]
    messages: list[MessagesFact]
    delivered: list[DeliveredFact]
    settled: list[SettledFact]
    lone: bool = False
    """Somebody waits for it, and the tick had hardly anything else to do: an engine may make the group
    durable before `append` returns, if that is sure to be quick."""
    waited: bool = True
    """Somebody hears of it when it is durable; if nobody does, it has a little time."""
    returned: list[ReturnedFact] = []
    """Later ones go before earlier ones about the same messages."""
    held: bool = False
    """It settles what logs were given under the same ticket: it waits for `Journal.release`, and what is
    appended after it waits behind it, so that a crash doubles what was moved and never loses it."""


class StoredRun(msgspec.Struct, eq=False, gc=False):
    """Unsettled sequences of one queue that rest in one stored record."""

    sequences: range
    location: Location
    body_bytes: int
    """Sum of the body sizes of exactly these messages, where the engine knows it; else an estimate."""
    accepted_ms: int


DUE_SEQUENCE_BITS = 48
"""A message that waits for a time has a key: when it is due (ms), and in so many lower bits its sequence."""


class QueueState(msgspec.Struct, eq=False):
    """All that has to be kept of one queue. `runs` is ordered by first sequence."""

    uid: int
    sequence_next: int
    """Highest sequence seen in any fact or message, plus one."""
    delivered_through: int
    """-1: nothing was delivered yet."""
    runs: list[StoredRun]
    returned: list[ReturnedFact] = []
    """What is known of those that came back; later ones go before earlier ones."""
    due: list[int] | None = None
    """Keys (see `DUE_SEQUENCE_BITS`), in any order, of all messages below `due_below`, and perhaps of some
    that are gone; None: nobody knows any."""
    due_below: int = 0


class Recovery(msgspec.Struct, eq=False):
    """What an engine found: definitions by (kind, key), in the order in which they were made, and the
    state of every queue that is defined."""

    definitions: dict[tuple[str, str], bytes]
    queues: dict[int, QueueState]
    warnings: list[str]
    """Sentences for the operator: a torn tail that was cut, and the like."""
    uid_last: int = 0
    """The highest uid that was defined, or removed, since the last checkpoint. Of one that is removed there
    may be facts behind that, so nothing else may ever have it."""


class Snapshot(Protocol):
    """What the domain offers a checkpoint. Queues may be taken one by one over many ticks: groups
    appended meanwhile are replayed on top, and every fact is idempotent per queue.

    Invariant: whatever a state shows has been appended. A domain that collects the facts of a tick
    appends them before it yields the next state, or a power cut could lose a message whose move from
    one queue to another was half seen.
    """

    def definitions(self) -> Iterable[tuple[str, str, bytes]]:
        """Kind, key and value of each, in order, as they are at the moment of the call: they may be taken
        later and slowly. Values may be large."""

    def queues(self) -> Iterable[QueueState]:
        """Every queue with something to keep. A long queue may come in several pieces, one after the
        other, with the same uid and ascending runs, so that no piece takes long to make."""


class JournalListener(Protocol):
    """What an engine may tell the domain, always on the domain's thread."""

    def synced(self, ticket: int) -> None:
        """Every group up to this ticket is durable."""

    def loaded(self, ticket: int, records: Sequence[Sequence[tuple[int, Message]]]) -> None:
        """Answer one `load`: for each request, in order, its (sequence, message) pairs.

        What could not be read is missing, and `failed` has been called before.
        """

    def merged(self, uid: int, sequences: range, location: Location) -> None:
        """All stored messages of this queue within these sequences now rest in this one record.

        Saves memory where many small records were merged: runs within may be replaced by one run per
        unbroken stretch with this location. It may be ignored, since the locations of the old runs
        name the new record as well.
        """

    def checkpointed(self) -> None:
        """A checkpoint has ended, and the next one may be due."""

    def failed(self, reason: str) -> None:
        """Nothing appended since the last `synced` will ever be acknowledged; refuse publishes."""


class Journal(Protocol):
    """One ordered sequence of groups. No call waits for a disk."""

    def append(self, group: Group) -> None:
        """Take a group and fill the locations of its messages; answered by `synced`."""

    def release(self, ticket: int) -> None:
        """Held groups up to this ticket may become durable: the logs have what they settle."""

    def fail(self, reason: str) -> None:
        """A log has failed: no held group, and no checkpoint, may ever count; answered by `failed`."""

    def load(self, ticket: int, requests: Sequence[tuple[int, Sequence[int], Location]]) -> None:
        """Bring back cold messages: (queue uid, ascending sequences, location) each; answered by `loaded`."""

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Begin a checkpoint from which a later start replays; a no-op while one is under way."""

    @property
    def checkpoint_due(self) -> bool:
        """Enough was appended since the last checkpoint that another is worth its cost."""

    @property
    def checkpoint_behind(self) -> bool:
        """So much was appended while a checkpoint was under way that publishers should be slowed."""

    @property
    def unsynced_bytes(self) -> int:
        """Bytes taken and not yet durable: what slows publishers down."""
