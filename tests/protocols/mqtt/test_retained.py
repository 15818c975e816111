"""The tree of retained messages against a plain dict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.protocols.mqtt.retained import Retained, RetainedMessages, read
from pillarbox.protocols.mqtt.topics import matches
from tests.broker.broker_tools import Domain

levels = st.sampled_from(["", "a", "b", "$c"])
topics = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = st.builds(
    lambda parts, end: "/".join([*parts, *end]) or "#",
    st.lists(st.sampled_from(["", "a", "b", "$c", "+"]), max_size=4),
    st.sampled_from([[], ["#"]]),
)
steps = st.lists(st.tuples(topics, st.sampled_from([b"", b"1", b"2"])), max_size=30)


def seen(messages: RetainedMessages, pattern: str) -> list[tuple[str, bytes]]:
    found = map(read, messages.matching("/", pattern))
    return sorted((one.topic, one.payload) for one in found)


@pytest.mark.row("R141")
@given(steps, st.lists(filters, min_size=1, max_size=5))
def test_a_filter_finds_what_it_takes(steps: list[tuple[str, bytes]], patterns: list[str]) -> None:
    """Also after a restart."""
    core = Domain().core
    messages, model = RetainedMessages(core), dict[str, bytes]()
    for topic, payload in steps:
        messages.put("/", Retained(topic, payload, b"", 1, 0))
        model.pop(topic, None)
        if payload:
            model[topic] = payload
    for one in (messages, RetainedMessages(core)):
        assert one.count == len(model)
        for pattern in patterns:
            assert seen(one, pattern) == sorted(each for each in model.items() if matches(pattern, each[0]))


def test_nothing_is_left_of_topics_that_are_gone() -> None:
    messages = RetainedMessages(Domain().core)
    for payload in (b"x", b""):
        for topic in ("a/b/c", "a/b", "a", "a/b/d", "a//", "a/"):
            messages.put("/", Retained(topic, payload, b"", 0, 0))
    assert messages.count == 0
    assert not messages._roots["/"].below
