"""Topic names, filters, and what they are on a topic exchange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.protocols.mqtt import topics
from pillarbox.protocols.mqtt.primitives import WireError
from pillarbox.protocols.mqtt.reasons import ReasonCode

levels = st.lists(st.text(st.sampled_from("ab.*$"), max_size=3), min_size=1, max_size=4)
names = levels.map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    parts = [draw(st.sampled_from((part, "+"))) for part in draw(levels)]
    return "/".join(parts + draw(st.sampled_from(([], ["#"]))))


def slowly(pattern: list[str], topic: list[str]) -> bool:
    """Does it match? By the letter of MQTT 5.0, 4.7.1, a level at a time."""
    if not pattern:
        return not topic
    if pattern[0] == "#":
        return True
    if not topic:
        return False
    return pattern[0] in ("+", topic[0]) and (
        slowly(pattern[1:], topic[1:]) or (pattern[1:] == ["#"] and not topic[1:])
    )


@pytest.mark.row("R141", "A65")
@given(filters().filter(bool), names)
def test_a_filter_matches_by_the_letter_of_the_standard(pattern: str, topic: str) -> None:
    dollar = topic.startswith("$") and pattern[0] in "+#"
    expected = not dollar and slowly(pattern.split("/"), topic.split("/"))
    assert topics.matches(pattern, topic) is expected


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("sport/#", "sport", True),
        ("sport/#", "sport/a/b", True),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("a/b", "a/B", False),
    ],
)
def test_the_examples_of_the_standard(pattern: str, topic: str, expected: bool) -> None:
    assert topics.matches(pattern, topic) is expected


@given(names)
def test_a_topic_comes_back_from_its_routing_key(topic: str) -> None:
    assert topics.topic_of(topics.routing_key(topic)) == topic


def test_a_topic_is_a_routing_key_and_a_filter_a_binding_key() -> None:
    assert topics.routing_key("plant/line.1/temp") == "plant.line/1.temp"
    assert topics.binding_key("plant/+/temp/#") == "plant.*.temp.#"


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a" * 256, "/" * 128])
def test_names_that_are_refused(topic: str) -> None:
    with pytest.raises(WireError) as caught:
        topics.demand_name(topic)
    assert caught.value.reason is ReasonCode.TOPIC_NAME_INVALID


@pytest.mark.parametrize("name", ["a", "/", "a//b", "$SYS/x", "a" * 255, "/" * 127])
def test_names_that_are_taken(name: str) -> None:
    topics.demand_name(name)
    assert topics.parse_filter(name) == (name, "")


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "a/#/b",
        "a#",
        "a/b+",
        "#/",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/g+/a",
        "a" * 256,
    ],
)
def test_filters_that_are_refused(raw: str) -> None:
    with pytest.raises(WireError) as caught:
        topics.parse_filter(raw)
    assert caught.value.reason is ReasonCode.TOPIC_FILTER_INVALID


def test_a_shared_subscription_names_its_group() -> None:
    assert topics.parse_filter("$share/workers/a/+/#") == ("a/+/#", "workers")
    assert topics.parse_filter("$share/workers//a") == ("/a", "workers")
