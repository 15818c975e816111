"""Traces and their files: /traces and /trace-files. Source: RabbitMQ's plugin rabbitmq_tracing. Row R75.

Only administrators: a trace has the bodies of everybody's messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from pillarbox.ops.management.fields import INTEGER, STRING, Document, Field, nullable
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import CREATED, Answer, bad_request, not_found
from pillarbox.ops.management.routes import ADMINISTRATOR, LISTING, Many, Route
from pillarbox.ops.management.tracing import WRITERS, Format, Trace

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

TRACE = Document(
    "Trace",
    Field("name", STRING, lambda trace, request: trace.name),
    Field("vhost", STRING, lambda trace, request: trace.vhost),
    Field("format", STRING, lambda trace, request: trace.form.name),
    Field("pattern", STRING, lambda trace, request: trace.form.pattern),
    Field("max_payload_bytes", nullable(INTEGER), lambda trace, request: trace.form.payload_bytes_max),
    Field("size", INTEGER, lambda trace, request: trace.size),
)
FILE = Document(
    "TraceFile",
    Field("name", STRING, lambda file, request: file[0]),
    Field("size", INTEGER, lambda file, request: file[1]),
)


class TraceBody(msgspec.Struct):
    """What to write, and how. Whose connection it is, is whoever asks."""

    format: str
    pattern: str
    max_payload_bytes: int | None = None


def _running(request: Request) -> list[Trace]:
    found = request.node.traces.running.values()
    return [trace for trace in found if request.path.get("vhost", trace.vhost) == trace.vhost]


def traces(request: Request) -> Listing:
    if "vhost" in request.path:
        assert request.vhost, "404 before anything is shown"
    return Listing(_running(request), TRACE, lambda trace: (trace.vhost, trace.name))


def trace(request: Request) -> Iterator[bytes]:
    for each in _running(request):
        if each.name == request.path["name"]:
            return show(each, TRACE, request)
    raise not_found()


async def put(request: Request) -> Answer | None:
    """Begins at once, and turns tracing on in its virtual host."""
    body: TraceBody = request.body
    vhost, name = request.vhost.name, request.path["name"]
    if body.format not in WRITERS:
        raise bad_request("format not json or text")
    if body.max_payload_bytes is not None and body.max_payload_bytes < 0:
        raise bad_request("max_payload_bytes must not be below 0")
    new = (vhost, name) not in request.node.traces.running
    form = Format(body.format, body.pattern, body.max_payload_bytes)  # type: ignore[arg-type]
    await request.node.traces.start(request, vhost, name, form)
    request.core.set_tracing(vhost, True)
    return CREATED if new else None


def remove(request: Request) -> None:
    """With the last trace of a virtual host its tracing ends."""
    vhost = request.vhost.name
    if not request.node.traces.stop(vhost, request.path["name"]):
        raise not_found()
    if not request.node.traces.traced(vhost):
        request.core.set_tracing(vhost, False)


def files(request: Request) -> Listing:
    return Listing(request.node.traces.files(), FILE)


def file(request: Request) -> Answer:
    found = request.node.traces.read(request.path["name"])
    if found is None:
        raise not_found()
    return Answer(200, found, content_type="text/plain")


def remove_file(request: Request) -> None:
    if not request.node.traces.remove(request.path["name"]):
        raise not_found()


_ONE, _FILE = "/traces/{vhost}/{name}", "/trace-files/{name}"

ROUTES = (
    Route(
        "GET",
        "/traces",
        traces,
        ADMINISTRATOR,
        "All traces that are being written.",
        Many(TRACE),
        parameters=LISTING,
    ),
    Route(
        "GET",
        "/traces/{vhost}",
        traces,
        ADMINISTRATOR,
        "Those of a virtual host.",
        Many(TRACE),
        parameters=LISTING,
    ),
    Route("GET", _ONE, trace, ADMINISTRATOR, "One trace.", TRACE),
    Route("PUT", _ONE, put, ADMINISTRATOR, "Begin a trace.", body=TraceBody, status=204),
    Route("DELETE", _ONE, remove, ADMINISTRATOR, "End a trace; its file stays.", status=204),
    Route(
        "GET", "/trace-files", files, ADMINISTRATOR, "The files of traces.", Many(FILE), parameters=LISTING
    ),
    Route("GET", _FILE, file, ADMINISTRATOR, "A file, as text."),
    Route("DELETE", _FILE, remove_file, ADMINISTRATOR, "Remove a file.", status=204),
)
