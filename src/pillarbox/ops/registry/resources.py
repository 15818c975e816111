"""Handlers of the registry's routes: a row each, and what they answer.

A handler gets the desk and what is asked, and returns a document, or text as it is. Who may ask is in the
row: reading is for whoever may enter the virtual host, registering needs the right to write to the subject,
removing and setting the right to configure it, and what is set for all the tag `administrator`.

Source: Confluent, "Schema Registry API Reference".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from pillarbox.ops.registry import errors
from pillarbox.ops.registry.compatibility import DEMANDS
from pillarbox.ops.registry.desk import BODY_BYTES_MAX, IMPORT, MODES, Desk, Offer
from pillarbox.ops.registry.errors import refused
from pillarbox.ops.registry.formats import DEFAULT, FORMATS
from pillarbox.ops.registry.options import LEVELS
from pillarbox.ops.registry.store import GLOBAL, Config, Schema, Version

VERSION_MAX: Final = 2**31 - 1
LATEST: Final = ("latest", "-1")


class Right(Enum):
    """What somebody needs; the value is the word of the broker's permissions, or empty."""

    SEE = ""
    REGISTER = "write"
    CHANGE = "configure"
    RULE = "administrator"


class Asked(NamedTuple):
    """A request by somebody who may make it."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() == "true"

    @property
    def subject(self) -> str:
        return self.path["subject"]

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
            offset, limit = int(self.query.get("offset", 0)), int(self.query.get("limit", -1))
        except ValueError:
            raise errors.RegistryError(400, "offset and limit are numbers") from None
        offset = max(0, offset)
        return _listed(islice(found, offset, None if limit < 0 else offset + limit))


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


# --- documents -------------------------------------------------------------------------------------------


def _schema_document(schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {"schema": schema.text}
    if schema.kind != DEFAULT:
        found["schemaType"] = schema.kind
    if schema.references:
        found["references"] = [msgspec.structs.asdict(one) for one in schema.references]
    if schema.metadata is not None:
        found["metadata"] = schema.metadata
    if schema.rules is not None:
        found["ruleSet"] = schema.rules
    return found


def _version_document(desk: Desk, version: Version) -> dict[str, Any]:
    schema = desk.registry.schemas[version.id]
    found = {"subject": version.subject, "version": version.number, "id": version.id}
    found |= {"guid": schema.guid_text} | _schema_document(schema)
    return found | {"deleted": True} if version.deleted else found


async def _as_wanted(desk: Desk, asked: Asked, schema: Schema, document: dict[str, Any]) -> dict[str, Any]:
    """The document with the schema in the form that is asked for, where its format has such a one."""
    wanted = asked.query.get("format", "")
    if wanted:
        document["schema"] = await desk.rendered(schema, wanted)
    return document


# --- what there is ---------------------------------------------------------------------------------------


def _versions(desk: Desk, asked: Asked) -> list[Version]:
    """Of the subject, as far as they are asked for. Raises 40401."""
    found = desk.registry.versions(asked.subject, deleted=asked.flag("deleted") or asked.flag("deletedOnly"))
    if asked.flag("deletedOnly"):
        found = [one for one in found if one.deleted]
    if not found:
        raise refused(errors.SUBJECT_NOT_FOUND, asked.subject)
    return found


def _version(desk: Desk, asked: Asked, *, deleted: bool = False) -> Version:
    """The version that is asked for. Raises 42202, 40401 and 40402."""
    word = asked.path["version"]
    is_number = word.isascii() and word.isdigit() and 1 <= int(word[:11]) <= VERSION_MAX
    if word not in LATEST and not is_number:
        raise refused(errors.INVALID_VERSION, word)
    found = desk.registry.versions(asked.subject, deleted=deleted or asked.flag("deleted"))
    if not found:
        raise refused(errors.SUBJECT_NOT_FOUND, asked.subject)
    if word in LATEST:
        return found[-1]
    for one in found:
        if one.number == int(word):
            return one
    raise refused(errors.VERSION_NOT_FOUND, word)


def _schema(desk: Desk, asked: Asked) -> Schema:
    """The schema of the id that is asked for. Raises 40403."""
    word = asked.path["id"]
    found = desk.registry.schemas.get(int(word[:11]) if word.isascii() and word.isdigit() else 0)
    if found is None:
        raise refused(errors.ID_NOT_FOUND, word)
    return found


def _prefix(asked: Asked) -> str:
    """Which subjects are asked for; there is one context, which is all of them."""
    prefix = asked.query.get("subjectPrefix", "")
    return prefix.removeprefix(":*:").removeprefix(":.:")


async def subjects(desk: Desk, asked: Asked) -> Any:
    found = desk.registry.names(
        _prefix(asked), deleted=asked.flag("deleted"), only_deleted=asked.flag("deletedOnly")
    )
    return asked.page(found)


async def versions(desk: Desk, asked: Asked) -> Any:
    return asked.page(one.number for one in _versions(desk, asked))


async def version(desk: Desk, asked: Asked) -> Any:
    found = _version(desk, asked)
    document = _version_document(desk, found)
    return await _as_wanted(desk, asked, desk.registry.schemas[found.id], document)


async def version_schema(desk: Desk, asked: Asked) -> Any:
    found: str = (await version(desk, asked))["schema"]
    return found.encode()


async def referenced_by(desk: Desk, asked: Asked) -> Any:
    found = _version(desk, asked, deleted=True)
    return asked.page(sorted(desk.registry.referrers.get((found.subject, found.number), ())))


async def schemas(desk: Desk, asked: Asked) -> Any:
    def found() -> Iterable[Any]:
        registry = desk.registry
        deleted = asked.flag("deleted")
        for name in registry.names(_prefix(asked), deleted=deleted):
            listed = registry.versions(name, deleted=deleted)
            for one in listed[-1:] if asked.flag("latestOnly") else listed:
                yield _version_document(desk, one)

    return asked.page(found())


async def schema(desk: Desk, asked: Asked) -> Any:
    found = _schema(desk, asked)
    document = _schema_document(found) | {"guid": found.guid_text}
    if asked.flag("fetchMaxId"):
        document["maxId"] = max(desk.registry.schemas)
    return await _as_wanted(desk, asked, found, document)


async def schema_text(desk: Desk, asked: Asked) -> Any:
    found: str = (await schema(desk, asked))["schema"]
    return found.encode()


async def schema_by_guid(desk: Desk, asked: Asked) -> Any:
    try:
        identity = desk.registry.ids.get(UUID(asked.path["guid"]).bytes)
    except ValueError:
        identity = None
    if identity is None:
        raise refused(errors.ID_NOT_FOUND, asked.path["guid"])
    found = desk.registry.schemas[identity]
    return await _as_wanted(desk, asked, found, _schema_document(found) | {"guid": found.guid_text})


def _users_of(desk: Desk, asked: Asked) -> list[Version]:
    found = desk.registry.versions_of[_schema(desk, asked).id]
    listed = [one for one in found if not one.deleted or asked.flag("deleted")]
    return sorted(listed, key=lambda one: (one.subject, one.number))


async def schema_subjects(desk: Desk, asked: Asked) -> Any:
    return asked.page(dict.fromkeys(one.subject for one in _users_of(desk, asked)))


async def schema_versions(desk: Desk, asked: Asked) -> Any:
    return asked.page({"subject": one.subject, "version": one.number} for one in _users_of(desk, asked))


async def schema_types(desk: Desk, asked: Asked) -> Any:
    return sorted(FORMATS)


async def contexts(desk: Desk, asked: Asked) -> Any:
    return ["."]


async def root(desk: Desk, asked: Asked) -> Any:
    return {}


# --- registering and removing ----------------------------------------------------------------------------


async def register(desk: Desk, asked: Asked) -> Any:
    offer = asked.decoded(Offer)
    found = await desk.register(asked.subject, offer, normalize=asked.flag("normalize"))
    schema = desk.registry.schemas[found.id]
    document = {"id": found.id, "version": found.number, "guid": schema.guid_text}
    return document | _schema_document(schema)


async def look_up(desk: Desk, asked: Asked) -> Any:
    deleted = asked.flag("deleted")
    if not desk.registry.versions(asked.subject, deleted=deleted):
        raise refused(errors.SUBJECT_NOT_FOUND, asked.subject)
    read = await desk.read(asked.decoded(Offer), asked.subject, normalize=asked.flag("normalize"))
    found = desk.registry.find(asked.subject, read.schema.guid, deleted=deleted)
    if found is None:
        raise refused(errors.SCHEMA_NOT_FOUND)
    schema = desk.registry.schemas[found.id]
    return await _as_wanted(desk, asked, schema, _version_document(desk, found))


def _demand_unreferenced(desk: Desk, doomed: Iterable[Version]) -> None:
    for one in doomed:
        if desk.registry.referrers.get((one.subject, one.number)):
            raise refused(errors.REFERENCE_EXISTS, one.subject, one.number)


async def delete_subject(desk: Desk, asked: Asked) -> Any:
    registry, name = desk.registry, asked.subject
    desk.demand_writable(name)
    everything = registry.versions(name, deleted=True)
    alive = registry.versions(name)
    permanent = asked.flag("permanent")
    if not everything:
        raise refused(errors.SUBJECT_NOT_FOUND, name)
    if permanent and alive:
        raise refused(errors.SUBJECT_NOT_SOFT_DELETED, name)
    if not permanent and not alive:
        raise refused(errors.SUBJECT_SOFT_DELETED, name)
    doomed = everything if permanent else alive
    _demand_unreferenced(desk, doomed)
    for one in doomed:
        (registry.remove if permanent else registry.delete)(one)
    registry.configure(name, None)
    registry.set_mode(name, None)
    return [one.number for one in doomed]


async def delete_version(desk: Desk, asked: Asked) -> Any:
    registry = desk.registry
    desk.demand_writable(asked.subject)
    permanent = asked.flag("permanent")
    found = _version(desk, asked, deleted=permanent or asked.path["version"] not in LATEST)
    if permanent and not found.deleted:
        raise refused(errors.VERSION_NOT_SOFT_DELETED, found.subject, found.number)
    if not permanent and found.deleted:
        raise refused(errors.VERSION_SOFT_DELETED, found.subject, found.number)
    _demand_unreferenced(desk, (found,))
    (registry.remove if permanent else registry.delete)(found)
    return found.number


# --- compatibility ---------------------------------------------------------------------------------------


async def _compared(desk: Desk, asked: Asked, earlier: list[Version]) -> Any:
    offer = asked.decoded(Offer)
    read = await desk.read(offer, asked.subject, normalize=asked.flag("normalize"))
    found = await desk.differences(read, earlier, DEMANDS[desk.registry.level(asked.subject)])
    document: dict[str, Any] = {"is_compatible": not found}
    return document | {"messages": found} if asked.flag("verbose") else document


async def compare(desk: Desk, asked: Asked) -> Any:
    return await _compared(desk, asked, [_version(desk, asked)])


async def compare_all(desk: Desk, asked: Asked) -> Any:
    demand = DEMANDS[desk.registry.level(asked.subject)]
    return await _compared(desk, asked, desk.earlier(asked.subject, demand))


# --- levels and modes ------------------------------------------------------------------------------------


class ConfigBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What can be set. Clients know more, which is refused and not forgotten."""

    compatibility: str | None = None
    compatibility_level: str | None = None
    normalize: bool | None = None


class ModeBody(msgspec.Struct, frozen=True):
    mode: str


def _config_document(level: str | None, normalize: bool | None) -> dict[str, Any]:
    found: dict[str, Any] = {} if level is None else {"compatibilityLevel": level}
    return found if normalize is None else found | {"normalize": normalize}


def _where(asked: Asked) -> str:
    return asked.path.get("subject", GLOBAL)


async def config(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, _where(asked)
    found = registry.configs.get(where, Config())
    if where == GLOBAL or asked.flag("defaultToGlobal"):
        everywhere = registry.configs.get(GLOBAL, Config()).normalize
        normalize = everywhere if found.normalize is None else found.normalize
        return _config_document(registry.level(where), normalize)
    if where not in registry.configs:
        raise refused(errors.NO_SUBJECT_LEVEL, where)
    return _config_document(registry.level(where), found.normalize)


async def configure(desk: Desk, asked: Asked) -> Any:
    body: ConfigBody = asked.decoded(ConfigBody)
    level = body.compatibility or body.compatibility_level
    level = None if level is None else level.upper()
    if level not in (None, *LEVELS) or (level is None and body.normalize is None):
        raise refused(errors.INVALID_LEVEL)
    desk.core.demand_storage()
    before = desk.registry.configs.get(_where(asked), Config())
    normalize = before.normalize if body.normalize is None else body.normalize
    desk.registry.configure(_where(asked), Config(level or before.level, normalize))
    found: dict[str, Any] = {} if level is None else {"compatibility": level}
    return found if body.normalize is None else found | {"normalize": body.normalize}


async def delete_config(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, _where(asked)
    before = registry.configs.get(where)
    if before is None and where != GLOBAL:
        raise refused(errors.SUBJECT_NOT_FOUND, where)
    level = registry.level(where) if before is None else before.level
    registry.configure(where, None)
    return _config_document(level, None if before is None else before.normalize)


async def mode(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, _where(asked)
    if where != GLOBAL and where not in registry.modes and not asked.flag("defaultToGlobal"):
        raise refused(errors.NO_SUBJECT_MODE, where)
    return {"mode": registry.mode(where)}


async def set_mode(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, _where(asked)
    wanted = asked.decoded(ModeBody).mode.upper()
    if wanted not in MODES:
        raise refused(errors.INVALID_MODE)
    if wanted == IMPORT and not asked.flag("force"):
        taken = any(registry.names()) if where == GLOBAL else bool(registry.versions(where))
        if taken and registry.mode(where) != IMPORT:
            raise refused(errors.NOT_PERMITTED, "Cannot import since found existing subjects")
    desk.core.demand_storage()
    registry.set_mode(where, wanted)
    return {"mode": wanted}


async def delete_mode(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, _where(asked)
    before = registry.modes.get(where)
    if before is None:
        raise refused(errors.NO_SUBJECT_MODE, where)
    registry.set_mode(where, None)
    return {"mode": before}


# --- the table -------------------------------------------------------------------------------------------

SUBJECT: Final = "/subjects/{subject}"
VERSION: Final = f"{SUBJECT}/versions/{{version}}"
COMPATIBILITY: Final = f"/compatibility{SUBJECT}/versions"

ROUTES: Final = (
    Route("GET", "/", root),
    Route("GET", "/contexts", contexts),
    Route("GET", "/schemas", schemas),
    Route("GET", "/schemas/types", schema_types),
    Route("GET", "/schemas/ids/{id}", schema),
    Route("GET", "/schemas/ids/{id}/schema", schema_text),
    Route("GET", "/schemas/ids/{id}/subjects", schema_subjects),
    Route("GET", "/schemas/ids/{id}/versions", schema_versions),
    Route("GET", "/schemas/guids/{guid}", schema_by_guid),
    Route("GET", "/subjects", subjects),
    Route("POST", SUBJECT, look_up),
    Route("DELETE", SUBJECT, delete_subject, Right.CHANGE, writes=True),
    Route("GET", f"{SUBJECT}/versions", versions),
    Route("POST", f"{SUBJECT}/versions", register, Right.REGISTER, writes=True),
    Route("GET", VERSION, version),
    Route("DELETE", VERSION, delete_version, Right.CHANGE, writes=True),
    Route("GET", f"{VERSION}/schema", version_schema),
    Route("GET", f"{VERSION}/referencedby", referenced_by),
    Route("POST", COMPATIBILITY, compare_all),
    Route("POST", f"{COMPATIBILITY}/{{version}}", compare),
    Route("GET", "/config", config),
    Route("PUT", "/config", configure, Right.RULE, writes=True),
    Route("DELETE", "/config", delete_config, Right.RULE, writes=True),
    Route("GET", "/config/{subject}", config),
    Route("PUT", "/config/{subject}", configure, Right.CHANGE, writes=True),
    Route("DELETE", "/config/{subject}", delete_config, Right.CHANGE, writes=True),
    Route("GET", "/mode", mode),
    Route("PUT", "/mode", set_mode, Right.RULE, writes=True),
    Route("DELETE", "/mode", delete_mode, Right.RULE, writes=True),
    Route("GET", "/mode/{subject}", mode),
    Route("PUT", "/mode/{subject}", set_mode, Right.CHANGE, writes=True),
    Route("DELETE", "/mode/{subject}", delete_mode, Right.CHANGE, writes=True),
)
