"""The ASGI application of the metrics' port: documents for everybody to read.

As in RabbitMQ there is no login: who may come to this port may see it. No message and no secret is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from pillarbox.ops.management.request import Answer
from pillarbox.ops.management.sending import Receive, Scope, Send, send_answer
from pillarbox.ops.operators import of_spoken
from pillarbox.ops.pace import Pace
from pillarbox.ops.prometheus.exposition import CONTENT_TYPE, Family, exposition
from pillarbox.ops.prometheus.families import Source, detailed, per_object, totals
from pillarbox.ops.resources import process_bytes

if TYPE_CHECKING:
    from pillarbox.protocols.registry import Spoken

PATH = "/metrics"
MEMORY = "rabbitmq_memory_breakdown_bytes"

Query = dict[str, list[str]]


def _totals(source: Source, query: Query) -> Iterator[Family]:
    yield from totals(source)
    for module, spoken in of_spoken(source.node.spoken):
        # Who only looks from time to time is no reason to load what nobody uses.
        if spoken.is_loaded:
            yield from module.totals(spoken.view)


def _per_object(source: Source, query: Query) -> Iterator[Family]:
    yield from per_object(source)
    for module, spoken in of_spoken(source.node.spoken):
        yield from module.families(spoken.view, source.node)


def _of_protocol(module: ModuleType, spoken: Spoken, source: Source, query: Query) -> Iterator[Family]:
    """Everything that concerns one protocol alone."""
    families: Iterator[Family] = module.families(spoken.view, source.node)
    return families


def _detailed(source: Source, query: Query) -> Iterator[Family]:
    return detailed(source, query.get("family", []), frozenset(query.get("vhost", [])))


def _memory(source: Source, query: Query) -> Iterator[Family]:
    """What takes the memory, as far as that is counted."""
    messages = source.core.changes.resident_bytes
    parts = {"messages": messages, "other": max(0, process_bytes() - messages)}
    yield Family(MEMORY, "gauge", "Memory by use", [({"part": part}, value) for part, value in parts.items()])


Document = Callable[[Source, Query], Iterator[Family]]
ACTIVEMQ = ("activemq", "artemis")
"""Documents under the names of ActiveMQ: these are loaded when somebody asks for one."""

DOCUMENTS: dict[str, Document] = {
    PATH: _totals,
    f"{PATH}/per-object": _per_object,
    f"{PATH}/detailed": _detailed,
    f"{PATH}/memory-breakdown": _memory,
}


class Metrics:
    """See the module. `begin` starts a turn of the broker, so that it knows the time."""

    def __init__(self, source: Source, begin: Callable[[], None], pace: Pace) -> None:
        self._source = source
        self._begin = begin
        self._pace = pace
        self._documents: dict[str, Document] = {
            **DOCUMENTS,
            **{
                f"{PATH}/{spoken.protocol.name}": partial(_of_protocol, module, spoken)
                for module, spoken in of_spoken(source.node.spoken)
            },
            **{f"{PATH}/{name}": partial(self._activemq, name) for name in ACTIVEMQ},
        }

    def _activemq(self, name: str, source: Source, query: Query) -> Iterator[Family]:
        from pillarbox.ops.activemq.view import View
        from pillarbox.ops.management.application import NOBODY
        from pillarbox.ops.prometheus import activemq

        view = View(source.core, source.node, self._begin, self._pace, NOBODY)
        return activemq.classic(view) if name == "activemq" else activemq.artemis(view)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send_answer(scope, send, self._answer(scope), self._pace)

    def _answer(self, scope: Scope) -> Answer:
        document = self._documents.get(scope["path"].rstrip("/"))
        if document is None:
            return Answer(
                404, f"the metrics are at {', '.join(self._documents)}\n".encode(), content_type="text/plain"
            )
        if scope["method"] not in ("GET", "HEAD"):
            return Answer(405, b"", {"allow": "GET, HEAD"}, content_type="text/plain")
        self._begin()
        query: Any = parse_qs(scope["query_string"].decode("latin-1"))
        return Answer(200, exposition(document(self._source, query)), content_type=CONTENT_TYPE)
