"""The table by itself: what is read of documents, sorted, filtered and drawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.ops.monitor.destinations import DESTINATIONS, SUBSCRIBERS
from pillarbox.ops.monitor.kafka import GROUPS, TOPICS, GroupRow, TopicRow, size
from pillarbox.ops.monitor.queues import QUEUES, Row, row_of, totals_of
from pillarbox.ops.monitor.table import BLOCKS, HISTORY, History, arranged, rate, sparkline

pytestmark = pytest.mark.row("R122")

counts = st.integers(0, 1_000_000)
rows = st.lists(
    st.builds(
        Row,
        st.sampled_from(["/", "other"]),
        st.text(max_size=5),
        st.sampled_from(["running", "idle"]),
        counts,
        counts,
        counts,
        *(st.floats(0, 1e6) for _ in range(3)),
    ),
    max_size=20,
)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("name", "vhost", "state", "idle_since", "messages", "messages_ready", "message_stats", "queue_totals")


def test_queue_as_rabbitmq_shows_it() -> None:
    document = {
        "message_stats": {
            "ack_details": {"rate": 1.2},
            "deliver_get_details": {"rate": 3.0},
            "publish_details": {"rate": 4.5},
        },
        "messages": 5,
        "messages_ready": 3,
        "messages_unacknowledged": 2,
        "name": "q",
        "state": "running",
        "vhost": "/",
    }
    assert row_of(document) == Row("/", "q", "running", 3, 2, 5, 4.5, 3.0, 1.2)
    assert row_of({**document, "idle_since": "2026-01-01 0:00:00"}).state == "idle"
    assert row_of({**document, "state": "flow", "idle_since": "then"}).state == "flow"


@given(st.dictionaries(st.sampled_from(KEYS), json))
def test_whatever_a_document_has_makes_a_row(document: dict[str, Any]) -> None:
    """A slow or half-started broker leaves fields out; nothing of that ends the program."""
    row = row_of(document)
    assert all(isinstance(getattr(row, column.field), str | int | float) for column in QUEUES.columns)
    totals_of({key: document.get(key) for key in KEYS if key != "message_stats"}, [row])


@given(rows, st.sampled_from(Row._fields), st.booleans(), st.text(max_size=2))
def test_rows_are_filtered_and_sorted(found: list[Row], sort: str, reverse: bool, contains: str) -> None:
    shown = arranged(QUEUES, found, sort=sort, reverse=reverse, contains=contains)
    assert sorted(shown) == sorted(row for row in found if contains.lower() in row.name.lower())
    values = [getattr(row, sort) for row in shown]
    assert values == sorted(values, reverse=QUEUES.column(sort).numeric != reverse)


@given(st.lists(st.lists(counts, max_size=3), max_size=40))
def test_history_keeps_the_last_totals_of_queues_that_exist(shots: list[list[int]]) -> None:
    history = History(QUEUES)
    seen: dict[str, list[int]] = {}
    for totals in shots:
        found = [Row("/", str(n), "running", 0, 0, total, 0, 0, 0) for n, total in enumerate(totals)]
        history.add(found)
        seen = {row.name: [*seen.get(row.name, []), row.total][-HISTORY:] for row in found}
        for row in found:
            assert history.sparkline(row) == sparkline(seen[row.name])


@given(st.lists(counts, min_size=1, max_size=30))
def test_sparkline_has_a_block_for_each_value_and_the_largest_is_full(values: list[int]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    assert drawn[values.index(max(values))] == (BLOCKS[-1] if max(values) else BLOCKS[0])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.04, "0.0"), (2.25, "2.2"), (12.3, "12"), (4321.0, "4,321"), (123_456.0, "123k")],
)
def test_rates_have_the_digits_that_matter(value: float, shown: str) -> None:
    assert rate(value) == shown


# --- topics and groups -------------------------------------------------------------------------------------


@pytest.mark.row("K57", "K76")
def test_topic_as_the_api_shows_it() -> None:
    document = {
        "name": "orders",
        "partitions": 3,
        "messages": 30,
        "size": 4096,
        "messages_in_details": {"rate": 2.0},
        "bytes_in_details": {"rate": 200.0},
        "bytes_out_details": {"rate": 400.0},
    }
    assert TOPICS.row_of(document) == TopicRow("orders", 3, 30, 4096, 2.0, 200.0, 400.0)
    assert TOPICS.totals_of({"version": "4.2", "topics": 1}, []).parts()[:2] == ["Kafka 4.2", "1 topics"]


@pytest.mark.row("K57", "K76")
def test_lag_that_nobody_knows_is_no_number_and_sorts_behind_none() -> None:
    documents = [{"name": "a", "lag": 0}, {"name": "b", "lag": None}, {"name": "c", "lag": 7}]
    rows = [GROUPS.row_of(document) for document in documents]
    assert rows[1] == GroupRow("b", "", "", 0, "", 0, None, 0.0)
    assert [row.name for row in arranged(GROUPS, rows, sort="lag")] == ["c", "a", "b"]
    assert GROUPS.column("lag").show(None) == "?"


@pytest.mark.row("K57", "K76")
@given(json, st.sampled_from([TOPICS, GROUPS]))
def test_what_is_missing_in_kafkas_documents_ends_nothing(document: Any, subject: Any) -> None:
    document = document if isinstance(document, dict) else {}
    row = subject.row_of(document)
    assert [column.show(getattr(row, column.field)) for column in subject.columns]
    subject.totals_of(document, [row])
    History(subject).add([row])


@pytest.mark.row("A82")
@given(json, st.sampled_from([DESTINATIONS, SUBSCRIBERS]))
def test_what_is_missing_in_documents_of_destinations_ends_nothing(document: Any, subject: Any) -> None:
    document = document if isinstance(document, dict) else {}
    row = subject.row_of(document)
    assert [column.show(getattr(row, column.field)) for column in subject.columns]
    subject.totals_of(document, [row])
    History(subject).add([row])


@pytest.mark.row("A82")
def test_a_number_that_nobody_knows_is_none() -> None:
    row = DESTINATIONS.row_of({"name": "a.>", "kind": "topic", "pending": None, "consumers": 2})
    assert [column.show(getattr(row, column.field)) for column in DESTINATIONS.columns][3:6] == [
        "?",
        "?",
        "2",
    ]
    assert DESTINATIONS.totals_of({}, [row]).parts()[1:4] == ["0 queues", "1 topics", "0 pending"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 B"), (1023, "1,023 B"), (2048, "2.0 KiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes_are_short(value: int, shown: str) -> None:
    assert size(value) == shown
