"""The OpenAPI document of the route table: /api/openapi.json.

Everything in it follows from the rows: paths, parameters, bodies (msgspec types), answers (documents).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pillarbox.ops.management.fields import Document, Schema
from pillarbox.ops.management.routes import PUBLIC, Many, Parameter, Resource, Route, Shown

_NAME = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"
ERROR = "Error"
_REFUSALS = {
    "400": "The request cannot be understood, or goes against a rule.",
    "401": "Not logged in, or without the right.",
    "404": "There is no such thing.",
}


def openapi(resources: Sequence[Resource], version: str) -> bytes:
    """The document, as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {ERROR: _ERROR_SCHEMA}
    for resource in resources:
        for route in resource.routes:
            operations = paths.setdefault("/api" + route.path, {})
            operations[route.method.lower()] = _operation(resource, route, schemas)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Pillarbox management",
                "version": version,
                "description": "Compatible with RabbitMQ's HTTP API. Names in paths are percent-encoded: the "
                "virtual host / is %2F.",
            },
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            },
            "security": [{"basic": []}],
            "tags": [{"name": resource.name} for resource in resources],
        }
    )


def _operation(resource: Resource, route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    status = str(route.status if route.answer is not None else 204)
    answers: dict[str, Any] = {
        code: {"description": text, "content": _json({"$ref": _REF.format(name=ERROR)})}
        for code, text in _REFUSALS.items()
        if not (code == "401" and route.right is PUBLIC)
    }
    answers[status] = {"description": "Done."}
    if route.answer is not None:
        answers[status] = {"description": "Found.", "content": _json(_shown(route.answer, schemas))}
        if route.or_nothing:
            answers["204"] = {"description": "Done."}
    elif route.method == "PUT":
        answers["201"] = {"description": "Made."}
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [resource.name],
        "summary": route.summary,
        "description": f"Right: {route.right.name}.",
        "parameters": [*_path_parameters(route.path), *_parameters(route.parameters)],
        "responses": dict(sorted(answers.items())),
    }
    if route.right is PUBLIC:
        operation["security"] = []
    if route.body is not None:
        operation["requestBody"] = {"content": _json(_body(route.body, schemas))}
    return operation


def _operation_id(route: Route) -> str:
    words = [word for word in re.split(r"[/{}\-]+", route.path) if word]
    return "-".join((route.method.lower(), *words))


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _shown(answer: Shown, schemas: dict[str, Any]) -> Schema:
    if isinstance(answer, Many):
        one = _shown(answer.document, schemas)
        page = {
            "type": "object",
            "properties": {"items": {"type": "array", "items": one}, **_PAGE},
            "required": ["items", *_PAGE],
        }
        return {"anyOf": [{"type": "array", "items": one}, page]}
    if isinstance(answer, Document):
        schemas.setdefault(answer.name, answer.schema())
        return {"$ref": _REF.format(name=answer.name)}
    return answer


def _body(kind: Any, schemas: dict[str, Any]) -> Schema:
    if kind is bytes:
        return {}
    (schema,), found = msgspec.json.schema_components([kind], ref_template=_REF)
    schemas.update(found)
    return schema


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAME.findall(path)
    ]


def _parameters(parameters: Iterable[Parameter]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "in": one.where, "description": one.help, "schema": one.schema}
        for one in parameters
    ]


_PAGE = {
    name: {"type": "integer"}
    for name in ("filtered_count", "item_count", "page", "page_count", "page_size", "total_count")
}
_ERROR_SCHEMA = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "reason": {"type": "string"}},
    "required": ["error", "reason"],
}
