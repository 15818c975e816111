"""What is registered: schemas by id, versions of subjects, levels and modes. Synchronous, no HTTP.

Everything is kept through the core under keys of its own (`Core.keep`): what one request changes is one
journal group, and so there after a crash as a whole or not at all. A schema has one id, whatever subjects it
is registered for; an id is never given twice, and a version of a subject only after all of it was removed for
good.

Invariants: a version's schema is there, and what its references name has not been removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from pillarbox.broker.definitions import key_of
from pillarbox.ops.registry.compatibility import Text
from pillarbox.ops.registry.formats import DEFAULT, Known

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

KEPT: Final = "registry/"
SCHEMA, VERSION, CONFIG, MODE = (f"{KEPT}{word}/" for word in ("schema", "version", "config", "mode"))
LAST_ID: Final = f"{KEPT}last"
GLOBAL: Final = ""
"""Where the subject stands of what is set for all."""
ID_MAX: Final = 2**31 - 1


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


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for a subject or for all; None: nothing is."""

    level: str | None = None
    normalize: bool | None = None


class Registry:
    """See the module. `level`: what is demanded where nobody has set a level."""

    def __init__(self, core: Core, level: str) -> None:
        self._core = core
        self._level = level
        self.subjects: dict[str, dict[int, Version]] = {}
        """Versions by number, the lowest first, those among them that are deleted."""
        self.schemas: dict[int, Schema] = {}
        self.ids: dict[bytes, int] = {}
        """By guid."""
        self.versions_of: dict[int, list[Version]] = {}
        """Of a schema."""
        self.referrers: dict[tuple[str, int], set[int]] = {}
        """Ids of the schemas that refer to a version of a subject."""
        self.configs: dict[str, Config] = {}
        self.modes: dict[str, str] = {}
        self.changes = 0
        """Grows with every change of what is registered."""
        self._last_id = 0
        self._load()

    def __repr__(self) -> str:
        return f"<Registry subjects={len(self.subjects)} schemas={len(self.schemas)}>"

    def _load(self) -> None:
        versions = []
        for key, value in self._core.kept(KEPT):
            if key == LAST_ID:
                self._last_id = int(value)
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

    # --- looking up ----------------------------------------------------------------------------------

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """Of a subject, the lowest first."""
        found = self.subjects.get(subject, {}).values()
        return [one for one in found if deleted or not one.deleted]

    def names(self, prefix: str = "", *, deleted: bool = False, only_deleted: bool = False) -> Iterator[str]:
        """Of subjects, sorted; `only_deleted`: those without a version that is not."""
        for name in sorted(self.subjects):
            # Who goes through all of them takes his time: some may have gone meanwhile.
            if name.startswith(prefix) and name in self.subjects:
                alive = any(not one.deleted for one in self.subjects[name].values())
                if (not alive) if only_deleted else (alive or deleted):
                    yield name

    def find(self, subject: str, guid: bytes, *, deleted: bool = False) -> Version | None:
        """The last version of a subject that has this schema."""
        for version in reversed(self.versions(subject, deleted=deleted)):
            if self.schemas[version.id].guid == guid:
                return version
        return None

    def target(self, reference: Reference) -> Schema | None:
        """What a reference leads to: its version, also a deleted one."""
        version = self.subjects.get(reference.subject, {}).get(reference.version)
        return None if version is None else self.schemas[version.id]

    def known(self, references: Iterable[Reference]) -> list[Known]:
        """What these lead to, and what that leads to itself, each once and behind what it refers to.

        Raises KeyError with the first reference that leads to nothing.
        """
        found: dict[str, Known] = {}
        waiting = [(reference, False) for reference in reversed(list(references))]
        while waiting:
            reference, is_ready = waiting.pop()
            if reference.name in found:
                continue
            schema = self.target(reference)
            if schema is None:
                raise KeyError(reference)
            if is_ready:
                found[reference.name] = Known(reference.name, schema.text)
            else:
                waiting.append((reference, True))
                waiting += [(each, False) for each in reversed(schema.references)]
        return list(found.values())

    def text_of(self, version: Version) -> Text:
        """A version, to be parsed and compared."""
        schema = self.schemas[version.id]
        return Text(schema.kind, schema.text, self.known(schema.references), f"version {version.number}")

    def level(self, subject: str) -> str:
        """What is demanded of new schemas of this subject."""
        for where in (subject, GLOBAL):
            if (config := self.configs.get(where)) is not None and config.level is not None:
                return config.level
        return self._level

    def normalizes(self, subject: str) -> bool:
        """Are its schemas normalized unasked?"""
        for where in (subject, GLOBAL):
            if (config := self.configs.get(where)) is not None and config.normalize is not None:
                return config.normalize
        return False

    def mode(self, subject: str) -> str:
        """What may be done to it; READONLY_OVERRIDE for all counts more than what a subject has."""
        everywhere = self.modes.get(GLOBAL, "READWRITE")
        if everywhere == "READONLY_OVERRIDE":
            return everywhere
        return self.modes.get(subject, everywhere)

    # --- changing ------------------------------------------------------------------------------------

    def add(
        self, subject: str, schema: Schema, *, identity: int | None = None, number: int | None = None
    ) -> Version:
        """Register a schema (its id does not count) as the next version of a subject, or under this number.

        Its id is the one that it has already, else `identity`, else the next one.
        """
        known = self.ids.get(schema.guid)
        if known is None:
            known = self._last_id + 1 if identity is None else identity
            self._last_id = max(self._last_id, known)
            self._core.keep(LAST_ID, b"%d" % self._last_id)
            schema = msgspec.structs.replace(schema, id=known)
            self._core.keep(f"{SCHEMA}{known}", _encode(schema))
            self._note_schema(schema)
        if number is None:
            number = max(self.subjects.get(subject, ()), default=0) + 1
        version = Version(subject, number, known)
        self._keep_version(version)
        return version

    def next_id_is_left(self) -> bool:
        """Is there one?"""
        return self._last_id < ID_MAX

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
        left = [one for one in self.versions_of[version.id] if one.key != version.key]
        if left:
            self.versions_of[version.id] = left
            return
        del self.versions_of[version.id]
        schema = self.schemas.pop(version.id)
        del self.ids[schema.guid]
        self._core.keep(f"{SCHEMA}{schema.id}", None)
        for reference in schema.references:
            place = (reference.subject, reference.version)
            referrers = self.referrers[place]
            referrers.discard(schema.id)
            if not referrers:
                del self.referrers[place]

    def configure(self, subject: str, config: Config | None) -> None:
        """Set a level for a subject or for all; None takes back what was set."""
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
        self.schemas[schema.id] = schema
        self.ids[schema.guid] = schema.id
        self._last_id = max(self._last_id, schema.id)
        for reference in schema.references:
            self.referrers.setdefault((reference.subject, reference.version), set()).add(schema.id)

    def _note_version(self, version: Version) -> None:
        numbers = self.subjects.setdefault(version.subject, {})
        before = numbers.get(version.number)
        last = next(reversed(numbers), 0)
        numbers[version.number] = version
        if before is None and version.number < last:
            # An import may bring them in any order.
            self.subjects[version.subject] = dict(sorted(numbers.items()))
        if before is not None:
            self.versions_of[before.id].remove(before)
        self.versions_of.setdefault(version.id, []).append(version)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_schema: Final = msgspec.msgpack.Decoder(Schema).decode
_decode_version: Final = msgspec.msgpack.Decoder(Version).decode
_decode_config: Final = msgspec.msgpack.Decoder(Config).decode
