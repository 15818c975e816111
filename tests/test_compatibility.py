"""docs/compatibility.md is complete, its tests column is current, and what it calls done is shown.

That the tests of done lines *pass* is checked at the end of a full run, by `row_marks`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from scripts.docs import COMPATIBILITY, Row, collected_rows, compatibility_page, compatibility_rows
from tests.row_marks import RowMarks, claims

PAGE = COMPATIBILITY.read_text()
ROWS = compatibility_rows(PAGE)

ROW_RANGES = [(1, 16), (20, 32), (40, 58), (60, 77), (80, 85), (90, 100), (110, 129), (140, 147)]
ACTIVEMQ_ROW_RANGES = [(1, 14), (20, 46), (64, 68), (80, 87)]
KAFKA_ROW_RANGES = [(1, 19), (30, 41), (50, 59), (60, 65), (70, 81)]
EXPECTED_IDS = {
    *(
        f"R{number}"
        for number in (*range(1, 16), *range(20, 32), *range(40, 58), *range(60, 77), *range(80, 85))
    ),
    *(f"R{number}" for first, end in ROW_RANGES for number in range(first, end)),
    *("311", "312", "320", "402", "403", "404", "405", "406"),
    *("501", "502", "503", "504", "505", "506", "530", "540", "541"),
    *(f"K{number}" for first, end in KAFKA_ROW_RANGES for number in range(first, end)),
    *(f"A{number}" for first, end in ACTIVEMQ_ROW_RANGES for number in range(first, end)),
    *(f"T{number}" for number in (*range(1, 14), 15, 16)),
}
STATE = re.compile(r"done|partial: .+|planned \([A-E]\)|planned \(later\)")


@pytest.fixture(scope="module")
def tests_by_row(pytestconfig: pytest.Config) -> dict[str, list[str]]:
    """The marks of the whole suite, whatever this run selects."""
    marks: RowMarks | None = pytestconfig.pluginmanager.getplugin("row-marks")
    assert marks is not None
    if marks.files.issuperset(Path(__file__).parent.rglob("test_*.py")):
        return marks.tests_by_row
    return collected_rows()


def test_page_has_each_row_once() -> None:
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)
    assert set(ids) == EXPECTED_IDS


def test_every_line_of_a_table_is_a_row() -> None:
    """A line that is mistyped would silently be no row at all."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| id |")]
    assert len(lines) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_state_is_one_of_the_three(row: Row) -> None:
    assert STATE.fullmatch(row.state), row.state


def test_done_and_partial_rows_have_tests(tests_by_row: dict[str, list[str]]) -> None:
    without = [row.id for row in ROWS if not row.state.startswith("planned") and not tests_by_row.get(row.id)]
    assert without == []


def test_tests_column_is_current(tests_by_row: dict[str, list[str]]) -> None:
    """`make docs` writes it."""
    current = compatibility_rows(compatibility_page(PAGE, tests_by_row))
    assert [row.id for row, now in zip(ROWS, current, strict=True) if row != now] == []


def test_a_done_row_needs_a_passing_test_and_no_failing_one() -> None:
    rows = [Row(name, "M", "", state, "") for name, state in (("R1", "done"), ("R2", "done"), ("R3", "done"))]
    rows.append(Row("R4", "M", "", "planned (B)", ""))
    passed, failed = defaultdict(set, R1={"a"}, R2={"b"}), defaultdict(set, R2={"c"})
    assert claims(rows, passed, failed) == [
        "R2 is called done, but failed: c",
        "R3 is called done, but no test of it has passed",
    ]
