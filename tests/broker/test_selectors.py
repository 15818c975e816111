"""Selectors: what they mean, by a slow and obvious twin, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.dialects import Neutral
from pillarbox.broker.selectors import OPERATORS_MAX, Pattern, compile_selector, lookup_of
from pillarbox.errors import BrokerError

HEADERS = {
    "n": "4",
    "half": "0.5",
    "kind": "a",
    "yes": True,
    "count": 3,
    "odd.name": "x",
    "quote": "it's",
    "flag": "true",
}


def met(text: str, headers: dict[str, Any] = HEADERS) -> bool:
    return compile_selector(text)(headers.get)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("n > 3", True),
        ("n < '10'", True),
        ("n = 4", True),
        ("n = '4'", True),
        ("n <> 4", False),
        ("count = 3 AND kind = 'a'", True),
        ("count = 4 OR kind = 'a'", True),
        ("kind = 'b' OR kind = 'c'", False),
        ("n BETWEEN 4 AND 5", True),
        ("n NOT BETWEEN 4 AND 5", False),
        ("kind IN ('b', 'a')", True),
        ("kind NOT IN ('b', 'a')", False),
        ("n IN (3, 4)", True),
        ("kind LIKE '_'", True),
        ("kind LIKE 'b%'", False),
        ("kind NOT LIKE 'b%'", True),
        ("quote = 'it''s'", True),
        ("missing IS NULL", True),
        ("kind IS NOT NULL", True),
        ("missing = 1", False),
        ("missing <> 1", False),
        ("NOT (missing = 1)", False),
        ("missing = 1 OR kind = 'a'", True),
        ("missing NOT IN (1)", False),
        ("yes", True),
        ("NOT yes", False),
        ("yes = TRUE", True),
        ("n", False),
        ("(n + 2) * 3 - 1 = 17", True),
        ("n / 8 = half", True),
        ("-n = 0 - 4", True),
        ("n / 0 = 1", False),
        ("kind + 1 = 2", False),
        ("kind > 3", False),
        ("odd.name = 'x'", True),
        ("n > 3.9e0 and KIND is null", True),
        ("flag = TRUE", True),
        ("flag = FALSE", False),
        ("flag <> FALSE AND kind <> TRUE", True),
        ("yes = 'true' AND yes <> 'no'", True),
        ("yes = 1 OR yes > 0", False),
        ("kind <> 5 AND NOT (kind = 5)", True),
        ("kind NOT BETWEEN 1 AND 3", False),
        ("missing NOT BETWEEN 1 AND 3", False),
        ("n = 4L AND n = 0x4 AND n < 0XFF", True),
    ],
)
@pytest.mark.row("A23")
def test_meaning(text: str, outcome: bool) -> None:
    assert met(text) is outcome


@pytest.mark.row("A23")
def test_not_binds_closer_than_a_comparison() -> None:
    """As in ActiveMQ's grammar."""
    assert not met("NOT n = 1")
    assert met("NOT (n = 1)")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n >",
        "n ? 3",
        "n = 'open",
        "AND",
        "a b",
        "n LIKE 'a' ESCAPE 'ab'",
        "n IN ()",
        "(n = 1",
        "a = 1 " * 2000,
        "+".join(["n"] * (OPERATORS_MAX + 2)),
        "(" * (OPERATORS_MAX + 1),
        "NOT " * (OPERATORS_MAX + 1) + "yes",
    ],
)
@pytest.mark.row("A23", "A10")
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(BrokerError, match="is not valid"):
        compile_selector(text)


@pytest.mark.parametrize("text", ["+".join(["n"] * OPERATORS_MAX) + " > 3", "NOT " * OPERATORS_MAX + "yes"])
@pytest.mark.row("A23")
def test_deepest_selector_can_be_evaluated(text: str) -> None:
    assert met(text)


def looks_like(text: str, pattern: str) -> bool:
    """LIKE, step by step: the twin."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(looks_like(text[skipped:], pattern[1:]) for skipped in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and looks_like(text[1:], pattern[1:])


@given(st.text("ab\n", max_size=8), st.text("ab_%", max_size=6))
@pytest.mark.row("A23")
def test_like(text: str, pattern: str) -> None:
    assert Pattern(pattern, None).matches(text) == looks_like(text, pattern)


@pytest.mark.row("A23")
def test_escaped_characters_of_like_stand_for_themselves() -> None:
    assert Pattern("1!%!_!!", "!").matches("1%_!")
    assert not Pattern("1!%", "!").matches("12")


values = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "b", "3", "-1"])
leaves = st.sampled_from(
    ["x = y", "x <> y", "x < y", "x >= 2", "x IS NULL", "y IN ('a', 'b')", "x BETWEEN 0 AND 3"]
)
trees = st.recursive(
    leaves,
    lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), inner, inner) | st.tuples(st.just("NOT"), inner),
    max_leaves=6,
)


def written(tree: Any) -> str:
    if isinstance(tree, str):
        return f"({tree})"
    return (
        f"(NOT {written(tree[1])})"
        if tree[0] == "NOT"
        else f"({written(tree[1])} {tree[0]} {written(tree[2])})"
    )


def weighed(tree: Any, headers: dict[str, Any]) -> bool | None:
    """Three-valued logic as a table: false 0, unknown 1, true 2; AND is the least, OR the greatest."""
    if isinstance(tree, str):
        if compile_selector(f"({tree})")(headers.get):
            return True
        return False if compile_selector(f"NOT ({tree})")(headers.get) else None
    rank: dict[bool | None, int] = {False: 0, None: 1, True: 2}
    parts = [rank[weighed(each, headers)] for each in tree[1:]]
    found = {"AND": min, "OR": max, "NOT": lambda ranks: 2 - ranks[0]}[tree[0]](parts)
    return {0: False, 1: None, 2: True}[found]


@given(trees, values, values)
@pytest.mark.row("A23")
def test_unknown_is_neither_true_nor_false(tree: Any, x: Any, y: Any) -> None:
    headers = {"x": x, "y": y}
    assert met(written(tree), headers) is (weighed(tree, headers) is True)


@pytest.mark.row("A23")
def test_fields_of_a_message_have_the_names_of_jms() -> None:
    said = Neutral(type="order", priority=7, persistent=True, correlation_id="c", headers={"n": "1"})
    text = (
        "JMSType = 'order' AND JMSPriority > 6 AND JMSDeliveryMode = 'PERSISTENT' AND JMSCorrelationID = 'c'"
    )
    assert compile_selector(f"{text} AND n = 1")(lookup_of(said))
    assert compile_selector("JMSPriority = 4 AND JMSTimestamp IS NULL")(lookup_of(Neutral()))


@pytest.mark.row("A23")
def test_timestamp_is_in_milliseconds_if_anybody_has_said_them() -> None:
    said = Neutral(timestamp_s=5, headers={"timestamp_in_ms": "5123"})
    assert compile_selector("JMSTimestamp = 5123")(lookup_of(said))
    assert compile_selector("JMSTimestamp = 5000")(lookup_of(Neutral(timestamp_s=5)))
    assert not compile_selector("JMSTimestamp >= 0")(lookup_of(Neutral()))
