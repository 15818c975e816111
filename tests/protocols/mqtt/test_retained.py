"""Retained messages over checkpoints, crashes and restarts, against a plain dict."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pillarbox.broker.core import CoreSnapshot
from pillarbox.broker.definitions import key_of
from pillarbox.engine.base import NO_EXPIRATION
from pillarbox.protocols.mqtt.retained import (
    FOUND_AT_ONCE,
    LOOK_MS,
    Retained,
    RetainedMessages,
    packed,
    unpacked,
)
from pillarbox.protocols.mqtt.stored import kept
from tests.broker.broker_tools import NOW_MS, Domain

names = st.sampled_from(["a", "a/b", "a/c", "b", "$d/e"])
bodies = st.sampled_from([b"", b"1", b"2", bytes(300)])


def message(topic: str, payload: bytes = b"x", expiration_ms: int = NO_EXPIRATION) -> Retained:
    return Retained(topic, payload, b"\0", 1, NOW_MS, expiration_ms)


def seen(messages: RetainedMessages, pattern: str = "#", vhost: str = "/") -> list[tuple[str, bytes]]:
    return [(one.topic, one.payload) for part in messages.matching(vhost, pattern) for one in part]


class Model(RuleBasedStateMachine):
    """What is kept is there after every crash, and nothing else is."""

    def __init__(self) -> None:
        super().__init__()
        self.domain = Domain()
        self.messages = RetainedMessages(self.domain.core)
        self.model: dict[tuple[str, str], bytes] = {}

    @rule(vhost=st.sampled_from(["/", "other"]), topic=names, payload=bodies)
    def put(self, vhost: str, topic: str, payload: bytes) -> None:
        self.messages.put(vhost, message(topic, payload))
        self.model.pop((vhost, topic), None)
        if payload:
            self.model[vhost, topic] = payload

    @rule()
    def checkpoint(self) -> None:
        self.domain.run()
        self.domain.journal.finish_checkpoint(CoreSnapshot(self.domain.core))

    @rule()
    def restart(self) -> None:
        self.domain.run()
        self.domain.restart()
        self.messages = RetainedMessages(self.domain.core)

    @rule()
    def restart_without_the_protocol(self) -> None:
        """Nobody holds them then but the definitions, which a checkpoint has as they are."""
        self.domain.run()
        self.domain.restart()
        self.domain.journal.finish_checkpoint(CoreSnapshot(self.domain.core))
        self.restart()

    @invariant()
    def the_same(self) -> None:
        assert self.messages.count == len(self.model)
        for vhost in ("/", "other"):
            for pattern in ("#", "$d/+"):
                expected = [
                    (topic, payload)
                    for (host, topic), payload in sorted(self.model.items())
                    if host == vhost and topic.startswith("$") == pattern.startswith("$")
                ]
                assert seen(self.messages, pattern, vhost) == expected


TestModel = pytest.mark.row("R141")(Model.TestCase)
TestModel.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


def test_what_was_kept_one_by_one_is_taken_over() -> None:
    """As it was before there were blocks."""
    domain = Domain()
    for topic in ("a", "b"):
        value = b"\x96\xa1" + topic.encode() + b"\xc4\x01x\xc4\x01\0\x01\0\xff"
        domain.core.keep(key_of("mqtt", "retained", "/", topic), value)
    messages = RetainedMessages(domain.core)
    assert seen(messages) == [("a", b"x"), ("b", b"x")]
    assert not list(domain.core.kept('["mqtt"'))


@pytest.mark.parametrize("expiration_ms", [NO_EXPIRATION, 0, 5000])
@pytest.mark.parametrize("properties", [{}, {"content_type": "x" * 200}])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_is_held_as_it_is(expiration_ms: int, properties: dict[str, str], qos: int) -> None:
    one = Retained("a/é", b"\0payload", kept(properties), qos, NOW_MS, expiration_ms)
    assert unpacked(one.topic.encode(), packed(one)) == one


def test_what_is_over_is_not_told() -> None:
    domain = Domain()
    messages = RetainedMessages(domain.core)
    messages.put("/", message("short", expiration_ms=1000))
    messages.put("/", message("long", expiration_ms=2000))
    domain.advance(1000)
    assert seen(messages) == [("long", b"x")]


def test_what_changes_while_somebody_is_told_is_left_to_its_publisher() -> None:
    """A subscriber hears of it as of any message; the old one after it would be wrong for ever."""
    messages = RetainedMessages(Domain().core)
    count = 3 * FOUND_AT_ONCE
    for number in range(count):
        messages.put("/", message(f"{number:04}"))
    parts = messages.matching("/", "#")
    told = {one.topic for one in next(parts)}
    assert len(told) == FOUND_AT_ONCE
    messages.put("/", message("0000", b"new"))
    messages.put("/", message("0299", b"new"))
    messages.put("/", message("0150", b""))
    messages.put("/", message("0150x", b"new"))
    messages.put("other", message("0298", b"new"))
    rest = {one.topic: one.payload for part in parts for one in part}
    assert set(rest) == {f"{number:04}" for number in range(FOUND_AT_ONCE, count)} - {"0150", "0299"}
    assert set(rest.values()) == {b"x"}
    assert not messages._listings


def test_nothing_is_left_of_topics_that_are_gone() -> None:
    messages = RetainedMessages(Domain().core)
    for payload in (b"x", b""):
        for topic in ("a/b/c", "a/b", "a", "a/b/d", "a//", "a/"):
            messages.put("/", message(topic, payload))
    assert messages.count == 0
    assert not list(messages._rows())


def test_what_is_over_takes_no_memory_in_the_end() -> None:
    """Whether anybody asks for it or not, and also if it was retained before a restart."""
    domain = Domain()
    messages = RetainedMessages(domain.core)
    for number in range(200):
        for name, expiration_ms in (("short", 1000), ("long", 3 * LOOK_MS), ("kept", NO_EXPIRATION)):
            messages.put("/", message(f"{name}/{number}", expiration_ms=expiration_ms))
    messages.put("/", message("short/0", b"newer"))
    for passed_ms, left in ((0, 600), (LOOK_MS, 401), (LOOK_MS, 401), (2 * LOOK_MS, 201), (LOOK_MS, 201)):
        domain.advance(passed_ms)
        domain.run()
        assert messages.count == left
        domain.journal.finish_checkpoint(CoreSnapshot(domain.core))
        domain.restart()
        messages = RetainedMessages(domain.core)
        assert messages.count == left
    assert len(seen(messages, "kept/#")) == 200
    assert seen(messages, "short/#") == [("short/0", b"newer")]


def test_nobody_looks_for_what_is_over_where_nothing_ends() -> None:
    domain = Domain()
    messages = RetainedMessages(domain.core)
    messages.put("/", message("a"))
    assert domain.core.scheduler.next_ms is None
