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

from pillarbox.ops.registry import contract, errors, names
from pillarbox.ops.registry.compatibility import DEMANDS, Demand, Text, differences
from pillarbox.ops.registry.errors import refused
from pillarbox.ops.registry.formats import DEFAULT, FORMATS, InvalidSchema, Known, Parsed
from pillarbox.ops.registry.store import OVERRIDE, Config, Reference, Registry, Schema, Version

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.ops.management.work import Work

Result = TypeVar("Result")

BODY_BYTES_MAX: Final = 1 << 20
"""What a request may have: some hundred times the usual schema, and what Confluent's own service takes. All
schemas are in memory and in every checkpoint, and one of this size keeps a thread for seconds."""

KNOWN_BYTES_MAX: Final = 4 * BODY_BYTES_MAX
"""What a schema may refer to in all, for the same reason."""

NEXT: Final = -1
IMPORT: Final = "IMPORT"
READ_ONLY: Final = ("READONLY", OVERRIDE)
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
    metadata: contract.Metadata | None = None
    rule_set: contract.RuleSet | None = None
    id: int | None = None
    version: int | None = None
    """The number that it is to have; outside an import the next one, or -1, which stands for it."""


class Read(NamedTuple):
    """An offer that has been parsed."""

    text: Text
    parsed: Parsed
    schema: Schema

    def with_contract(self, metadata: contract.Document | None, rules: contract.Document | None) -> Schema:
        """The schema with these metadata and rules."""
        one = self.schema
        guid = _guid(one.kind, self.parsed.identity, one.references, metadata, rules)
        return msgspec.structs.replace(one, guid=guid, metadata=metadata, rules=rules)


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
        """Parse an offer. Raises 42201 and 42210."""
        kind = (offer.schema_type or DEFAULT).upper()
        if kind not in FORMATS:
            raise refused(errors.INVALID_SCHEMA, f"Invalid schema type {kind}")
        if not offer.schema:
            raise refused(errors.INVALID_SCHEMA, "Empty schema")
        metadata, rules = contract.metadata_document(offer.metadata), contract.rules_document(offer.rule_set)
        references = tuple(Reference(one.name, one.subject, one.version) for one in offer.references or ())
        context = names.split(subject)[0]
        text = Text(kind, offer.schema, self._known(references, context))
        try:
            parsed = await self._aside(text.parse)
        except InvalidSchema as error:
            raise refused(errors.INVALID_SCHEMA, error) from None
        normalize = normalize or bool(self.registry.config(subject).normalize)
        kept = parsed.normalized if normalize else parsed.text
        guid = _guid(kind, parsed.identity, references, metadata, rules)
        return Read(text, parsed, Schema(0, guid, kept, kind, references, metadata, rules, context))

    def _known(self, references: tuple[Reference, ...], context: str) -> list[Known]:
        try:
            known = self.registry.known(references, context)
        except KeyError as error:
            missing: Reference = error.args[0]
            what = f'subject "{missing.subject}" and version {missing.version}'
            raise refused(errors.INVALID_SCHEMA, f"No schema reference found for {what}") from None
        if sum(len(one.text) for one in known) > KNOWN_BYTES_MAX:
            raise refused(errors.INVALID_SCHEMA, "what it refers to is too large")
        return known

    def _last(self, subject: str) -> Schema | None:
        """What the last version of a subject is that is not deleted."""
        found = self.registry.versions(subject)
        return self.registry.schema(found[-1]) if found else None

    def _filled(self, offer: Offer, subject: str) -> Offer:
        """An offer without a schema is one of the last version's, with other metadata or rules."""
        last = self._last(subject)
        if offer.schema or last is None:
            return offer
        references = tuple(Referring(one.name, one.subject, one.version) for one in last.references)
        return msgspec.structs.replace(offer, schema=last.text, schema_type=last.kind, references=references)

    def completed(self, read: Read, subject: str) -> Schema:
        """What was read with the metadata and rules of the last version, where it has none itself, between
        those that are set for the subject, which come under them and over them.
        """
        last, config = self._last(subject), self.registry.config(subject)
        metadata, rules = read.schema.metadata, read.schema.rules
        if last is not None:
            metadata = last.metadata if metadata is None else metadata
            rules = last.rules if rules is None else rules
        metadata = contract.merged_metadata(config.default_metadata, metadata)
        rules = contract.merged_rules(config.default_rules, rules)
        return read.with_contract(
            contract.merged_metadata(metadata, config.override_metadata),
            contract.merged_rules(rules, config.override_rules),
        )

    def find(self, read: Read, subject: str, *, deleted: bool = False) -> Version | None:
        """The version of a subject that is what was read, or else what that would be completed to."""
        return self.registry.find(subject, read.schema, deleted=deleted) or self.registry.find(
            subject, self.completed(read, subject), deleted=deleted
        )

    async def differences(self, read: Read, earlier: Sequence[Version], demand: Demand) -> list[str]:
        """What keeps an offer from meeting the demand against these versions, the last of them first."""
        if not earlier or not (demand.backward or demand.forward):
            return []
        texts = [self.registry.text_of(version) for version in earlier]
        return await self._aside(differences, read.text, read.parsed, texts, demand)

    async def rendered(self, schema: Schema, wanted: str) -> str:
        """The schema in another form that its format has; as it is kept, where it has none of this name."""
        known = self.registry.known(schema.references, schema.context)
        try:
            return await self._aside(FORMATS[schema.kind].rendered, schema.text, known, wanted)
        except InvalidSchema as error:
            raise refused(errors.INVALID_SCHEMA, error) from None

    def earlier(self, subject: str, schema: Schema) -> list[Version]:
        """The versions that a new one is compared with."""
        config = self.registry.config(subject)
        versions = self.registry.versions(subject)
        if config.group is not None:
            versions = [
                one for one in versions if _group(config, self.registry.schema(one)) == _group(config, schema)
            ]
        return versions if self.demand(subject).transitive else versions[-1:]

    def demand(self, subject: str) -> Demand:
        """What is demanded of new schemas of a subject."""
        return DEMANDS[self.registry.level(subject)]

    async def register(self, subject: str, offer: Offer, *, normalize: bool, force: bool = False) -> Version:
        """Register a schema for a subject; one that it has already stays what it is. Needs the desk.

        `force`: whatever is demanded of new schemas.
        """
        self._demand_registering(subject, offer)
        if offer.id is not None:
            return await self._imported(subject, offer, normalize=normalize)
        registry = self.registry
        offer = self._filled(offer, subject)
        read = await self.read(offer, subject, normalize=normalize)
        if not registry.config(subject).adds and (known := registry.find(subject, read.schema)) is not None:
            return known
        schema = self.completed(read, subject)
        if not offer.version and (known := registry.find(subject, schema)) is not None:
            return known
        number = registry.next_number(subject)
        if offer.version not in (None, 0, NEXT, number):
            raise refused(errors.INVALID_SCHEMA, "Version is not one more than previous version")
        if offer.version or contract.has_version(schema.metadata):
            schema = read.with_contract(contract.with_version(schema.metadata, number), schema.rules)
        if not force:
            found = await self.differences(read, self.earlier(subject, schema), self.demand(subject))
            if found:
                raise refused(errors.INCOMPATIBLE, subject, "; ".join(found))
        return self._added(subject, schema)

    async def _imported(self, subject: str, offer: Offer, *, normalize: bool) -> Version:
        schema = (await self.read(offer, subject, normalize=normalize)).schema
        known = self.registry.find(subject, schema, exactly=True)
        if known is None:
            self._demand_importable(subject, offer, schema.guid)
            return self._added(subject, schema, identity=offer.id, number=offer.version)
        if offer.id != known.id:
            raise refused(errors.ID_DOES_NOT_MATCH, known.id, offer.id)
        return known

    def _added(
        self, subject: str, schema: Schema, *, identity: int | None = None, number: int | None = None
    ) -> Version:
        self.core.demand_storage()
        if not self.registry.context(subject).next_id_is_left():
            raise refused(errors.NO_STORAGE, "no id is left")
        return self.registry.add(subject, schema, identity=identity, number=number)

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
        context = registry.context(subject)
        known = context.ids.get(guid)
        if known is not None and known != identity:
            raise refused(errors.ID_DOES_NOT_MATCH, known, identity)
        taken = context.schemas.get(identity)
        if not 1 <= identity < 1 << 31 or (taken is not None and taken.guid != guid):
            text = f"Overwrite new schema with id {identity} is not permitted."
            raise refused(errors.NOT_PERMITTED, text)
        number = offer.version
        if number is not None and not 1 <= number < 1 << 31:
            raise refused(errors.INVALID_VERSION, number)
        if number is not None and number in registry.subjects.get(subject, ()):
            raise refused(errors.NOT_PERMITTED, f"Subject {subject} has a version {number} already")


def _group(config: Config, schema: Schema) -> str | None:
    return contract.properties_of(schema.metadata).get(config.group or "")


def _guid(kind: str, identity: bytes, *more: Any) -> bytes:
    """16 bytes that are equal for schemas that are the same, with the same references and rules."""
    return md5(msgspec.msgpack.encode((kind, identity, *more)), usedforsecurity=False).digest()
