"""The table by itself: what is read of documents, sorted, filtered and drawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.ops.monitor.table import (
    BLOCKS,
    BY_FIELD,
    COLUMNS,
    HISTORY,
    History,
    Row,
    arranged,
    rate,
    row_of,
    sparkline,
    totals_of,
)

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
    assert all(isinstance(getattr(row, column.field), str | int | float) for column in COLUMNS)
    totals_of({key: document.get(key) for key in KEYS if key != "message_stats"}, [row])


@given(rows, st.sampled_from(sorted(BY_FIELD)), st.booleans(), st.text(max_size=2))
def test_rows_are_filtered_and_sorted(found: list[Row], sort: str, reverse: bool, contains: str) -> None:
    shown = arranged(found, sort=sort, reverse=reverse, contains=contains)
    assert sorted(shown) == sorted(row for row in found if contains.lower() in row.name.lower())
    values = [getattr(row, sort) for row in shown]
    assert values == sorted(values, reverse=BY_FIELD[sort].numeric != reverse)


@given(st.lists(st.lists(counts, max_size=3), max_size=40))
def test_history_keeps_the_last_totals_of_queues_that_exist(shots: list[list[int]]) -> None:
    history = History()
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
