"""JSON Schema: texts that its own meta-schema takes. Whether one takes the place of another: `json_rules`.

Not here: looking a `$ref` up; it may lead to a reference of the schema, or nowhere. Nothing is fetched, so a
`$schema` that is not known counts as draft 7, which is what Confluent's clients make.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from pillarbox.ops.registry.formats import InvalidSchema, Known, Parsed, json_text
from pillarbox.ops.registry.formats.json_rules import differences as differences


def parse(text: str, references: Sequence[Known]) -> Parsed:
    """See `Format.parse`."""
    value = json_text.read(text)
    if not isinstance(value, dict | bool):
        raise InvalidSchema("a JSON schema is an object, true or false")
    dialect = value.get("$schema") if isinstance(value, dict) else None
    if dialect is not None and not isinstance(dialect, str):
        raise InvalidSchema("$schema is the name of a dialect")
    try:
        validator_for(value, default=Draft7Validator).check_schema(value)
    except SchemaError as error:
        raise InvalidSchema(f"{error.json_path}: {error.message[:200]}") from None
    identity = json_text.write(value, in_order=False)
    return Parsed(json_text.write(value), identity, identity.encode(), value)


def tree(text: str, references: Sequence[Known]) -> Any:
    """See `Format.tree`."""
    return json_text.read(text)
