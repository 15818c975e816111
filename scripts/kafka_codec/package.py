"""What the package of messages holds: the modules of all keys that clients use, and the table of keys."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.kafka_codec.emit import Module
from scripts.kafka_codec.schema import Definitions, Message, snake, with_older

NEWEST = "4.2.1"
OLDEST = "3.9.1"
"""Releases of Kafka that the broker can stand in for."""

NOT_FOR_CLIENTS = frozenset(range(83, 88))
"""Keys on a broker's listener that are left out: what brokers tell each other of share groups."""


def package(newest: Definitions, oldest: Definitions) -> dict[str, str]:
    """Return the files by name, before they are formatted."""
    requests = {key: each for key, each in sorted(newest.requests.items()) if _is_served(each)}
    files = {"__init__.py": "\n".join(_table(requests, newest, oldest)) + "\n"}
    for key, request in requests.items():
        releases = [newest.release]
        old = oldest.requests.get(key)
        response = newest.responses[key]
        if old and _is_served(old) and old.versions and old.versions[0] < request.versions[0]:
            request = with_older(request, old)
            response = with_older(response, oldest.responses[key])
            releases.append(oldest.release)
        module = Module(request, response, f"the message definitions of Kafka {' and '.join(releases)}")
        files[f"{_module(request)}.py"] = module.text()
    return files


def _is_served(request: Message) -> bool:
    return "broker" in request.listeners and request.key not in NOT_FOR_CLIENTS


def _module(request: Message) -> str:
    return snake(request.struct.name.removesuffix("Request"))


def _table(requests: dict[int, Message], newest: Definitions, oldest: Definitions) -> Iterator[str]:
    yield f'''"""Kafka's messages: a module for each key, imported when it is first needed, and their table.

Each module has the request's and the response's classes, `DECODERS` of requests and `ENCODERS` of responses
by version. What all have in common: fields have Kafka's names and defaults, so a response is made of what
differs from them. A field that a version does not have is not sent, nor is a tagged struct that is None; null
where a version has none is sent empty. UUIDs are 16 bytes, records are bytes that nobody has opened.

Written by `make kafka-codec` from the message definitions of Kafka {newest.release} and {oldest.release}:
change scripts/kafka_codec, not this file.
"""
from __future__ import annotations
from typing import Final, NamedTuple

class Api(NamedTuple):
    """One API key. Versions are first and last, both included."""
    name: str
    module: str
    flexible: int
    """The first version with compact types and tagged fields; beyond the last if there is none."""
    versions: tuple[int, int]
    """Those of Kafka {newest.release}."""
    versions_old: tuple[int, int] | None
    """Those of Kafka {oldest.release} on a broker without ZooKeeper; None if it does not have the key.

    A module has the versions of both."""

APIS: Final = {{'''
    for key, request in requests.items():
        name = request.struct.name.removesuffix("Request")
        versions = (request.versions[0], request.versions[-1])
        flexible = request.flexible[0] if request.flexible else versions[1] + 1
        old = oldest.requests.get(key)
        old_versions = (
            (old.versions[0], old.versions[-1]) if old and _is_served(old) and old.versions else None
        )
        yield f'    {key}: Api("{name}", "{_module(request)}", {flexible}, {versions}, {old_versions}),'
    yield "}"
