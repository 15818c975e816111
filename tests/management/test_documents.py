"""Each GET document against the one that a real RabbitMQ gave under the same load: keys, types, counts.

Recorded by `python -m tests.management`. Rows R110-R114, R121-R123.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker, ManualClock
from tests.management import differences
from tests.management.__main__ import FOLDER, record
from tests.management.load import prepared
from tests.management.paths import PATHS
from tests.management.shape import shape

pytestmark = pytest.mark.row("R110", "R111", "R112", "R113", "R114", "R121", "R123")

RECORDING: Path = max(FOLDER.glob("rabbitmq-*.json"))
THEIRS = json.loads(RECORDING.read_text())["documents"]
COMPARED = [path for path in PATHS if path not in differences.STATUS]

Documents = Mapping[str, Any]


@pytest.fixture(scope="module")
def ours() -> Iterator[Documents]:
    with Broker(management_port=0, clock=ManualClock()) as broker:
        broker.set_policy("longer", "^orders$", {"max-length": 500}, apply_to="queues")
        with prepared(broker.amqp_port) as connection:
            for _ in range(8):
                connection.process_data_events(time_limit=0)
                broker.advance("6s")
            port = int(broker.management_url.rpartition(":")[2])
            yield record(port, connection)


def shape_of(documents: Documents, path: str) -> dict[str, set[str]]:
    # What a node is called is a key in some documents.
    node = documents["overview"]["document"]["node"]
    return {where.replace(node, "NODE"): types for where, types in shape(documents[path]["document"]).items()}


def unexplained(table: Mapping[tuple[str, str], str], path: str, found: list[str]) -> list[str]:
    rows = [what for document, what in table if fnmatchcase(path, document.replace("?", "[?]"))]
    return [where for where in found if not any(fnmatchcase(where, what) for what in rows)]


def found_missing(theirs: dict[str, set[str]], ours: dict[str, set[str]]) -> list[str]:
    return [where for where in theirs if where not in ours]


def found_more(theirs: dict[str, set[str]], ours: dict[str, set[str]]) -> list[str]:
    return [where for where in ours if where not in theirs]


def found_types(theirs: dict[str, set[str]], ours: dict[str, set[str]]) -> list[str]:
    return [where for where in ours if where in theirs and theirs[where] != ours[where]]


CHECKS: list[tuple[Mapping[tuple[str, str], str], Callable[..., list[str]]]] = [
    (differences.MISSING, found_missing),
    (differences.MORE, found_more),
    (differences.TYPES, found_types),
]


@pytest.mark.parametrize("path", COMPARED)
def test_document_has_the_keys_and_types_of_rabbitmq(ours: Documents, path: str) -> None:
    assert ours[path]["status"] == THEIRS[path]["status"]
    theirs, here = shape_of(THEIRS, path), shape_of(ours, path)
    for table, find in CHECKS:
        assert unexplained(table, path, find(theirs, here)) == []


def test_every_explained_difference_is_still_there(ours: Documents) -> None:
    for table, find in CHECKS:
        seen = {
            row
            for path in COMPARED
            for row in table
            for where in find(shape_of(THEIRS, path), shape_of(ours, path))
            if fnmatchcase(path, row[0].replace("?", "[?]")) and fnmatchcase(where, row[1])
        }
        assert set(table) - seen == set()
    for path in differences.STATUS:
        assert ours[path]["status"] >= 400, f"{path} is there now"
        assert ours[path]["status"] != THEIRS[path]["status"], f"{path} is answered alike now"


COUNTED = ("message_stats", "queue_totals", "messages", "messages_ready", "messages_unacknowledged")
COUNTED += ("message_bytes", "message_bytes_ready", "consumers", "consumer_count", "channels")
NOT_COUNTED = ("disk_reads", "disk_writes")


def counts(document: Any, path: str = "", counted: bool = False) -> Iterator[tuple[str, int]]:
    """All counts in a document that do not depend on time."""
    if isinstance(document, list):
        for position, item in enumerate(document):
            yield from counts(item, f"{path}[{position}]", counted)
    elif isinstance(document, dict):
        for key, value in document.items():
            if not key.endswith("_details") and key not in NOT_COUNTED:
                yield from counts(value, f"{path}.{key}", counted or key in COUNTED)
    elif counted:
        yield path, document


@pytest.mark.parametrize(
    "path",
    [
        *("overview", "queues", "queues/%2F/orders", "queues/%2F/quick", "queues/%2F/empty"),
        *("queues/%2F/stream", "exchanges", "exchanges/%2F/amq.default", "connections", "channels"),
    ],
)
def test_counts_are_those_of_rabbitmq(ours: Documents, path: str) -> None:
    assert dict(counts(ours[path]["document"])) == dict(counts(THEIRS[path]["document"]))


def test_bindings_are_those_of_rabbitmq_in_its_order(ours: Documents) -> None:
    """All but the hash in `properties_key`."""

    def shown(documents: Documents) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = documents["bindings"]["document"]
        return [{**one, "properties_key": one["properties_key"].partition("~")[0]} for one in found]

    assert shown(ours) == shown(THEIRS)
