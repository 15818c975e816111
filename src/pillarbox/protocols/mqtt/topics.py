"""Topic names and topic filters: which are valid, and what they are on `amq.topic`.

A topic `a/b` and the routing key `a.b` are one thing, as in RabbitMQ. The two characters change places, so
that nothing is lost: a `.` in a topic is a `/` in the routing key.

Source: MQTT 5.0, 4.7, 4.8.2; RabbitMQ's MQTT plugin (row R141); DESIGN, section 8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pillarbox.protocols.mqtt.primitives import WireError
from pillarbox.protocols.mqtt.reasons import ReasonCode

LEVELS_MAX: Final = 128
"""Levels of a topic or a filter. Matching costs a step for each; Mosquitto allows 200."""

BYTES_MAX: Final = 255
"""Of a topic or a filter: what a routing key may have, so that everybody can be told of it."""

TEXT_MAX: Final = 65_535
"""Of any text: two bytes hold its size."""

SHARED: Final = "$share/"
READ_ONLY: Final = "$SYS"
"""What begins so is published by the broker alone (see `sys_topics`)."""

EXCHANGE: Final = "amq.topic"
"""Where all topics are."""

_TO_KEY: Final = str.maketrans("/.", "./")
_FILTER_TO_PATTERN: Final = str.maketrans("/.+", "./*")
_FROM_KEY: Final = str.maketrans("./", "/.")


def is_name(topic: str) -> bool:
    """Can a message be sent under it? What routing keys of other protocols stand for need not be any."""
    is_sized = 0 < len(topic.encode()) <= TEXT_MAX
    return is_sized and not ("+" in topic or "#" in topic or "\0" in topic)


def demand_name(topic: str) -> None:
    """Refuse what a message cannot be published to."""
    if not is_name(topic):
        raise WireError(ReasonCode.TOPIC_NAME_INVALID, "a topic name that is empty or has wildcards")
    if _is_long(topic):
        raise WireError(ReasonCode.TOPIC_NAME_INVALID, "a topic name that is too long")


def _is_long(topic: str) -> bool:
    return topic.count("/") >= LEVELS_MAX or len(topic.encode()) > BYTES_MAX


class Filter(NamedTuple):
    """A topic filter, and the group that shares its messages (empty: nobody does)."""

    pattern: str
    group: str = ""


def parse_filter(raw: str) -> Filter:
    """Take a filter apart. Raises WireError with TOPIC_FILTER_INVALID."""
    group = ""
    pattern = raw
    if raw.startswith(SHARED):
        _, group, pattern = [*raw.split("/", 2), ""][:3]
        if not group or "+" in group or "#" in group:
            raise WireError(ReasonCode.TOPIC_FILTER_INVALID, "a shared subscription without a valid name")
    levels = pattern.split("/")
    wrong = not pattern or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
    if wrong or "#" in levels[:-1] or _is_long(pattern):
        raise WireError(ReasonCode.TOPIC_FILTER_INVALID, "a topic filter that is not valid")
    return Filter(pattern, group)


def routing_key(topic: str) -> str:
    """What a topic is as a routing key."""
    return topic.translate(_TO_KEY)


def binding_key(pattern: str) -> str:
    """What a filter is as the key of a binding to a topic exchange."""
    return pattern.translate(_FILTER_TO_PATTERN)


def topic_of(key: str) -> str:
    """What a routing key is as a topic."""
    return key.translate(_FROM_KEY)


def matches(pattern: str, topic: str) -> bool:
    """Does a filter take messages of this topic? `$` at the start is not for wildcards ([MQTT-4.7.2-1])."""
    if topic[0] == "$" and pattern[0] in "+#":
        return False
    levels = topic.split("/")
    wanted = pattern.split("/")
    if wanted[-1] == "#":
        # `a/#` takes `a` as well.
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        want in ("+", level) for want, level in zip(wanted, levels, strict=True)
    )
