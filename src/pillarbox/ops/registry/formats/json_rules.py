"""Does a JSON schema take everything that another one takes? Keyword by keyword, where that can be told.

What cannot be told counts as a difference: a condition (`if`, `not`, `contains` and the like) that only the
reader has, or has otherwise; alternatives none of which takes a whole alternative of the writer. A property
that comes new is one that could have been written before with any value, unless the writer's schema takes no
other properties; so is the registry's own answer. A new property may be required where it has a default.

Not checked: `format`, which says nothing of what is valid, and what a `$ref` to elsewhere leads to: the same
one is the same. Source: JSON Schema, "Validation"; Confluent, "JSON Schema compatibility rules".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote

from pillarbox.ops.registry.formats import json_text

UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
SAME: Final = (
    *("pattern", "if", "then", "else", "not", "contains", "minContains", "maxContains", "propertyNames"),
    *("dependencies", "dependentRequired", "dependentSchemas", "patternProperties", "prefixItems"),
    *("additionalItems", "unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef"),
    *("extends", "disallow", "divisibleBy"),
)
"""Conditions that are only compared as a whole."""
ANNOTATIONS: Final = frozenset(
    ("$ref", "title", "description", "default", "examples", "$comment", "deprecated")
)
TYPES: Final = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
EITHER: Final = ("anyOf", "oneOf")
PAIRS_MAX: Final = 20_000
"""Pairs of schemas that are looked at: alternatives of alternatives have no end."""


class _TooManyError(Exception):
    """More pairs than are looked at."""


def differences(reader: Any, writer: Any) -> list[str]:
    """See `Format.differences`."""
    try:
        return list(_Comparison(reader, writer).between(reader, writer, "#"))
    except _TooManyError:
        return ["the schemas have too many alternatives to be compared"]


class _Comparison:
    """Of two whole schemas, in which references point."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._under_way: set[tuple[int, int]] = set()
        self._looked_at = 0

    def between(self, reader: Any, writer: Any, where: str) -> Iterator[str]:
        """Differences between two parts of them."""
        self._looked_at += 1
        if self._looked_at > PAIRS_MAX:
            raise _TooManyError
        reader, own = _resolved(reader, self._reader)
        writer, theirs = _resolved(writer, self._writer)
        pair = id(reader), id(writer)
        if pair in self._under_way or writer is False or reader is True:
            return
        if reader is False:
            yield f"{where}: nothing is taken there any more"
            return
        if own != theirs and own:
            yield f"{where}: it refers to {own}, which is not looked up"
            return
        self._under_way.add(pair)
        try:
            yield from self._compare(reader, {} if writer is True else writer, where)
        finally:
            self._under_way.discard(pair)

    def _compare(self, reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
        for word in EITHER:
            if writer.get(word) and not any(word in reader for word in EITHER):
                rest = {key: value for key, value in writer.items() if key != word}
                parts = [[*self.between(reader, each, where)] for each in writer[word]]
                if all(not found for found in parts):
                    return
                if not [*self.between(reader, rest, where)]:
                    return
                yield from next(found for found in parts if found)
                return
        if len(writer.get("allOf", ())) and "allOf" not in reader:
            rest = {key: value for key, value in writer.items() if key != "allOf"}
            if any(not [*self.between(reader, each, where)] for each in (*writer["allOf"], rest)):
                return
            yield f"{where}: nothing of the writer's allOf is taken as a whole"
            return
        yield from self._combined(reader, writer, where)
        for rule in (_types, _values, _bounds, self._conditions, _required):
            yield from rule(reader, writer, where)
        yield from self._members(reader, writer, where)
        if "items" in reader:
            yield from self._items(reader["items"], writer.get("items", True), f"{where}/items")

    def _combined(self, reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
        for place, each in enumerate(reader.get("allOf", ())):
            parts = writer.get("allOf", ())
            if not any(not [*self.between(each, one, where)] for one in (*parts, _without(writer, "allOf"))):
                yield f"{where}/allOf/{place}: the writer need not have met it"
        for word in EITHER:
            if word not in reader:
                continue
            theirs = next((writer[one] for one in EITHER if one in writer), None)
            if word == "oneOf" and not self._is_same_choice(reader, writer, theirs):
                # What meets one alternative might meet a second one, which oneOf forbids.
                yield f"{where}/oneOf: its alternatives are others, and more than one of them could fit"
                continue
            for place, one in enumerate([writer] if theirs is None else theirs):
                if not any(not [*self.between(each, one, where)] for each in reader[word]):
                    yield f"{where}/{word}: nothing takes what the writer's alternative {place} takes"

    def _is_same_choice(self, reader: dict[str, Any], writer: dict[str, Any], theirs: Any) -> bool:
        """Does everything meet one alternative only? Told by their types, or by their being the same."""
        if reader["oneOf"] == theirs and "oneOf" in writer:
            return True
        seen: set[str] = set()
        for each in reader["oneOf"]:
            types = _types_of(_resolved(each, self._reader)[0])
            if seen & types:
                return False
            seen |= types
        return True

    def _members(self, reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
        if "object" not in _types_of(writer):
            return
        own, theirs = reader.get("properties", {}), writer.get("properties", {})
        other = reader.get("additionalProperties", True)
        others = writer.get("additionalProperties", True)
        patterned = bool(writer.get("patternProperties"))
        for name in sorted({*own, *theirs}):
            yield from self.between(
                own.get(name, other),
                theirs.get(name, True if patterned else others),
                f"{where}/properties/{name}",
            )
        if other is not True:
            yield from self.between(other, others, f"{where}/additionalProperties")

    def _items(self, reader: Any, writer: Any, where: str) -> Iterator[str]:
        if isinstance(reader, list) or isinstance(writer, list):
            if not self._means_the_same(reader, writer):
                yield f"{where}: a list of schemas that is another one"
            return
        yield from self.between(reader, writer, where)

    def _conditions(self, reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
        for word in SAME:
            if word in reader and (
                word not in writer or not self._means_the_same(reader[word], writer[word])
            ):
                yield f"{where}: {word} is another one"

    def _means_the_same(self, reader: Any, writer: Any) -> bool:
        """Are two parts equal, and whatever they refer to within their schemas?"""
        if _exact(reader) != _exact(writer):
            return False
        refers = '"$ref":"#' in json_text.write(reader)
        return not refers or _exact(self._reader) == _exact(self._writer)


def _without(schema: dict[str, Any], word: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != word}


def _resolved(schema: Any, root: Any) -> tuple[Any, str]:
    """What a reference within the schema leads to; and one that leads elsewhere."""
    seen = 0
    while isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        path = schema["$ref"]
        if len(schema) > 1 and _heeds_neighbours(root) and not ANNOTATIONS.issuperset(schema):
            parts = [{"$ref": path}, *schema.get("allOf", ())]
            return {**_without(schema, "$ref"), "allOf": parts}, ""
        seen += 1
        if not path.startswith("#") or seen > 100:
            return schema, path
        found: Any = root
        for part in path[1:].split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                return schema, path
        if not isinstance(found, dict | bool) or (path[1:] and path[1] != "/"):
            return schema, path
        schema = found
    return schema, ""


def _heeds_neighbours(root: Any) -> bool:
    """What stands beside a `$ref` counts since 2019."""
    dialect = root.get("$schema", "") if isinstance(root, dict) else ""
    return "/draft/20" in str(dialect)


def _types_of(schema: Any) -> frozenset[str]:
    if not isinstance(schema, dict):
        return TYPES if schema else frozenset()
    said = schema.get("type")
    if said is None:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        return TYPES if values is None else frozenset().union(*map(_types_of_value, values))
    found = {said} if isinstance(said, str) else set(said)
    return frozenset(found | {"integer"} if "number" in found else found) & TYPES


def _types_of_value(value: Any) -> set[str]:
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer"}
    if isinstance(value, float):
        return {"integer", "number"} if value.is_integer() else {"number"}
    return {"string"} if isinstance(value, str) else {"array"} if isinstance(value, list) else {"object"}


def _types(reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
    if "type" in reader:
        more = _types_of(writer) - _types_of(reader)
        if more:
            yield f"{where}: {', '.join(sorted(more))} is not taken any more"


def _values(reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
    for allowed in (reader.get("enum"), [reader["const"]] if "const" in reader else None):
        if allowed is None:
            continue
        written = [writer["const"]] if "const" in writer else writer.get("enum")
        if written is None:
            yield f"{where}: only some values are taken, and any could have been written"
        else:
            known = list(map(_exact, allowed))
            gone = [value for value in written if _exact(value) not in known]
            if gone:
                yield f"{where}: {str(gone)[:100]} is not taken any more"


def _exact(value: Any) -> Any:
    """Python takes 1 for true; JSON does not."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, list):
        return [_exact(one) for one in value]
    if isinstance(value, dict):
        return {key: _exact(one) for key, one in value.items()}
    return value


def _bounds(reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
    narrower: list[tuple[str, Callable[[Any, Any], bool]]] = [
        *((word, lambda own, theirs: bool(own < theirs)) for word in UPPER),
        *((word, lambda own, theirs: bool(own > theirs)) for word in LOWER),
    ]
    for word, is_narrower in narrower:
        own, theirs = reader.get(word), writer.get(word)
        if own is None or own == theirs:
            continue
        if theirs is None or isinstance(own, bool) or isinstance(theirs, bool) or is_narrower(own, theirs):
            yield f"{where}: {word} is {own}" + (f" and was {theirs}" if theirs is not None else "")
    own, theirs = reader.get("multipleOf"), writer.get("multipleOf")
    if own is not None and own != theirs:
        whole = isinstance(own, int) and isinstance(theirs, int) and theirs % own == 0
        if not whole:
            yield f"{where}: multipleOf is {own}"
    if reader.get("uniqueItems") and not writer.get("uniqueItems"):
        yield f"{where}: items have to be unique"


def _required(reader: dict[str, Any], writer: dict[str, Any], where: str) -> Iterator[str]:
    if "object" not in _types_of(writer):
        return
    own, theirs = reader.get("required"), writer.get("required")
    properties = reader.get("properties", {})
    if own is True and theirs is not True:
        yield f"{where}: it is required, and need not have been written"
    for name in own if isinstance(own, list) else ():
        part = properties.get(name)
        has_default = isinstance(part, dict) and "default" in part
        if not has_default and name not in (theirs if isinstance(theirs, list) else ()):
            yield f"{where}: {name} is required, and need not have been written"
