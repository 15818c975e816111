"""Traces: what the firehose of a virtual host tells, written to files for people to read (R75).

A trace is a client like any other (`local_client`), with a queue of its own on `amq.rabbitmq.trace`; so it
meets the same permissions, and gets a bounded number of messages at a time. It lasts until it is deleted, its
file is full or the broker stops; the file stays. Files are `NAME.log` in the folder `traces` of the data
folder, and are not synced: they are for looking, not for keeping.

Source: RabbitMQ's plugin rabbitmq_tracing. Not here: paths and documents (`resources.traces`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pillarbox.broker.export_definitions import plain
from pillarbox.broker.vhost import TRACE_EXCHANGE
from pillarbox.clock import iso_time
from pillarbox.ops.management.local_client import Got, LocalClient
from pillarbox.ops.management.request import HttpError, bad_request
from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.store.files import DiskFiles

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

log = logging.getLogger("pillarbox.management")

FILE_BYTES_MAX = 64 << 20
"""Of one trace; what comes later is not written. Some hundred thousand small messages."""
TRACES_MAX = 20
WAITING_MAX = 100_000
"""Messages that wait to be written; of more the oldest are dropped, or a trace would fill the memory."""
AT_ONCE, ANSWERED = 50, 25
"""Messages that a trace gets before it has answered some, and after how many it answers: about a
millisecond's work."""
READ_BYTES = 256 << 10
"""Of a file that is sent, at a time."""
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
SUFFIX = ".log"
NONE = "none"
"""What a file of JSON has for what a message does not have, in the plugin's word."""


class Format(NamedTuple):
    """What is written down, and how."""

    name: Literal["text", "json"]
    pattern: str
    payload_bytes_max: int | None


class Trace:
    """One that is being written. `size`: bytes of its file."""

    def __init__(self, vhost: str, name: str, form: Format, handle: int, size: int) -> None:
        self.vhost = vhost
        self.name = name
        self.form = form
        self.handle = handle
        self.size = size
        self.task: asyncio.Task[None] | None = None


class Traces:
    """All traces of a broker. `folder`: where their files are, "" without a data folder. They end when
    `stopping` is set."""

    def __init__(self, folder: str, stopping: asyncio.Event) -> None:
        self.running: dict[tuple[str, str], Trace] = {}
        self._folder = folder
        self._files = DiskFiles()
        self._stopping = stopping
        self._watch: asyncio.Task[None] | None = None

    async def start(self, request: Request, vhost: str, name: str, form: Format) -> None:
        """Begin a trace, in place of one of the same name. Raises 400."""
        if not self._folder:
            raise bad_request("traces are files in the data folder, and this broker keeps its data in memory")
        path = self._path(name)
        with ExitStack() as undo:
            client = undo.enter_context(request.client(vhost))
            await _subscribe(client, form.pattern)
            self.stop(vhost, name)
            if any(trace.name == name for trace in self.running.values()):
                raise bad_request(f"a trace of another virtual host writes to {name}{SUFFIX}")
            if len(self.running) >= TRACES_MAX:
                raise bad_request(f"there are {TRACES_MAX} traces, and no more at a time")
            try:
                self._files.make_folder(self._folder)
                handle = self._files.open(path, create=True)
            except OSError as error:
                raise bad_request(f"{path}: {error.strerror}") from None
            undo.pop_all()
        trace = Trace(vhost, name, form, handle, self._files.size(handle))
        changes = request.core.changes
        trace.task = asyncio.create_task(self._follow(trace, client, lambda: changes.now_ms))
        trace.task.add_done_callback(lambda _: self._ended(trace, client))
        self.running[vhost, name] = trace
        if self._watch is None:
            self._watch = asyncio.create_task(self._stop_all())

    def stop(self, vhost: str, name: str) -> bool:
        """End a trace; False if there is none."""
        trace = self.running.pop((vhost, name), None)
        if trace is None:
            return False
        assert trace.task is not None
        trace.task.cancel()
        return True

    def traced(self, vhost: str) -> bool:
        """Is there a trace in this virtual host?"""
        return any(trace.vhost == vhost for trace in self.running.values())

    async def _stop_all(self) -> None:
        await self._stopping.wait()
        for vhost, name in list(self.running):
            self.stop(vhost, name)

    async def _follow(self, trace: Trace, client: LocalClient, now_ms: Callable[[], int]) -> None:
        """Write down what comes, until there is room no more."""
        write = WRITERS[trace.form.name]
        try:
            while trace.size < FILE_BYTES_MAX:
                got = await client.delivered()
                data = write(_told(got, trace.form, now_ms()))
                trace.size += self._files.write(trace.handle, trace.size, [data])
                if got.tag % ANSWERED == 0:
                    client.cast(methods.BASIC_ACK, got.tag, True)
            log.warning("trace %s is full: %d bytes", trace.name, trace.size)
        except (HttpError, OSError) as error:
            log.warning("trace %s has ended: %s", trace.name, error)

    def _ended(self, trace: Trace, client: LocalClient) -> None:
        """Of itself or not, and perhaps before it began."""
        client.__exit__()
        self._files.close(trace.handle)
        if self.running.get((trace.vhost, trace.name)) is trace:
            del self.running[trace.vhost, trace.name]

    # --- files -------------------------------------------------------------------------------------------

    def files(self) -> list[tuple[str, int]]:
        """Name and size of each."""
        names = self._files.names(self._folder) if self._folder else []
        return [(name, os.stat(os.path.join(self._folder, name)).st_size) for name in names]

    def read(self, name: str) -> Iterator[bytes] | None:
        """A file in parts; None if there is none."""
        return self._parts(os.path.join(self._folder, name)) if self._has(name) else None

    def remove(self, name: str) -> bool:
        """Remove a file; False if there is none. Raises 400 for one that a trace writes to."""
        if not self._has(name):
            return False
        if any(trace.name + SUFFIX == name for trace in self.running.values()):
            raise bad_request(f"a trace writes to {name}: delete that first")
        self._files.remove(os.path.join(self._folder, name))
        return True

    def _has(self, name: str) -> bool:
        return name in (known for known, _ in self.files())

    def _path(self, name: str) -> str:
        if NAME.fullmatch(name) is None:
            raise bad_request("the name of a trace has letters, digits, _, - and dots, and is a file's name")
        return os.path.join(self._folder, name + SUFFIX)

    def _parts(self, path: str) -> Iterator[bytes]:
        handle = self._files.open(path)
        try:
            position = 0
            while part := self._files.read(handle, position, READ_BYTES):
                yield part
                position += len(part)
        finally:
            self._files.close(handle)


async def _subscribe(client: LocalClient, pattern: str) -> None:
    """Have copies of all messages sent whose keys fit."""
    arguments = {"x-max-length": WAITING_MAX}
    queue, *_ = await client.call(
        methods.QUEUE_DECLARE,
        0,
        "",
        False,
        False,
        True,
        True,
        False,
        arguments,
        answer=methods.QUEUE_DECLARE_OK,
    )
    await client.call(
        methods.QUEUE_BIND, 0, queue, TRACE_EXCHANGE, pattern, False, {}, answer=methods.QUEUE_BIND_OK
    )
    await client.call(methods.BASIC_QOS, 0, AT_ONCE, False, answer=methods.BASIC_QOS_OK)
    await client.call(
        methods.BASIC_CONSUME, 0, queue, "", False, False, False, False, {}, answer=methods.BASIC_CONSUME_OK
    )


def _told(got: Got, form: Format, now_ms: int) -> dict[str, Any]:
    """What the firehose says of a message, in the fields of the plugin."""
    about: dict[str, Any] = plain(wire.decode_properties(got.properties).headers or {})
    published = got.routing_key.startswith("publish.")
    return {
        "timestamp": f"{iso_time(now_ms)[:23]}+00:00",
        "type": "published" if published else "received",
        **{name: about.get(name) for name in ("node", "connection", "vhost", "user", "channel")},
        "exchange": about.get("exchange_name"),
        "queue": None if published else got.routing_key.partition(".")[2],
        "routed_queues": about.get("routed_queues") if published else None,
        "routing_keys": about.get("routing_keys"),
        "properties": about.get("properties"),
        "payload": got.body[: form.payload_bytes_max],
    }


def as_json(told: dict[str, Any]) -> bytes:
    """A line."""
    said = {field: NONE if value is None else value for field, value in told.items()}
    return json.dumps({**said, "payload": b64encode(told["payload"]).decode()}).encode() + b"\n"


LINES = (
    ("Node", "node"),
    ("Connection", "connection"),
    ("Virtual host", "vhost"),
    ("User", "user"),
    ("Channel", "channel"),
    ("Exchange", "exchange"),
    ("Routing keys", "routing_keys"),
    ("Queue", "queue"),
    ("Routed queues", "routed_queues"),
    ("Properties", "properties"),
)


def as_text(told: dict[str, Any]) -> bytes:
    """A heading, a line for each thing that there is to say, and the body."""
    rows = [
        f"{title + ':':13} {value if isinstance(value, str) else json.dumps(value)}"
        for title, value in ((title, told[field]) for title, field in LINES)
        if value is not None
    ]
    head = f"\n{'=' * 80}\n{told['timestamp']}: Message {told['type']}\n\n"
    lines = "\n".join(rows)
    return b"%s%s" % (f"{head}{lines}\nPayload: \n".encode(), told["payload"] + b"\n")


WRITERS: dict[str, Callable[[dict[str, Any]], bytes]] = {"text": as_text, "json": as_json}
