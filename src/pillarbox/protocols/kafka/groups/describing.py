"""Describing groups whose members the broker assigns to: who may see one, and its partitions by name.

What the calls for consumer and share groups have in common. Not here: their answers (`api`).
Source: KIP-848, KIP-932; row K57.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.groups.consumer import topics_by_id
from pillarbox.protocols.kafka.rights import SEE_GROUP, SEE_TOPIC

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic
    from pillarbox.protocols.kafka.call import Call
    from pillarbox.protocols.kafka.groups.assignors import Parts

G = TypeVar("G")


def demand_visible(
    call: Call, name: str, group: G | None, kind: str, topics: Callable[[G], Iterable[str]]
) -> G:
    """The group itself, which is there if there is one of this kind. `topics`: of all its members.

    Raises Refused for a client that may not see it.
    """
    if not call.allows(SEE_GROUP, name):
        raise Refused(ErrorCode.GROUP_AUTHORIZATION_FAILED)
    if not name:
        raise Refused(ErrorCode.INVALID_GROUP_ID)
    if group is None:
        other = call.head.groups.get(name) is not None
        text = f"Group {name} is not a {kind} group." if other else f"Group {name} not found."
        raise Refused(ErrorCode.GROUP_ID_NOT_FOUND, text)
    if not all(call.allows(SEE_TOPIC, topic) for topic in topics(group)):
        text = "The group has described topic(s) that the client is not authorized to describe."
        raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED, text)
    return group


def by_topic(call: Call, parts: Parts) -> Iterator[tuple[Topic, list[int]]]:
    """Partitions by their topics, as far as those are still there."""
    for topic_id, numbers in topics_by_id(parts).items():
        topic = call.head.topics.by_id(topic_id)
        if topic is not None:
            yield topic, numbers
