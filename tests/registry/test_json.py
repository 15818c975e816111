"""Whether one JSON schema takes what another one takes, with a validator to try it (K79)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.ops.registry.formats import FORMATS, InvalidSchema
from tests.registry.needs import REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

JSON = FORMATS["JSON"]


def differences(reader: Any, writer: Any) -> list[str]:
    return JSON.differences(JSON.parse(json.dumps(reader)).tree, JSON.parse(json.dumps(writer)).tree)


# --- with a validator ------------------------------------------------------------------------------------

SIMPLE = st.one_of(st.none(), st.booleans(), st.integers(0, 4), st.just(0.5), st.text("ab", max_size=3))
VALUES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("pqr"), inner, max_size=3)
    ),
    max_leaves=8,
)
WORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.one_of(
        st.sampled_from(("null", "boolean", "integer", "number", "string", "array", "object")),
        st.lists(st.sampled_from(("null", "integer", "number", "string")), min_size=1, unique=True),
    ),
    "enum": st.lists(SIMPLE, min_size=1, max_size=3, unique_by=json.dumps),
    "const": SIMPLE,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), st.integers(0, 4)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), st.integers(0, 3)),
    "multipleOf": st.integers(1, 4),
    "uniqueItems": st.booleans(),
    "pattern": st.sampled_from(("^a", "b$")),
    "required": st.lists(st.sampled_from("pq"), unique=True),
    "$ref": st.sampled_from(("#/definitions/d", "#/definitions/nowhere")),
}


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    words = WORDS | {
        "properties": st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
        **dict.fromkeys(("additionalProperties", "items", "not"), inner),
        "patternProperties": st.dictionaries(st.just("^p"), inner, max_size=1),
        **dict.fromkeys(("anyOf", "oneOf", "allOf"), st.lists(inner, min_size=1, max_size=2)),
        "definitions": st.fixed_dictionaries({"d": inner}),
    }
    return st.lists(st.sampled_from(sorted(words)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: words[name] for name in names})
    )


SCHEMAS = st.recursive(st.one_of(st.booleans(), st.just({})), _nested, max_leaves=6)


@st.composite
def evolved(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two schemas that have something in common."""
    first = draw(SCHEMAS)
    second = draw(SCHEMAS) if draw(st.booleans()) else _changed(draw, first)
    return (first, second) if draw(st.booleans()) else (second, first)


def _changed(draw: st.DrawFn, schema: Any) -> Any:
    if isinstance(schema, list):
        return [_changed(draw, one) if draw(st.booleans()) else one for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _changed(draw, value) for key, value in schema.items() if draw(st.integers(0, 4))}
    if draw(st.integers(0, 2)) == 0:
        word = draw(st.sampled_from(sorted(WORDS)))
        found[word] = draw(WORDS[word])
    return found


@given(evolved(), st.lists(VALUES, min_size=1, max_size=20))
@settings(max_examples=500)
def test_what_is_called_compatible_takes_the_same(pair: tuple[Any, Any], values: list[Any]) -> None:
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import _WrappedReferencingError as Unresolved

    reader, writer = pair
    try:
        found = differences(reader, writer)
    except InvalidSchema:
        return
    if found:
        return
    for value in values:
        try:
            if Draft7Validator(writer).is_valid(value):
                assert Draft7Validator(reader).is_valid(value), (reader, writer, value)
        except (Unresolved, RecursionError):
            # Nothing is valid by a schema that leads nowhere, or round and round.
            continue


# --- rules, one by one -----------------------------------------------------------------------------------

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


def _with(schema: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return schema | {"properties": schema["properties"] | parts}


@pytest.mark.parametrize(
    ("reader", "writer", "compatible"),
    [
        (CLOSED, CLOSED, True),
        (OPEN, CLOSED, True),
        (CLOSED, OPEN, False),
        (_with(CLOSED, b={"type": "integer"}), CLOSED, True),
        (CLOSED, _with(CLOSED, b={"type": "integer"}), False),
        (_with(OPEN, b={"type": "integer"}), OPEN, False),
        (_with(OPEN, b={}), OPEN, True),
        (OPEN, _with(OPEN, b={"type": "integer"}), True),
        (CLOSED | {"required": ["a"]}, CLOSED, False),
        (CLOSED, CLOSED | {"required": ["a"]}, True),
        (_with(CLOSED, b={"default": 1}) | {"required": ["b"]}, CLOSED, True),
        ({"type": "number"}, {"type": "integer"}, True),
        ({"type": "integer"}, {"type": "number"}, False),
        ({"type": ["null", "string"]}, {"type": "string"}, True),
        ({"type": "string", "maxLength": 5}, {"type": "string"}, False),
        ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 3}, True),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, True),
        ({"enum": [1]}, {"enum": [True]}, False),
        (
            {"type": "array", "items": {"type": "number"}},
            {"type": "array", "items": {"type": "integer"}},
            True,
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "null"}, True),
        ({"type": "null"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, False),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"oneOf": [{"type": "string"}]}, True),
        ({"allOf": [{"type": "string"}]}, {"type": "string"}, True),
        ({"not": {"type": "string"}}, {"not": {"type": "string"}}, True),
        ({"not": {"type": "string"}}, {"type": "null"}, False),
        ({"title": "a", "format": "date"}, {"title": "b"}, True),
        (
            {"$ref": "#/definitions/n", "definitions": {"n": {"items": {"$ref": "#/definitions/n"}}}},
            {"items": {"items": {}}},
            True,
        ),
        ({"$ref": "other.json"}, {"$ref": "other.json"}, True),
        ({"$ref": "other.json"}, {"$ref": "another.json"}, False),
    ],
)
def test_rules(reader: Any, writer: Any, compatible: bool) -> None:
    assert (not differences(reader, writer)) == compatible


@pytest.mark.parametrize(
    "schema",
    [
        *("", "{", "5", "[]", '"a"', '{"type":"nothing"}', '{"type":5}', '{"required":"a"}', "NaN"),
        *('{"$schema":5}', '{"properties":[]}', '{"pattern":5}', '{"minLength":-1}'),
        '{"$schema":"http://json-schema.org/draft-04/schema#","exclusiveMinimum":5}',
        '{"items":' * 900 + "{}" + "}" * 900,
    ],
    ids=lambda schema: str(schema)[:60],
)
def test_what_is_no_schema(schema: str) -> None:
    with pytest.raises(InvalidSchema):
        JSON.parse(schema)


def test_nothing_is_fetched() -> None:
    """What it would take a network for is taken as it is."""
    for schema in ('{"$schema":"http://127.0.0.1:1/x"}', '{"$ref":"http://127.0.0.1:1/x"}'):
        assert JSON.parse(schema).text == schema
