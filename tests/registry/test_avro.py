"""Whether one Avro schema can read what was written by another, with fastavro to try it (K79)."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.ops.registry.formats import FORMATS, InvalidSchema, Known
from tests.registry.needs import CLIENTS, REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

AVRO = FORMATS["AVRO"]

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
NAMES = ("A", "B", "C")


def parse(schema: Any) -> Any:
    return AVRO.parse(json.dumps(schema)).tree


def differences(reader: Any, writer: Any) -> list[str]:
    return AVRO.differences(parse(reader), parse(writer))


# --- schemas and data ------------------------------------------------------------------------------------


def _flat(kind: Any) -> str:
    """What a union may have once."""
    if isinstance(kind, str):
        return kind
    found: str = kind.get("name", kind["type"])
    return found


def _union(branches: list[Any]) -> Any:
    return list({_flat(branch): branch for branch in branches if not isinstance(branch, list)}.values())


def _types(depth: int) -> st.SearchStrategy[Any]:
    """Types, whose names may be taken twice: those that are no schema are left out by `schemas`."""
    leaves = st.one_of(
        st.sampled_from(PRIMITIVES),
        st.builds(
            lambda name, symbols, default: {
                "type": "enum",
                "name": f"E{name}",
                "symbols": symbols,
                **({"default": symbols[0]} if default else {}),
            },
            st.sampled_from(NAMES),
            st.lists(st.sampled_from("xyz"), min_size=1, max_size=3, unique=True),
            st.booleans(),
        ),
        st.builds(
            lambda name, size: {"type": "fixed", "name": f"F{name}", "size": size},
            st.sampled_from(NAMES),
            st.integers(1, 2),
        ),
    )
    if depth == 0:
        return leaves
    inner = _types(depth - 1)
    return st.one_of(
        leaves,
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda values: {"type": "map", "values": values}, inner),
        st.lists(inner, min_size=1, max_size=3).map(_union).filter(bool),
        st.builds(
            lambda name, fields: {"type": "record", "name": f"R{name}", "fields": fields},
            st.sampled_from(NAMES),
            st.lists(_fields(inner), max_size=3, unique_by=lambda field: str(field["name"])),
        ),
    )


def _fields(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    plain = st.builds(lambda name, kind: {"name": name, "type": kind}, st.sampled_from("abc"), inner)
    return plain.flatmap(
        lambda field: st.one_of(
            st.just(field),
            _default(field["type"]).map(lambda value: field | {"default": value}),
        )
    )


def _default(kind: Any) -> st.SearchStrategy[Any]:
    return data(kind[0] if isinstance(kind, list) else kind).map(_as_default)


def _as_default(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list):
        return list(map(_as_default, value))
    if isinstance(value, dict):
        return {key: _as_default(one) for key, one in value.items()}
    return value


def data(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type."""
    if isinstance(kind, list):
        return st.sampled_from(kind).flatmap(data)
    if isinstance(kind, str):
        return {
            "null": st.none(),
            "boolean": st.booleans(),
            "int": st.integers(-(2**31), 2**31 - 1),
            "long": st.integers(-(2**63), 2**63 - 1),
            "float": st.sampled_from([0.0, 0.5, -2.0]),
            "double": st.sampled_from([0.0, 0.5, -2.0]),
            "bytes": st.text("abé", max_size=3).map(str.encode),
            "string": st.text("abé", max_size=3),
        }[kind]
    if kind["type"] == "enum":
        return st.sampled_from(kind["symbols"])
    if kind["type"] == "fixed":
        return st.just(b"z" * kind["size"])
    if kind["type"] == "array":
        return st.lists(data(kind["items"]), max_size=2)
    if kind["type"] == "map":
        return st.dictionaries(st.sampled_from("kl"), data(kind["values"]), max_size=2)
    return st.fixed_dictionaries({field["name"]: data(field["type"]) for field in kind["fields"]})


def _is_schema(schema: Any) -> bool:
    try:
        parse(schema)
    except InvalidSchema:
        return False
    return True


schemas = _types(2).filter(_is_schema)
"""Schemas."""


@st.composite
def evolved(draw: st.DrawFn) -> tuple[Any, Any]:
    """A writer's schema and a reader's, which has something in common with it."""
    writer = draw(schemas)
    return _changed(draw, writer), writer


def _changed(draw: st.DrawFn, schema: Any) -> Any:
    """The same with something else in it."""
    what = draw(st.integers(0, 5))
    if what == 0:
        return draw(schemas)
    if what == 1:
        return _union([schema, draw(st.sampled_from(PRIMITIVES))]) if not isinstance(schema, list) else schema
    if isinstance(schema, list):
        return _union([_changed(draw, branch) for branch in schema]) or schema
    if isinstance(schema, str):
        wider = {"int": "long", "long": "double", "float": "double", "string": "bytes", "bytes": "string"}
        return wider.get(schema, schema)
    if schema["type"] == "record":
        fields = [
            field | {"type": _changed(draw, field["type"])} if "default" not in field else field
            for field in schema["fields"]
            if draw(st.integers(0, 3))
        ]
        if fields and draw(st.booleans()):
            # A new name; the spec does not say what an alias means that is also the name of a field.
            fields[0] = fields[0] | {"name": f"new_{fields[0]['name']}", "aliases": [fields[0]["name"]]}
        if draw(st.booleans()):
            fields += [{"name": "added", "type": "int", "default": 7}]
        return schema | {"fields": fields}
    inner = {"array": "items", "map": "values"}.get(schema["type"])
    if inner is not None:
        return schema | {inner: _changed(draw, schema[inner])}
    if schema["type"] == "enum":
        return schema | {"symbols": list(dict.fromkeys([*schema["symbols"], draw(st.sampled_from("xyzw"))]))}
    return schema


# --- properties ------------------------------------------------------------------------------------------


@given(schemas)
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
def test_a_schema_is_compatible_with_itself(schema: Any) -> None:
    assert differences(schema, schema) == []


@CLIENTS
@given(evolved(), st.data())
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
def test_what_is_called_compatible_can_be_read(pair: tuple[Any, Any], drawn: st.DataObject) -> None:
    """fastavro, which nobody here has written, reads by the one what it wrote by the other."""
    import fastavro

    reader, writer = pair
    if not _is_schema(reader) or differences(reader, writer):
        return
    written = io.BytesIO()
    value = drawn.draw(data(writer))
    fastavro.schemaless_writer(written, fastavro.parse_schema(writer), value)
    written.seek(0)
    fastavro.schemaless_reader(written, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
    assert not written.read()


# --- rules, one by one -----------------------------------------------------------------------------------

ENUM = {"type": "enum", "name": "E", "symbols": ["x", "y"]}
FIXED = {"type": "fixed", "name": "F", "size": 2}
NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"], "default": None}],
}


def _record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


@pytest.mark.parametrize(
    ("reader", "writer", "compatible"),
    [
        *((to, "int", True) for to in ("long", "float", "double")),
        *((to, "long", True) for to in ("float", "double")),
        ("double", "float", True),
        ("string", "bytes", True),
        ("bytes", "string", True),
        ("int", "long", False),
        ("float", "double", False),
        ("string", "int", False),
        ("null", "boolean", False),
        (["null", "string"], "string", True),
        ("string", ["null", "string"], False),
        ("string", ["string"], True),
        (["null", "long"], ["int", "null"], True),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, True),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}, False),
        ({"type": "map", "values": "int"}, {"type": "array", "items": "int"}, False),
        (ENUM, ENUM | {"symbols": ["y"]}, True),
        (ENUM, ENUM | {"symbols": ["x", "z"]}, False),
        (ENUM | {"default": "x"}, ENUM | {"symbols": ["x", "z"]}, True),
        (ENUM, ENUM | {"name": "Other"}, False),
        (ENUM | {"aliases": ["Other"]}, ENUM | {"name": "Other"}, True),
        (FIXED, FIXED | {"size": 3}, False),
        (FIXED, "bytes", False),
        (_record(), _record({"name": "a", "type": "int"}), True),
        (_record({"name": "a", "type": "int"}), _record(), False),
        (_record({"name": "a", "type": "int", "default": 1}), _record(), True),
        (
            _record({"name": "b", "type": "int", "aliases": ["a"]}),
            _record({"name": "a", "type": "int"}),
            True,
        ),
        (_record(name="Other"), _record(), False),
        (_record(name="one.R"), _record(name="two.R"), True),
        (NODE, NODE, True),
        (NODE | {"fields": [NODE["fields"][0] | {"type": "long"}, NODE["fields"][1]]}, NODE, True),
        (NODE, NODE | {"fields": [NODE["fields"][0] | {"type": "long"}, NODE["fields"][1]]}, False),
    ],
)
def test_resolution(reader: Any, writer: Any, compatible: bool) -> None:
    """Source: Avro, "Schema Resolution"."""
    assert (not differences(reader, writer)) == compatible


@pytest.mark.parametrize(
    "schema",
    [
        *("", "string", "{", "5", "null", "{}", "[[]]", '"nothing"', '["int","int"]', "NaN", '{"a":1e999}'),
        '{"type":"record","name":"a b","fields":[]}',
        '{"type":"record","name":"a"}',
        '{"type":"record","name":"a","fields":5}',
        '{"type":"record","name":"a","fields":[5]}',
        '{"type":"record","name":"a","fields":[{"name":"b"}]}',
        '{"type":"record","name":"a","fields":[{"name":"b","type":"int"},{"name":"b","type":"int"}]}',
        '{"type":"record","name":"a","fields":[{"name":"b","type":"int","default":"x"}]}',
        '{"type":"record","name":"a","fields":[{"name":"b","type":"int","default":2147483648}]}',
        '{"type":"record","name":"a","fields":[{"name":"b","type":"int","default":true}]}',
        '{"type":"record","name":"a","fields":[{"name":"b","type":["null","int"],"default":"x"}]}',
        '{"type":"record","name":"a","fields":[{"name":"b","type":"bytes","default":"\\u0100"}]}',
        '{"type":"enum","name":"e","symbols":["x","x"]}',
        '{"type":"enum","name":"e","symbols":["x"],"default":"y"}',
        '{"type":"enum","name":"e","symbols":["1"]}',
        '{"type":"enum","name":"e","symbols":5}',
        '{"type":"fixed","name":"f","size":"2"}',
        '{"type":"fixed","name":5,"size":2}',
        '{"type":"array"}',
        '{"type":"map","values":5}',
        '{"type":["int"],"name":{}}',
        '{"type":"array","items":' * 900 + '"int"' + "}" * 900,
    ],
    ids=lambda schema: str(schema)[:60],
)
def test_what_is_no_schema(schema: str) -> None:
    with pytest.raises(InvalidSchema):
        AVRO.parse(schema)


def test_references_bring_their_names() -> None:
    known = [
        Known("n.A", '{"type":"fixed","namespace":"n","name":"A","size":1}'),
        Known("n.B", '{"type":"record","name":"n.B","fields":[{"name":"a","type":"n.A"}]}'),
    ]
    schema = '{"type":"array","items":["n.A","n.B"]}'
    assert AVRO.differences(*[AVRO.parse(schema, known).tree] * 2) == []
    with pytest.raises(InvalidSchema):
        AVRO.parse(schema, known[:1])
    with pytest.raises(InvalidSchema):
        AVRO.parse(known[0].text, known)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.sampled_from(PRIMITIVES)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ("type", "name", "fields", "items", "values", "symbols", "size", "default", "aliases")
                ),
                st.one_of(inner, st.sampled_from(("record", "enum", "array", "map", "fixed", "error"))),
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
@settings(max_examples=500)
def test_whatever_comes_is_a_schema_or_is_refused(value: Any) -> None:
    """And of what is one, everything can be told."""
    try:
        tree = AVRO.parse(json.dumps(value)).tree
    except InvalidSchema:
        return
    assert AVRO.differences(tree, tree) == []
