"""Everything that is defined, as one document, out and in: /definitions.

Source: RabbitMQ's management API. Not here: what the document has (`broker.export_definitions`) and what it
does to a broker (`broker.import_definitions`). Rows R98, R116.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import BytesParser
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.export_definitions import head_of, sections_of_broker, sections_of_vhost
from pillarbox.broker.import_definitions import DefinitionsError, importing
from pillarbox.ops.management.fields import STRING, Schema, array, encode
from pillarbox.ops.management.listing import in_steps
from pillarbox.ops.management.request import Answer, bad_request, decode
from pillarbox.ops.management.routes import ADMINISTRATOR, DOCUMENT, Parameter, Route

if TYPE_CHECKING:
    from pillarbox.broker.export_definitions import Items
    from pillarbox.ops.management.request import Request

DOWNLOAD = Parameter("download", STRING, "A file name: browsers save the document under it.")


def _shown(request: Request, sections: dict[str, Items]) -> Answer:
    name = "".join(
        c for c in request.query.get("download", "") if c.isascii() and (c.isalnum() or c in "._-")
    )
    headers = {"content-disposition": f'attachment; filename="{name}"'} if name else {}
    return Answer(200, _rendered(head_of(request.node.version), sections), headers)


def _rendered(head: dict[str, Any], sections: dict[str, Items]) -> Iterator[bytes]:
    """The JSON of the document, some items a step."""
    yield encode(head)[:-1]
    for name, items in sections.items():
        yield f',"{name}":['.encode()
        separator = b""
        for step in in_steps(items):
            yield separator + encode(step)[1:-1]
            separator = b","
        yield b"]"
    yield b"}"


def show_all(request: Request) -> Answer:
    return _shown(request, sections_of_broker(request.core))


def show_of_vhost(request: Request) -> Answer:
    return _shown(request, sections_of_vhost(request.core, request.vhost))


class _Rows(Sequence[Any]):
    """The items of a section, each decoded when it is its turn: all at once would take too long."""

    def __init__(self, section: msgspec.Raw) -> None:
        self._section = section

    @cached_property
    def _items(self) -> list[msgspec.Raw]:
        return msgspec.json.decode(self._section, type=list[msgspec.Raw])

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return decode(bytes(self._items[index]))


def _sent(request: Request) -> Any:
    """The document of the body: JSON, or the file of a form. Raises 400, and DecodeError."""
    content_type = request.headers.get("content-type", "")
    data: bytes | bytearray = request.body
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
    sections = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return {
        name: _Rows(section) if bytes(memoryview(section)[:1]) == b"[" else decode(bytes(section))
        for name, section in sections.items()
    }


async def _import(request: Request, vhost: str | None) -> dict[str, Any] | None:
    """As in RabbitMQ there is nothing to say of what went well; what was left out, RabbitMQ does not say."""
    try:
        left_out = await request.work.in_slices(importing(request.core, _sent(request), vhost=vhost))
    except DefinitionsError as error:
        raise bad_request(str(error)) from None
    except msgspec.ValidationError:
        raise bad_request("the definitions must be a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"not valid JSON: {error}") from None
    await request.work.done()
    return {"left_out": left_out} if left_out else None


async def take(request: Request) -> dict[str, Any] | None:
    return await _import(request, None)


async def take_for_vhost(request: Request) -> dict[str, Any] | None:
    return await _import(request, request.vhost.name)


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
