"""Everything that is defined, as one document, out and in: /definitions.

Source: RabbitMQ's management API. Not here: what the document has (`broker.export_definitions`) and what it
does to a broker (`broker.import_definitions`). Rows R98, R116.
"""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.export_definitions import export_definitions, export_vhost
from pillarbox.broker.import_definitions import DefinitionsError, import_definitions
from pillarbox.ops.management.fields import STRING, Schema, array
from pillarbox.ops.management.request import Answer, bad_request, decode
from pillarbox.ops.management.routes import ADMINISTRATOR, DOCUMENT, Parameter, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

DOWNLOAD = Parameter("download", STRING, "A file name: browsers save the document under it.")


def _shown(request: Request, document: dict[str, Any]) -> Answer:
    name = "".join(
        c for c in request.query.get("download", "") if c.isascii() and (c.isalnum() or c in "._-")
    )
    headers = {"content-disposition": f'attachment; filename="{name}"'} if name else {}
    return Answer(200, document, headers)


def show_all(request: Request) -> Answer:
    return _shown(request, export_definitions(request.core, request.node.version))


def show_of_vhost(request: Request) -> Answer:
    return _shown(request, export_vhost(request.core, request.vhost, request.node.version))


def _sent(request: Request) -> Any:
    """The document of the body: JSON, or the file of a form. Raises 400."""
    content_type = request.headers.get("content-type", "")
    data: bytes = request.body
    if content_type.startswith("multipart/form-data"):
        head = f"content-type: {content_type}\r\n\r\n".encode()
        parts: Message = BytesParser().parsebytes(head + data)
        files = [
            part for part in parts.walk() if part.get_param("name", header="content-disposition") == "file"
        ]
        if not files:
            raise bad_request("the form has no field 'file'")
        payload = files[0].get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"not valid JSON: {error}") from None


def _import(request: Request, vhost: str | None) -> dict[str, Any] | None:
    """As in RabbitMQ there is nothing to say of what went well; what was left out, RabbitMQ does not say."""
    document = _sent(request)
    try:
        left_out = import_definitions(request.core, document, vhost=vhost)
    except DefinitionsError as error:
        raise bad_request(str(error)) from None
    return {"left_out": left_out} if left_out else None


def take(request: Request) -> dict[str, Any] | None:
    return _import(request, None)


def take_for_vhost(request: Request) -> dict[str, Any] | None:
    return _import(request, request.vhost.name)


LEFT_OUT: Schema = {
    "type": "object",
    "properties": {"left_out": array(STRING)},
    "required": ["left_out"],
}


def _routes(path: str, show: Any, take_: Any, of: str) -> tuple[Route, ...]:
    return (
        Route("GET", path, show, ADMINISTRATOR, f"What is defined {of}.", DOCUMENT, parameters=(DOWNLOAD,)),
        Route("POST", path, take_, ADMINISTRATOR, f"Add definitions {of}.", LEFT_OUT, bytes, or_nothing=True),
    )


ROUTES = (
    *_routes("/definitions", show_all, take, "in the whole broker"),
    *_routes("/definitions/{vhost}", show_of_vhost, take_for_vhost, "in a virtual host"),
    Route("GET", "/all-configuration", show_all, ADMINISTRATOR, "The same, under its old name.", DOCUMENT),
    Route("POST", "/all-configuration", take, ADMINISTRATOR, "The same.", LEFT_OUT, bytes, or_nothing=True),
)
