"""Avro schemas, parsed and resolved by Apache's own library.

That says whether a reader's schema resolves a writer's. Beside it, as the registry does: the default of a
field has to be a value of its type. Not here: data.

Source: Avro 1.12 specification, "Schema Resolution", "Complex Types".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.name import Names
from avro.schema import (
    ArraySchema,
    EnumSchema,
    Field,
    FixedSchema,
    MapSchema,
    RecordSchema,
    UnionSchema,
    make_avsc_object,
)
from avro.schema import Schema as Tree

from pillarbox.ops.registry.formats import InvalidSchema, Known, Parsed, json_text


class _Record(RecordSchema):  # type: ignore[misc]
    """A record as it is compared: the library makes its table of fields anew for each field that it asks for,
    which took seconds for a record with thousands.
    """

    @cached_property
    def fields_dict(self) -> Mapping[str, Field]:
        return {field.name: field for field in self.fields}


def parse(text: str, references: Sequence[Known]) -> Parsed:
    """See `Format.parse`."""
    value = _value(text)
    found = _tree(value, _names(references))
    _demand_defaults(found)
    identity = json_text.write(value, in_order=False)
    return Parsed(json_text.write(value), identity, identity.encode(), found)


def tree(text: str, references: Sequence[Known]) -> Tree:
    """See `Format.tree`."""
    return _tree(_value(text), _names(references))


def _names(references: Sequence[Known]) -> Names:
    names = Names()
    for each in references:
        _tree(_value(each.text), names)
    return names


def _value(text: str) -> Any:
    """What the text says; a type needs no object around it that says nothing else."""
    found = json_text.read(text)
    while isinstance(found, dict) and set(found) == {"type"} and isinstance(found["type"], str | dict | list):
        found = found["type"]
    return found


def _tree(value: Any, names: Names) -> Tree:
    try:
        with warnings.catch_warnings():
            # A logical type that it does not know, or that does not fit, is ignored by the specification.
            warnings.simplefilter("ignore")
            return make_avsc_object(value, names)
    except AvroException as error:
        raise InvalidSchema(str(error)) from None
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        # What the library has not thought of is no schema either.
        raise InvalidSchema(f"{type(error).__name__}: {error}") from None


def differences(reader: Tree, writer: Tree) -> list[str]:
    """See `Format.differences`."""
    for record in (*_records(reader), *_records(writer)):
        record.__class__ = _Record
    found = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    if found.compatibility is not SchemaCompatibilityType.incompatible:
        return []
    kinds = sorted({kind.name.upper() for kind in found.incompatibilities})
    return [
        f"{', '.join(kinds)} at {', '.join(sorted(found.locations))}: {', '.join(sorted(found.messages))}"
    ]


# --- defaults --------------------------------------------------------------------------------------------


def _demand_defaults(tree: Tree) -> None:
    """Raise InvalidSchema for a default that is no value of its field."""
    for record in _records(tree):
        for field in record.fields:
            if field.has_default and not _fits(field.type, field.default):
                shown = json_text.write(field.default)[:100]
                raise InvalidSchema(f"Invalid default for field {field.name}: {shown}")


def _records(tree: Tree) -> Iterator[RecordSchema]:
    """All records in it, each once."""
    seen: set[int] = set()
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, RecordSchema):
            yield one
            waiting += [field.type for field in one.fields]
        elif isinstance(one, UnionSchema):
            waiting += one.schemas
        elif isinstance(one, ArraySchema):
            waiting.append(one.items)
        elif isinstance(one, MapSchema):
            waiting.append(one.values)


def _fits(tree: Tree, value: Any) -> bool:
    """Is this a value of this type, as defaults are written?"""
    if isinstance(tree, UnionSchema):
        # Of the first branch, by the specification up to 1.11; of any, since 1.12.
        return any(_fits(branch, value) for branch in tree.schemas)
    if isinstance(tree, EnumSchema):
        return value in tree.symbols
    if isinstance(tree, FixedSchema):
        return _is_bytes(value) and len(value) == tree.size
    if isinstance(tree, ArraySchema):
        return isinstance(value, list) and all(_fits(tree.items, one) for one in value)
    if isinstance(tree, MapSchema):
        return isinstance(value, dict) and all(_fits(tree.values, one) for one in value.values())
    if isinstance(tree, RecordSchema):
        return isinstance(value, dict) and all(
            _fits(field.type, value[field.name]) if field.name in value else field.has_default
            for field in tree.fields
        )
    return bool(PRIMITIVES[tree.type](value))


def _is_bytes(value: Any) -> bool:
    """Each character stands for the byte of its number."""
    return isinstance(value, str) and all(ord(character) < 256 for character in value)


def _is_integer(value: Any, bits: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << bits) <= value < 1 << bits


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


PRIMITIVES: dict[str, Any] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "int": lambda value: _is_integer(value, 31),
    "long": lambda value: _is_integer(value, 63),
    "float": _is_number,
    "double": _is_number,
    "bytes": _is_bytes,
    "string": lambda value: isinstance(value, str),
}
