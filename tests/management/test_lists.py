"""Lists: pages, filters, sorting, columns; long ones in slices. Row R111."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.core import Core
from pillarbox.ops.management.fields import STRING, Document, Field
from pillarbox.ops.management.listing import SORTED_ITEMS, STEP_ITEMS, Listing, render, show
from pillarbox.ops.management.request import Request
from tests.management.http import Client, client

pytestmark = pytest.mark.row("R111")

COUNT = 250


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(management_port=0) as broker:
        broker.call(lambda server: declare(server.core, COUNT))
        yield broker


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


def declare(core: Core, count: int) -> None:
    """Queues `queue-0000` and so on, the later ones first; each tenth auto-delete."""
    for number in reversed(range(count)):
        core.vhosts["/"].declare_queue(None, f"queue-{number:04}", auto_delete=number % 10 == 0)


def names(document: Any) -> list[str]:
    items = document["items"] if isinstance(document, dict) else document
    return [item["name"] for item in items]


def test_everything_is_shown_in_order_of_names(api: Client) -> None:
    assert names(api.get("queues")) == [f"queue-{number:04}" for number in range(COUNT)]


def test_queues_of_one_type_are_listed_alone(broker: Broker, api: Client) -> None:
    assert names(api.get("queues?type=stream")) == []
    assert len(names(api.get("queues/%2F?type=classic"))) == COUNT
    assert api.get("queues?type=quorum&page=1")["total_count"] == 0


def test_page_says_where_it_stands(api: Client) -> None:
    page = api.get("queues?page=3&page_size=100")
    assert names(page) == [f"queue-{number:04}" for number in range(200, 250)]
    del page["items"]
    assert page == {
        "filtered_count": COUNT,
        "item_count": 50,
        "page": 3,
        "page_count": 3,
        "page_size": 100,
        "total_count": COUNT,
    }


def test_page_is_of_100_unless_said(api: Client) -> None:
    assert len(api.get("queues?page=1")["items"]) == 100


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=QUEUE-00", 100),
        ("name=queue-0.[12]5&use_regex=true", 6),
        ("name=queue-0.5&use_regex=false", 0),
        ("name=^queue-024.$&use_regex=true", 10),
        ("name=nothing", 0),
    ],
)
def test_pages_are_filtered_by_name(api: Client, query: str, found: int) -> None:
    page = api.get(f"queues?page=1&page_size=500&{query}")
    assert page["total_count"] == COUNT
    assert page["filtered_count"] == len(page["items"]) == found


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("page=0", "invalid_pagination_parameters"),
        ("page=x", "invalid_pagination_parameters"),
        ("page=1&page_size=501", "invalid_pagination_parameters"),
        ("page=1&page_size=0", "invalid_pagination_parameters"),
        ("page=1&name=(&use_regex=true", "bad_request"),
        ("page=1&name=(e%2B)%2B%24&use_regex=true", "bad_request"),
        ("page=1&name=.*.*.*.*.*x&use_regex=true", "bad_request"),
        ("page=9", "page_out_of_range"),
        ("page=" + "9" * 5000, "invalid_pagination_parameters"),
    ],
)
def test_pages_that_cannot_be_are_refused(api: Client, query: str, error: str) -> None:
    reply = api.request("GET", f"queues?{query}")
    assert (reply.status, reply.document["error"]) == (400, error)


def test_empty_list_has_a_first_page(api: Client) -> None:
    assert api.get("connections?page=1")["items"] == []


def test_list_is_sorted_by_a_column(api: Client) -> None:
    shown = api.get("queues?sort=auto_delete&sort_reverse=true&columns=name,auto_delete")
    flags = [item["auto_delete"] for item in shown]
    assert flags == sorted(flags, reverse=True)
    assert flags.count(True) == COUNT // 10


def test_sort_column_may_be_inside_another_or_nowhere(api: Client) -> None:
    for column in ("message_stats.publish_details.rate", "arguments", "no-such-column", "name.more"):
        assert sorted(names(api.get(f"queues?sort={column}"))) == names(api.get("queues"))


def test_columns_select_also_inside_others(api: Client) -> None:
    queue = api.get("queues/%2F/queue-0001?columns=name,messages_details.rate,backing_queue_status.len,none")
    assert queue == {
        "name": "queue-0001",
        "messages_details": {"rate": 0.0},
        "backing_queue_status": {"len": 0},
    }


def test_long_list_is_streamed_and_short_one_is_not(broker: Broker, api: Client) -> None:
    assert "content-length" in api.request("GET", "queues/%2F/queue-0001").headers
    broker.call(lambda server: declare(server.core, 2000))
    reply = api.request("GET", "queues")
    assert reply.headers.get("transfer-encoding") == "chunked"
    assert names(reply.document) == [f"queue-{number:04}" for number in range(2000)]


class Thing:
    """Something to list; `alive` counts them."""

    alive = 0

    def __init__(self, name: str) -> None:
        self.name = name
        Thing.alive += 1

    def __del__(self) -> None:
        Thing.alive -= 1


THING = Document("Thing", Field("name", STRING, lambda thing, request: thing.name))


def asked(**query: str) -> Request:
    nothing: Any = None
    return Request(nothing, nothing, nothing, nothing, nothing, nothing, "GET", {}, query, {})


@pytest.mark.parametrize(
    "query", [{}, {"page": "1"}, {"page": "3", "page_size": "500", "sort": "name", "sort_reverse": "true"}]
)
@pytest.mark.parametrize("order", [None, lambda thing: thing.name])
def test_what_a_list_was_made_of_is_freed_in_steps(query: dict[str, str], order: Any) -> None:
    """To free ten thousand at once would be a unit of milliseconds."""
    names = [f"{number:05}" for number in range(5 * SORTED_ITEMS)]
    steps = render(Listing(map(Thing, names), THING, order), asked(**query))
    alive, freed, parts = 0, [], []
    for part in steps:
        freed.append(alive - Thing.alive)
        alive = Thing.alive
        parts.append(part)
    assert max(freed) <= SORTED_ITEMS
    assert alive < 2 * STEP_ITEMS
    assert Thing.alive == 0
    document = json.loads(b"".join(parts))
    shown = [one["name"] for one in (document["items"] if "page" in query else document)]
    wanted = names[::-1] if "sort_reverse" in query else names
    size = int(query.get("page_size", 100)) if "page" in query else len(names)
    start = (int(query.get("page", 1)) - 1) * size
    assert shown == wanted[start : start + size]


def test_thing_by_itself_is_described_a_field_a_step() -> None:
    """The broker has fields of a millisecond each; what is refused shows before the first bytes."""
    done: list[str] = []

    def field(name: str) -> Field:
        return Field(name, STRING, lambda thing, request: done.append(name))

    steps = show(None, Document("Thing", field("a"), field("b")), asked(), unknown="")
    assert (next(steps), done) == (b"", ["a"])
    assert (next(steps), done) == (b"", ["a", "b"])
    assert [json.loads(part) for part in steps] == [{"a": "", "b": ""}]
