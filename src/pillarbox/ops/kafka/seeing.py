"""What every resource of Kafka's side begins with: the view, and what the user may see and do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.broker.outside import Undecided
from pillarbox.ops.management.request import HttpError, not_authorised, not_found, number_of

if TYPE_CHECKING:
    from pillarbox.broker.stream import StreamQueue
    from pillarbox.broker.topics import Topic
    from pillarbox.ops.management.request import Request
    from pillarbox.protocols.kafka.groups.seen import SeenGroup
    from pillarbox.protocols.kafka.view import View

NAME = "kafka"
OFF = "Kafka's protocol is off here: the broker has none of kafka_port, kafka_tls_port and kafka_listeners"
NOT_YOURS = "User not authorised to access object"


def view_of(request: Request) -> View:
    """What there is to see. Raises 404 where Kafka's protocol is off."""
    spoken = request.node.spoken.get(NAME)
    if spoken is None:
        raise HttpError(404, "Object Not Found", OFF)
    view: View = spoken.view
    return view


def allows(request: Request, right: str, name: str) -> bool:
    """Has the user this right on the topic, group or transaction of this name?"""
    return view_of(request).allows(request.user, right, name)


def sees(request: Request, kind: str, name: str) -> bool:
    """May the user know of it: because whoever monitors does, or as a client of Kafka?"""
    return request.monitors or allows(request, f"see {kind}", name)


def lists(request: Request, kind: str, name: str) -> bool:
    """Is it in the user's lists? What somebody outside would have to be asked about is not."""
    try:
        return sees(request, kind, name)
    except Undecided:
        return False


def demand(request: Request, right: str, name: str) -> None:
    """Raise ACCESS_REFUSED for a right that the user has not, whatever its tags."""
    view_of(request).demand(request.user, right, name)


def topic_of(request: Request) -> Topic:
    """The topic of the path. Raises 404, and 401 for whoever may not see it."""
    name = request.path["topic"]
    topic = view_of(request).topics.get(name)
    if topic is None:
        raise not_found()
    if not sees(request, "topic", name):
        raise not_authorised(NOT_YOURS)
    return topic


def partition_of(request: Request) -> tuple[Topic, int, StreamQueue]:
    """The partition of the path. Raises as `topic_of`."""
    topic, text = topic_of(request), request.path["partition"]
    index = number_of(text)
    if index is not None and index < len(topic.partitions):
        return topic, index, topic.partitions[index]
    raise not_found()


def group_of(request: Request) -> SeenGroup:
    """The group of the path. Raises 404, and 401 for whoever may not see it."""
    name = request.path["group"]
    group = view_of(request).group(name)
    if group is None:
        raise not_found()
    if not sees(request, "group", name):
        raise not_authorised(NOT_YOURS)
    return group
