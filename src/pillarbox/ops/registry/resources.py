"""Handlers of the registry's routes for schemas and subjects: what each answers.

A handler gets the desk and what is asked, and returns a document, text as it is, or an answer with a status
of its own. Not here: what is set for subjects (`settings`), the table (`routes`).

Source: Confluent, "Schema Registry API Reference".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec

from pillarbox.ops.management.request import Answer
from pillarbox.ops.registry import contract, errors, names
from pillarbox.ops.registry.desk import Desk, Offer
from pillarbox.ops.registry.errors import refused
from pillarbox.ops.registry.formats import DEFAULT, FORMATS
from pillarbox.ops.registry.request import Asked
from pillarbox.ops.registry.store import Schema, Version

VERSION_MAX: Final = 2**31 - 1
LATEST: Final = ("latest", "-1")


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
    schema = desk.registry.schema(version)
    found = {"subject": version.subject, "version": version.number, "id": version.id}
    found |= {"guid": schema.guid_text} | _schema_document(schema)
    return found | {"deleted": True} if version.deleted else found


async def _as_wanted(desk: Desk, asked: Asked, schema: Schema, document: dict[str, Any]) -> dict[str, Any]:
    """The document with the schema in the form that is asked for, where its format has such a one."""
    wanted = asked.get("format")
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


def _version_somewhere(desk: Desk, asked: Asked) -> Version:
    """The same; where the subject is not there, then in another context, unless one is named."""
    missing: errors.RegistryError | None = None
    for subject in desk.registry.everywhere(asked.subject):
        try:
            return _version(desk, asked._replace(path={**asked.path, "subject": subject}))
        except errors.RegistryError as error:
            missing = missing or error
    assert missing is not None, "it was looked for in one place at least"
    raise missing


def _schema(desk: Desk, asked: Asked) -> Schema:
    """The schema of the id that is asked for. Raises 40403."""
    word = asked.path["id"]
    identity = int(word[:11]) if word.isascii() and word.isdigit() else 0
    subject = names.qualified(asked.get("subject"), asked.context or names.DEFAULT_CONTEXT)
    found = desk.registry.schema_of(identity, desk.registry.actual(subject))
    if found is None:
        raise refused(errors.ID_NOT_FOUND, word)
    return found


async def subjects(desk: Desk, asked: Asked) -> Any:
    found = desk.registry.listed(
        asked.prefix(names.EVERY_CONTEXT),
        deleted=asked.flag("deleted"),
        only_deleted=asked.flag("deletedOnly"),
    )
    return asked.page(found)


async def versions(desk: Desk, asked: Asked) -> Any:
    return asked.page(one.number for one in _versions(desk, asked))


async def version(desk: Desk, asked: Asked) -> Any:
    found = _version_somewhere(desk, asked)
    document = _version_document(desk, found)
    return await _as_wanted(desk, asked, desk.registry.schema(found), document)


async def version_schema(desk: Desk, asked: Asked) -> Any:
    found: str = (await version(desk, asked))["schema"]
    return found.encode()


async def referenced_by(desk: Desk, asked: Asked) -> Any:
    found = _version(desk, asked, deleted=True)
    referrers = desk.registry.referrers.get((found.subject, found.number), ())
    return asked.page(identity for _, identity in sorted(referrers))


async def version_with_metadata(desk: Desk, asked: Asked) -> Any:
    """The last version whose metadata have all these properties: `key` and `value`, in pairs."""
    wanted = dict(zip(asked.all("key"), asked.all("value"), strict=False))
    for found in reversed(_versions(desk, asked)):
        schema = desk.registry.schema(found)
        if wanted.items() <= contract.properties_of(schema.metadata).items():
            return await _as_wanted(desk, asked, schema, _version_document(desk, found))
    raise refused(errors.SCHEMA_NOT_FOUND)


async def schemas(desk: Desk, asked: Asked) -> Any:
    def found() -> Iterable[Any]:
        registry = desk.registry
        deleted = asked.flag("deleted")
        for name in registry.listed(asked.prefix(names.DEFAULT_CONTEXT), deleted=deleted):
            listed = registry.versions(name, deleted=deleted)
            for one in listed[-1:] if asked.flag("latestOnly") else listed:
                yield _version_document(desk, one)

    return asked.page(found())


async def schema(desk: Desk, asked: Asked) -> Any:
    found = _schema(desk, asked)
    document = _schema_document(found) | {"guid": found.guid_text}
    if asked.flag("fetchMaxId"):
        document["maxId"] = max(desk.registry.contexts[found.context].schemas)
    return await _as_wanted(desk, asked, found, document)


async def schema_text(desk: Desk, asked: Asked) -> Any:
    found: str = (await schema(desk, asked))["schema"]
    return found.encode()


def _by_guid(desk: Desk, asked: Asked) -> list[Schema]:
    """The schema of the guid that is asked for, in each context that has it. Raises 40403."""
    try:
        guid = UUID(asked.path["guid"]).bytes
    except ValueError:
        guid = b""
    contexts = sorted(desk.registry.contexts.values(), key=lambda one: one.name)
    found = [context.schemas[context.ids[guid]] for context in contexts if guid in context.ids]
    if not found:
        raise refused(errors.ID_NOT_FOUND, asked.path["guid"])
    return found


async def schema_by_guid(desk: Desk, asked: Asked) -> Any:
    found = _by_guid(desk, asked)[0]
    return await _as_wanted(desk, asked, found, _schema_document(found) | {"guid": found.guid_text})


async def ids_of_guid(desk: Desk, asked: Asked) -> Any:
    return [{"context": names.shown(one.context), "id": one.id} for one in _by_guid(desk, asked)]


def _users_of(desk: Desk, asked: Asked) -> list[Version]:
    schema = _schema(desk, asked)
    found = desk.registry.contexts[schema.context].versions_of[schema.id]
    listed = [one for one in found if not one.deleted or asked.flag("deleted")]
    return sorted(listed, key=lambda one: (one.subject, one.number))


async def schema_subjects(desk: Desk, asked: Asked) -> Any:
    return asked.page(dict.fromkeys(one.subject for one in _users_of(desk, asked)))


async def schema_versions(desk: Desk, asked: Asked) -> Any:
    return asked.page({"subject": one.subject, "version": one.number} for one in _users_of(desk, asked))


async def schema_types(desk: Desk, asked: Asked) -> Any:
    return sorted(FORMATS)


async def contexts(desk: Desk, asked: Asked) -> Any:
    found = map(names.shown, sorted(desk.registry.contexts))
    return asked.page(each for each in found if each.startswith(asked.get("contextPrefix")))


async def delete_context(desk: Desk, asked: Asked) -> Any:
    try:
        name = names.context(asked.path["context"])
    except ValueError as error:
        raise errors.RegistryError(400, str(error)) from None
    if name == names.DEFAULT_CONTEXT or any(desk.registry.listed(name, deleted=True)):
        raise refused(errors.CONTEXT_NOT_EMPTY, names.shown(name))
    if name in desk.registry.contexts:
        desk.registry.remove_context(name)
    return Answer(204)


async def root(desk: Desk, asked: Asked) -> Any:
    return {}


# --- registering and removing ----------------------------------------------------------------------------


async def register(desk: Desk, asked: Asked) -> Any:
    offer = asked.decoded(Offer)
    found = await desk.register(
        asked.subject, offer, normalize=asked.flag("normalize"), force=asked.flag("force")
    )
    schema = desk.registry.schema(found)
    document = {"id": found.id, "version": found.number, "guid": schema.guid_text}
    return document | _schema_document(schema)


async def look_up(desk: Desk, asked: Asked) -> Any:
    registry, deleted = desk.registry, asked.flag("deleted")
    places = [name for name in registry.everywhere(asked.subject) if registry.versions(name, deleted=deleted)]
    if not places:
        raise refused(errors.SUBJECT_NOT_FOUND, asked.subject)
    offer = asked.decoded(Offer)
    for place in places:
        read = await desk.read(offer, place, normalize=asked.flag("normalize"))
        found = desk.find(read, place, deleted=deleted)
        if found is not None:
            return await _as_wanted(desk, asked, registry.schema(found), _version_document(desk, found))
    raise refused(errors.SCHEMA_NOT_FOUND)


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


async def _compared(desk: Desk, asked: Asked, earlier: list[Version] | None) -> Any:
    offer = asked.decoded(Offer)
    read = await desk.read(offer, asked.subject, normalize=asked.flag("normalize"))
    if earlier is None:
        earlier = desk.earlier(asked.subject, read.schema)
    found = await desk.differences(read, earlier, desk.demand(asked.subject))
    document: dict[str, Any] = {"is_compatible": not found}
    return document | {"messages": found} if asked.flag("verbose") else document


async def compare(desk: Desk, asked: Asked) -> Any:
    return await _compared(desk, asked, [_version(desk, asked)])


async def compare_all(desk: Desk, asked: Asked) -> Any:
    return await _compared(desk, asked, None)
