"""What is registered: schemas by id, versions of subjects, levels and modes. Synchronous, no HTTP.

Everything is kept through the core under keys of its own (`Core.keep`): what one request changes is one
journal group, and so there after a crash as a whole or not at all. A schema has one id in a context, whatever
subjects it is registered for; an id is never given twice while there is the context, and a version of a
subject only after all of it was removed for good. Names of subjects are with their context (`names`).

Invariants: a version's schema is there, in its context, and what its references name has not been removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.ops.registry import contract, names
from pillarbox.ops.registry.compatibility import Text
from pillarbox.ops.registry.formats import DEFAULT, Known

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

KEPT: Final = "registry/"
SCHEMA, VERSION, CONFIG, MODE = (f"{KEPT}{word}/" for word in ("schema", "version", "config", "mode"))
LAST_ID: Final = f"{KEPT}last"
GLOBAL: Final = names.DEFAULT_CONTEXT
"""Where the subject stands of what is set for all of the default context."""
ID_MAX: Final = 2**31 - 1
OVERRIDE: Final = "READONLY_OVERRIDE"


class Reference(msgspec.Struct, frozen=True):
    """What a schema refers to: under which name, and which version of which subject that is."""

    name: str
    subject: str
    version: int


class Schema(msgspec.Struct, frozen=True, omit_defaults=True):
    """A schema as it is kept. `guid`: equal for schemas that are the same."""

    id: int
    guid: bytes
    text: str
    kind: str = DEFAULT
    references: tuple[Reference, ...] = ()
    metadata: dict[str, Any] | None = None
    rules: dict[str, Any] | None = None
    context: str = names.DEFAULT_CONTEXT

    def is_as(self, other: Schema) -> bool:
        """Are they the same, but for the number of the version that the other one says it is of?"""
        mine, others = (
            (one.text, one.kind, one.references, one.rules, contract.without_version(one.metadata))
            for one in (self, other)
        )
        return contract.has_version(other.metadata) and mine == others

    @property
    def guid_text(self) -> str:
        return str(UUID(bytes=self.guid))


class Version(msgspec.Struct, frozen=True):
    """A schema as a version of a subject. `deleted`: it is there for those only who ask for such ones."""

    subject: str
    number: int
    id: int
    deleted: bool = False

    @property
    def key(self) -> str:
        return VERSION + key_of(self.subject, self.number)

    @property
    def context(self) -> str:
        return names.split(self.subject)[0]


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for a subject, for a context or for all; None: nothing is.

    `alias`: the subject that is meant instead. `group`: the property of metadata by which versions are
    compared only with their like.
    """

    level: str | None = None
    normalize: bool | None = None
    alias: str | None = None
    group: str | None = None
    default_metadata: dict[str, Any] | None = None
    override_metadata: dict[str, Any] | None = None
    default_rules: dict[str, Any] | None = None
    override_rules: dict[str, Any] | None = None

    @property
    def adds(self) -> bool:
        """Does it give schemas metadata or rules?"""
        added = self.default_metadata, self.override_metadata, self.default_rules, self.override_rules
        return any(each is not None for each in added)


NOTHING_SET: Final = Config()


class Context:
    """The schemas of a context: by id, their ids by guid, and the versions that each of them is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.schemas: dict[int, Schema] = {}
        self.ids: dict[bytes, int] = {}
        self.versions_of: dict[int, list[Version]] = {}
        self.last_id = 0

    def __repr__(self) -> str:
        return f"<Context {names.shown(self.name)} schemas={len(self.schemas)} last_id={self.last_id}>"

    def next_id_is_left(self) -> bool:
        """Is there one?"""
        return self.last_id < ID_MAX


class Registry:
    """See the module. `level`: what is demanded where nobody has set a level."""

    def __init__(self, core: Core, level: str) -> None:
        self._core = core
        self._level = level
        self.subjects: dict[str, dict[int, Version]] = {}
        """Versions by number, the lowest first, those among them that are deleted."""
        self.contexts: dict[str, Context] = {GLOBAL: Context(GLOBAL)}
        """Those in which something was ever registered, and the default one, which is there always."""
        self.referrers: dict[tuple[str, int], set[tuple[str, int]]] = {}
        """Contexts and ids of the schemas that refer to a version of a subject."""
        self.configs: dict[str, Config] = {}
        self.modes: dict[str, str] = {}
        self.changes = 0
        """Grows with every change of what is registered."""
        self._load()

    def __repr__(self) -> str:
        return f"<Registry subjects={len(self.subjects)} contexts={list(self.contexts.values())}>"

    def _load(self) -> None:
        versions = []
        for key, value in self._core.kept(KEPT):
            if key.startswith(LAST_ID):
                context = self._context(key.removeprefix(LAST_ID))
                context.last_id = max(context.last_id, int(value))
            elif key.startswith(SCHEMA):
                self._note_schema(_decode_schema(value))
            elif key.startswith(VERSION):
                versions.append(_decode_version(value))
            elif key.startswith(CONFIG):
                self.configs[key.removeprefix(CONFIG)] = _decode_config(value)
            elif key.startswith(MODE):
                self.modes[key.removeprefix(MODE)] = value.decode()
        for version in sorted(versions, key=lambda one: (one.subject, one.number)):
            self._note_version(version)

    def _context(self, name: str) -> Context:
        return self.contexts.setdefault(name, Context(name))

    # --- looking up ----------------------------------------------------------------------------------

    def context(self, subject: str) -> Context:
        """The one that a subject is in, an empty one if there is none yet."""
        name = names.split(subject)[0]
        return self.contexts.get(name) or Context(name)

    def schema(self, version: Version) -> Schema:
        """What a version is."""
        return self.contexts[version.context].schemas[version.id]

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """Of a subject, the lowest first."""
        found = self.subjects.get(subject, {}).values()
        return [one for one in found if deleted or not one.deleted]

    def listed(
        self, prefix: str = names.EVERY_CONTEXT, *, deleted: bool = False, only_deleted: bool = False
    ) -> Iterator[str]:
        """Subjects that `names.matches`, sorted; `only_deleted`: those without a version that is not."""
        for name in sorted(self.subjects):
            # Who goes through all of them takes his time: some may have gone meanwhile.
            if names.matches(name, prefix) and name in self.subjects:
                alive = any(not one.deleted for one in self.subjects[name].values())
                if (not alive) if only_deleted else (alive or deleted):
                    yield name

    def actual(self, subject: str) -> str:
        """The subject that is meant by one that may be an alias."""
        config = self.configs.get(subject)
        if config is None or not config.alias:
            return subject
        return names.qualified(config.alias, names.split(subject)[0])

    def everywhere(self, subject: str) -> Iterator[str]:
        """A subject, and if it names no context, those of its name in all others."""
        yield subject
        if names.split(subject)[0] == GLOBAL:
            yield from (name + subject for name in sorted(self.contexts) if name != GLOBAL)

    def find(
        self, subject: str, schema: Schema, *, deleted: bool = False, exactly: bool = False
    ) -> Version | None:
        """The last version of a subject that is this schema; `exactly`: also in which version it says."""
        for version in reversed(self.versions(subject, deleted=deleted)):
            found = self.schema(version)
            if schema.guid == found.guid or (not exactly and schema.is_as(found)):
                return version
        return None

    def schema_of(self, identity: int, subject: str) -> Schema | None:
        """The schema of an id in the context of a subject; if that is not of this subject, and it names
        no context, then rather the one in a context where it is.
        """
        for name in self.everywhere(subject) if names.split(subject)[1] else ():
            context = self.context(name)
            if any(version.subject == name for version in context.versions_of.get(identity, ())):
                return context.schemas[identity]
        return self.context(subject).schemas.get(identity)

    def target(self, reference: Reference, context: str) -> Schema | None:
        """What a reference in a context leads to: its version, also a deleted one."""
        subject = names.qualified(reference.subject, context)
        version = self.subjects.get(subject, {}).get(reference.version)
        return None if version is None else self.schema(version)

    def known(self, references: Iterable[Reference], context: str) -> list[Known]:
        """What these lead to, and what that leads to itself, each once and behind what it refers to.

        Raises KeyError with the first reference that leads to nothing.
        """
        found: dict[str, Known] = {}
        waiting = [(reference, context, False) for reference in reversed(list(references))]
        while waiting:
            reference, inside, is_ready = waiting.pop()
            if reference.name in found:
                continue
            schema = self.target(reference, inside)
            if schema is None:
                raise KeyError(reference)
            if is_ready:
                found[reference.name] = Known(reference.name, schema.text)
            else:
                waiting.append((reference, inside, True))
                waiting += [(each, schema.context, False) for each in reversed(schema.references)]
        return list(found.values())

    def text_of(self, version: Version) -> Text:
        """A version, to be parsed and compared."""
        schema = self.schema(version)
        known = self.known(schema.references, schema.context)
        return Text(schema.kind, schema.text, known, f"version {version.number}")

    # --- what is set ---------------------------------------------------------------------------------

    def _scopes(self, subject: str) -> tuple[str, str, str]:
        """Where something may be set that holds for a subject, the nearest first."""
        return subject, names.split(subject)[0], names.EVERYWHERE

    def _set(self, subject: str) -> Iterator[Config]:
        for where in self._scopes(subject):
            if (config := self.configs.get(where)) is not None:
                yield config

    def config(self, subject: str) -> Config:
        """What holds for a subject: the nearest, with what is missing there of what is inherited one by one.

        Metadata, rules and the alias are as the nearest has them, as with the registry.
        """
        found = next(self._set(subject), NOTHING_SET)
        return msgspec.structs.replace(
            found,
            level=self.level(subject),
            normalize=next((one.normalize for one in self._set(subject) if one.normalize is not None), None),
            group=next((one.group for one in self._set(subject) if one.group is not None), None),
        )

    def level(self, subject: str) -> str:
        """What is demanded of new schemas of this subject."""
        return next((one.level for one in self._set(subject) if one.level is not None), self._level)

    def mode(self, subject: str) -> str:
        """What may be done to it; READONLY_OVERRIDE for all counts more than what is set nearer."""
        found = [self.modes[where] for where in self._scopes(subject) if where in self.modes]
        if self.modes.get(GLOBAL) == OVERRIDE or OVERRIDE in found[1:]:
            return OVERRIDE
        return found[0] if found else "READWRITE"

    # --- changing ------------------------------------------------------------------------------------

    def add(
        self, subject: str, schema: Schema, *, identity: int | None = None, number: int | None = None
    ) -> Version:
        """Register a schema (its id does not count) as the next version of a subject, or under this number.

        Its id is the one that it has already, else `identity`, else the next one.
        """
        context = self._context(names.split(subject)[0])
        known = context.ids.get(schema.guid)
        if known is None:
            known = context.last_id + 1 if identity is None else identity
            context.last_id = max(context.last_id, known)
            self._core.keep(f"{LAST_ID}{context.name}", b"%d" % context.last_id)
            schema = msgspec.structs.replace(schema, id=known, context=context.name)
            self._core.keep(_schema_key(schema), _encode(schema))
            self._note_schema(schema)
        if number is None:
            number = self.next_number(subject)
        version = Version(subject, number, known)
        self._keep_version(version)
        return version

    def next_number(self, subject: str) -> int:
        """Of the next version."""
        return max(self.subjects.get(subject, ()), default=0) + 1

    def delete(self, version: Version) -> None:
        """Hide a version."""
        self._keep_version(msgspec.structs.replace(version, deleted=True))

    def remove(self, version: Version) -> None:
        """Remove a version for good, and its schema if it is the last one that has it."""
        self.changes += 1
        self._core.keep(version.key, None)
        numbers = self.subjects[version.subject]
        del numbers[version.number]
        if not numbers:
            del self.subjects[version.subject]
        context = self.contexts[version.context]
        left = [one for one in context.versions_of[version.id] if one.key != version.key]
        if left:
            context.versions_of[version.id] = left
            return
        del context.versions_of[version.id]
        schema = context.schemas.pop(version.id)
        del context.ids[schema.guid]
        self._core.keep(_schema_key(schema), None)
        for place in _places(schema):
            referrers = self.referrers.get(place, set())
            referrers.discard((schema.context, schema.id))
            if not referrers:
                self.referrers.pop(place, None)

    def remove_context(self, name: str) -> None:
        """Forget a context that has no subject; whoever makes it anew begins with the first id."""
        self.changes += 1
        del self.contexts[name]
        self._core.keep(f"{LAST_ID}{name}", None)

    def configure(self, subject: str, config: Config | None) -> None:
        """Set something for a subject, a context or all; None takes back what was set."""
        self.changes += 1
        if config is None:
            self.configs.pop(subject, None)
        else:
            self.configs[subject] = config
        self._core.keep(CONFIG + subject, None if config is None else _encode(config))

    def set_mode(self, subject: str, mode: str | None) -> None:
        """The same with a mode."""
        self.changes += 1
        if mode is None:
            self.modes.pop(subject, None)
        else:
            self.modes[subject] = mode
        self._core.keep(MODE + subject, None if mode is None else mode.encode())

    def _keep_version(self, version: Version) -> None:
        self.changes += 1
        self._core.keep(version.key, _encode(version))
        self._note_version(version)

    def _note_schema(self, schema: Schema) -> None:
        context = self._context(schema.context)
        context.schemas[schema.id] = schema
        context.ids[schema.guid] = schema.id
        context.last_id = max(context.last_id, schema.id)
        for place in _places(schema):
            self.referrers.setdefault(place, set()).add((schema.context, schema.id))

    def _note_version(self, version: Version) -> None:
        numbers = self.subjects.setdefault(version.subject, {})
        before = numbers.get(version.number)
        last = next(reversed(numbers), 0)
        numbers[version.number] = version
        if before is None and version.number < last:
            # An import may bring them in any order.
            self.subjects[version.subject] = dict(sorted(numbers.items()))
        versions_of = self.contexts[version.context].versions_of
        if before is not None:
            versions_of[before.id].remove(before)
        versions_of.setdefault(version.id, []).append(version)


def _schema_key(schema: Schema) -> str:
    return f"{SCHEMA}{schema.context}{schema.id}"


def _places(schema: Schema) -> Iterator[tuple[str, int]]:
    """The versions of subjects that a schema refers to."""
    for one in schema.references:
        yield names.qualified(one.subject, schema.context), one.version


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_schema: Final = msgspec.msgpack.Decoder(Schema).decode
_decode_version: Final = msgspec.msgpack.Decoder(Version).decode
_decode_config: Final = msgspec.msgpack.Decoder(Config).decode
