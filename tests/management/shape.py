"""The shape of a JSON document: every path in it, with the types that stand there."""

from __future__ import annotations

from typing import Any

TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}

OPEN = ("arguments", "client_properties", "effective_policy_definition")
"""Objects whose keys users choose."""


def shape(document: Any, path: str = "") -> dict[str, set[str]]:
    """Types by path; `[]` stands for every item of a list."""
    found: dict[str, set[str]] = {path: {TYPES.get(type(document), "null")}}
    inner: list[tuple[str, Any]] = []
    if isinstance(document, dict) and path.rpartition(".")[2] not in OPEN:
        inner = [(f"{path}.{key}".lstrip("."), value) for key, value in document.items()]
    elif isinstance(document, list):
        inner = [(f"{path}[]", value) for value in document]
    for name, value in inner:
        for where, types in shape(value, name).items():
            found.setdefault(where, set()).update(types)
    return found
