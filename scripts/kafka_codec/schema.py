"""What Kafka's message JSON says, as values: messages, structs, fields, and the versions that have them.

The JSON has comments, and versions as text such as `3+`, `0-2`, `4` or `none`. A struct is defined where a
field first uses it, or under `commonStructs`.

Source: the README beside the definitions in Kafka's source, clients/src/main/resources/common/message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from zipfile import ZipFile

FOREVER = 1 << 15
"""One more than the last version that an INT16 can say."""
FIXED = {
    "bool": ("?", 1),
    "int8": ("b", 1),
    "int16": ("h", 2),
    "uint16": ("H", 2),
    "int32": ("i", 4),
    "int64": ("q", 8),
    "float64": ("d", 8),
    "uuid": ("16s", 16),
}
"""Types of fixed size: `struct`'s letter and the size in bytes."""


def versions(text: str) -> range:
    """Return the versions that `3+`, `0-2`, `4` or `none` stand for."""
    if text == "none":
        return range(0)
    first, dash, last = text.rstrip("+").partition("-")
    if text.endswith("+"):
        return range(int(first), FOREVER)
    return range(int(first), int(last if dash else first) + 1)


def snake(name: str) -> str:
    """Return `TopicId` as `topic_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@dataclass(frozen=True)
class Struct:
    """Fields under one name."""

    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Field:
    """One field of a message or struct."""

    name: str
    """As Python writes it."""
    kind: str
    """The type, of one item if this is an array: a primitive's name, or that of a struct."""
    is_array: bool
    struct: Struct | None
    versions: range
    nullable: range
    tagged: range
    tag: int
    default: str | None
    """As the JSON has it; None where it names none."""

    @property
    def is_fixed(self) -> bool:
        """Does it take the same number of bytes whatever its value?"""
        return self.kind in FIXED and not self.is_array


@dataclass(frozen=True)
class Message:
    """A request or a response."""

    key: int
    struct: Struct
    versions: range
    """Without a last version that is not stable yet: a broker does not offer it."""
    flexible: range
    listeners: frozenset[str]


@dataclass
class Definitions:
    """All messages that clients and brokers of one release exchange."""

    release: str
    requests: dict[int, Message] = field(default_factory=dict)
    responses: dict[int, Message] = field(default_factory=dict)

    @classmethod
    def read(cls, release: str, jar: ZipFile) -> Definitions:
        """Read the messages that are in a kafka-clients jar."""
        found = cls(release)
        for name in sorted(jar.namelist()):
            if re.fullmatch(r"common/message/\w+(Request|Response)\.json", name):
                text = re.sub(r"^\s*//.*$", "", jar.read(name).decode(), flags=re.MULTILINE)
                document = json.loads(text)
                if "fields" in document and versions(document["validVersions"]):
                    by_key = found.requests if document["type"] == "request" else found.responses
                    by_key[document["apiKey"]] = _message(document)
        return found


def _message(document: dict[str, Any]) -> Message:
    structs: dict[str, Struct] = {}
    for common in _in_order(document.get("commonStructs", [])):
        structs[common["name"]] = Struct(common["name"], _fields(common["fields"], structs))
    valid = versions(document["validVersions"])
    if document.get("latestVersionUnstable"):
        valid = valid[:-1]
    return Message(
        key=document["apiKey"],
        struct=Struct(document["name"], _fields(document["fields"], structs)),
        versions=valid,
        flexible=versions(document["flexibleVersions"]),
        listeners=frozenset(document.get("listeners", ())),
    )


def _in_order(commons: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield common structs, each behind those that it uses."""
    waiting = {common["name"]: common for common in commons}
    while waiting:
        for name, common in list(waiting.items()):
            if not any(each["type"].removeprefix("[]") in waiting for each in common["fields"]):
                yield waiting.pop(name)


def _fields(documents: list[dict[str, Any]], structs: dict[str, Struct]) -> tuple[Field, ...]:
    return tuple(_field(document, structs) for document in documents)


def _field(document: dict[str, Any], structs: dict[str, Struct]) -> Field:
    kind = document["type"].removeprefix("[]")
    if "fields" in document:
        structs[kind] = Struct(kind, _fields(document["fields"], structs))
    default = document.get("default")
    return Field(
        name=snake(document["name"]),
        kind=kind,
        is_array=document["type"].startswith("[]"),
        struct=structs.get(kind),
        versions=versions(document["versions"]),
        nullable=versions(document.get("nullableVersions", "none")),
        tagged=versions(document.get("taggedVersions", "none")),
        tag=document.get("tag", -1),
        default=None if default is None else str(default),
    )


# --- versions that a release has dropped ---------------------------------------------------------------


def with_older(newest: Message, oldest: Message | None) -> Message:
    """Return a message with the versions before its first one, as an older release has them.

    What both have is the newer release's, so that a value has one name whatever the version.
    """
    if oldest is None or not oldest.versions or oldest.versions[0] >= newest.versions[0]:
        return newest
    first = newest.versions[0]
    return replace(
        newest,
        struct=_with_older(newest.struct, oldest.struct, first),
        versions=range(oldest.versions[0], newest.versions.stop),
    )


def _with_older(newest: Struct, oldest: Struct, first: int) -> Struct:
    """Put the fields that only older versions have where those have them."""
    before = {each.name: each for each in oldest.fields}
    fields = [_reaching_back(each, before.get(each.name), first) for each in newest.fields]
    at = 0
    for each in oldest.fields:
        place = next((index for index, kept in enumerate(fields) if kept.name == each.name), None)
        if place is None:
            fields.insert(at, _only_before(each, first))
            at += 1
        else:
            at = place + 1
    return Struct(newest.name, tuple(each for each in fields if each.versions))


def _reaching_back(each: Field, before: Field | None, first: int) -> Field:
    if before is None:
        return replace(each, versions=_joined(range(0), each.versions, first))
    struct = each.struct
    if struct is not None and before.struct is not None:
        struct = _with_older(struct, before.struct, first)
    return replace(
        each,
        struct=struct,
        versions=_joined(before.versions, each.versions, first),
        nullable=_joined(before.nullable, each.nullable, first),
    )


def _only_before(each: Field, first: int) -> Field:
    return replace(each, versions=_joined(each.versions, range(0), first))


def _joined(older: range, newer: range, first: int) -> range:
    """The one below `first`, the other from there on."""
    low = range(older.start, min(older.stop, first)) if older else range(0)
    high = range(max(newer.start, first), newer.stop) if newer else range(0)
    if not low or not high:
        return low or high
    assert low.stop == high.start == first, "a field that is there, away and there again"
    return range(low.start, high.stop)
