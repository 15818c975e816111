"""What a request will want to know of its client's rights, before it begins (R8).

Rights that somebody outside decides about may have to be waited for, and a request is then begun anew. Most
handlers ask before they do anything; those that ask for one thing after another, and do something in between,
stand in `WANTED`. Nobody else needs it: it is looked at for clients of `broker.outside` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from pillarbox.protocols.kafka.rights import (
    ALTER_TOPIC,
    ALTER_TOPIC_CONFIGS,
    CREATE_TOPIC,
    DELETE_GROUP,
    DELETE_TOPIC,
    READ_TOPIC,
    SEE_TOPIC,
    WRITE_TOPIC,
    WRITE_TRANSACTION,
    Right,
)

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.call import Call

Wanted = Iterator[tuple[Right, str]]


def _name(call: Call, name: str | None, topic_id: bytes) -> str:
    """The name of a topic that is meant by it or by its id; nothing: there is none."""
    if name:
        return name
    topic = call.head.topics.by_id(topic_id)
    return topic.name if topic is not None else ""


def _produce(call: Call, request: Any) -> Wanted:
    for topic in request.topic_data:
        yield WRITE_TOPIC, _name(call, topic.name, topic.topic_id)
    if request.transactional_id:
        yield WRITE_TRANSACTION, request.transactional_id


def _fetch(call: Call, request: Any) -> Wanted:
    for topic in request.topics:
        yield READ_TOPIC, _name(call, topic.topic, topic.topic_id)


def _delete_topics(call: Call, request: Any) -> Wanted:
    for state in request.topics:
        name = _name(call, state.name, state.topic_id)
        yield SEE_TOPIC, name
        yield DELETE_TOPIC, name
    for name in request.topic_names:
        yield DELETE_TOPIC, name


def _by_name(right: Right) -> Callable[[Call, Any], Wanted]:
    return lambda call, request: ((right, topic.name) for topic in request.topics)


def _alter(call: Call, request: Any) -> Wanted:
    return ((ALTER_TOPIC_CONFIGS, resource.resource_name) for resource in request.resources)


def _heartbeat(call: Call, request: Any) -> Wanted:
    if request.subscribed_topic_regex:
        for topic in list(call.head.topics.all()):
            yield SEE_TOPIC, topic.name


WANTED: Final[dict[int, Callable[[Call, Any], Wanted]]] = {
    0: _produce,
    1: _fetch,
    19: _by_name(CREATE_TOPIC),
    20: _delete_topics,
    21: _by_name(DELETE_TOPIC),
    33: _alter,
    37: _by_name(ALTER_TOPIC),
    42: lambda call, request: ((DELETE_GROUP, name) for name in request.groups_names),
    44: _alter,
    47: _by_name(READ_TOPIC),
    68: _heartbeat,
}
"""By key."""


def ask_first(call: Call, request: Any) -> None:
    """Raise Undecided if there is something to ask before this request may begin."""
    wanted = WANTED.get(call.key)
    for right, name in wanted(call, request) if wanted is not None else ():
        if name:
            call.allows(right, name)
