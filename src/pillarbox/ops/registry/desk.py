"""Where a request meets what is registered: parsing and comparing in a thread, one at a time, then keeping.

A schema may be large, and a subject may have many versions, so neither is parsed on the broker's loop.
Whoever changes something has the desk for himself until it is kept; whoever looks needs no desk. Not here:
routes and answers (`resources`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from pillarbox.ops.registry import errors
from pillarbox.ops.registry.compatibility import DEMANDS, Demand, Text, differences
from pillarbox.ops.registry.errors import refused
from pillarbox.ops.registry.formats import DEFAULT, FORMATS, InvalidSchema, Known, Parsed
from pillarbox.ops.registry.store import Reference, Registry, Schema, Version

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.ops.management.work import Work

Result = TypeVar("Result")

BODY_BYTES_MAX: Final = 1 << 20
"""What a request may have: some hundred times the usual schema, and what Confluent's own service takes. All
schemas are in memory and in every checkpoint, and one of this size keeps a thread for seconds."""

KNOWN_BYTES_MAX: Final = 4 * BODY_BYTES_MAX
"""What a schema may refer to in all, for the same reason."""

IMPORT: Final = "IMPORT"
READ_ONLY: Final = ("READONLY", "READONLY_OVERRIDE")
MODES: Final = ("READWRITE", *READ_ONLY, IMPORT)


class Referring(msgspec.Struct, frozen=True):
    """A reference in a request."""

    name: str
    subject: str
    version: int


class Offer(msgspec.Struct, frozen=True, rename="camel"):
    """A schema in a request. Fields that are not here are not looked at."""

    schema: str | None = None
    schema_type: str | None = None
    references: tuple[Referring, ...] | None = None
    metadata: dict[str, Any] | None = None
    rule_set: dict[str, Any] | None = None
    id: int | None = None
    version: int | None = None


class Read(NamedTuple):
    """An offer that has been parsed."""

    text: Text
    parsed: Parsed
    schema: Schema


class Desk:
    """See the module. `begin` starts a turn of the broker."""

    def __init__(self, core: Core, registry: Registry, begin: Callable[[], None], work: Work) -> None:
        self.core = core
        self.registry = registry
        self.begin = begin
        self.work = work
        self.turn = asyncio.Lock()
        self._stored = registry.changes
        """Changes of the registry that are durable."""
        self._thread = asyncio.Lock()

    async def stored(self) -> None:
        """Wait until all that is registered now is durable. Raises BrokerError if it never will be."""
        changes = self.registry.changes
        if changes != self._stored:
            await self.work.stored()
            self._stored = max(self._stored, changes)

    async def _aside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do something long in a thread, nothing beside it: threads take the interpreter from the loop."""
        try:
            async with self._thread:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self.begin()

    async def read(self, offer: Offer, subject: str, *, normalize: bool) -> Read:
        """Parse an offer. Raises 42201."""
        kind = (offer.schema_type or DEFAULT).upper()
        if kind not in FORMATS:
            raise refused(errors.INVALID_SCHEMA, f"Invalid schema type {kind}")
        if not offer.schema:
            raise refused(errors.INVALID_SCHEMA, "Empty schema")
        references = tuple(Reference(one.name, one.subject, one.version) for one in offer.references or ())
        text = Text(kind, offer.schema, self._known(references))
        try:
            parsed = await self._aside(text.parse)
        except InvalidSchema as error:
            raise refused(errors.INVALID_SCHEMA, error) from None
        normalize = normalize or self.registry.normalizes(subject)
        schema = Schema(
            0,
            _guid(kind, parsed.identity, references, offer.metadata, offer.rule_set),
            parsed.normalized if normalize else parsed.text,
            kind,
            references,
            offer.metadata,
            offer.rule_set,
        )
        return Read(text, parsed, schema)

    def _known(self, references: tuple[Reference, ...]) -> list[Known]:
        try:
            known = self.registry.known(references)
        except KeyError as error:
            missing: Reference = error.args[0]
            what = f'subject "{missing.subject}" and version {missing.version}'
            raise refused(errors.INVALID_SCHEMA, f"No schema reference found for {what}") from None
        if sum(len(one.text) for one in known) > KNOWN_BYTES_MAX:
            raise refused(errors.INVALID_SCHEMA, "what it refers to is too large")
        return known

    async def differences(self, read: Read, earlier: Sequence[Version], demand: Demand) -> list[str]:
        """What keeps an offer from meeting the demand against these versions, the last of them first."""
        if not earlier or not (demand.backward or demand.forward):
            return []
        texts = [self.registry.text_of(version) for version in earlier]
        return await self._aside(differences, read.text, read.parsed, texts, demand)

    async def rendered(self, schema: Schema, wanted: str) -> str:
        """The schema in another form that its format has; as it is kept, where it has none of this name."""
        known = self.registry.known(schema.references)
        try:
            return await self._aside(FORMATS[schema.kind].rendered, schema.text, known, wanted)
        except InvalidSchema as error:
            raise refused(errors.INVALID_SCHEMA, error) from None

    def earlier(self, subject: str, demand: Demand) -> list[Version]:
        """The versions that a new one is compared with."""
        versions = self.registry.versions(subject)
        return versions if demand.transitive else versions[-1:]

    async def register(self, subject: str, offer: Offer, *, normalize: bool) -> Version:
        """Register a schema for a subject; one that it has already stays what it is. Needs the desk."""
        registry = self.registry
        self._demand_registering(subject, offer)
        read = await self.read(offer, subject, normalize=normalize)
        known = registry.find(subject, read.schema.guid)
        if known is not None:
            if offer.id not in (None, known.id):
                raise refused(errors.ID_DOES_NOT_MATCH, known.id, offer.id)
            return known
        if offer.id is None:
            demand = DEMANDS[registry.level(subject)]
            found = await self.differences(read, self.earlier(subject, demand), demand)
            if found:
                raise refused(errors.INCOMPATIBLE, subject, "; ".join(found))
        else:
            self._demand_importable(subject, offer, read.schema.guid)
        self.core.demand_storage()
        if not registry.next_id_is_left():
            raise refused(errors.NO_STORAGE, "no id is left")
        return registry.add(
            subject, read.schema, identity=offer.id, number=offer.version if offer.id is not None else None
        )

    def demand_writable(self, subject: str) -> None:
        """Raise 42205 unless the subject may be changed."""
        mode = self.registry.mode(subject)
        if mode in READ_ONLY:
            raise refused(errors.NOT_PERMITTED, f"Subject {subject} is in read-only mode")

    def _demand_registering(self, subject: str, offer: Offer) -> None:
        self.demand_writable(subject)
        is_import = self.registry.mode(subject) == IMPORT
        if offer.id is not None and not is_import:
            raise refused(errors.NOT_PERMITTED, f"Subject {subject} is not in import mode")
        if offer.id is None and is_import:
            raise refused(errors.NOT_PERMITTED, f"Subject {subject} is not in read-write mode")

    def _demand_importable(self, subject: str, offer: Offer, guid: bytes) -> None:
        registry, identity = self.registry, offer.id
        assert identity is not None, "only what has an id is imported"
        known = registry.ids.get(guid)
        if known is not None and known != identity:
            raise refused(errors.ID_DOES_NOT_MATCH, known, identity)
        taken = registry.schemas.get(identity)
        if not 1 <= identity < 1 << 31 or (taken is not None and taken.guid != guid):
            text = f"Overwrite new schema with id {identity} is not permitted."
            raise refused(errors.NOT_PERMITTED, text)
        number = offer.version
        if number is not None and not 1 <= number < 1 << 31:
            raise refused(errors.INVALID_VERSION, number)
        if number is not None and number in registry.subjects.get(subject, ()):
            raise refused(errors.NOT_PERMITTED, f"Subject {subject} has a version {number} already")


def _guid(kind: str, identity: bytes, *more: Any) -> bytes:
    """16 bytes that are equal for schemas that are the same, with the same references and rules."""
    return md5(msgspec.msgpack.encode((kind, identity, *more)), usedforsecurity=False).digest()
