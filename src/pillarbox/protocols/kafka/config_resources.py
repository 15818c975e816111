"""What has configs: topics, groups and this one node, told by type and name.

Source: Kafka's `ConfigResource`; row K32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.topic_names import is_valid_name

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic
    from pillarbox.protocols.kafka.call import Call
    from pillarbox.protocols.kafka.head import Head

TOPIC: Final = 2
BROKER: Final = 4
LOGGERS: Final = 8
CLIENT_METRICS: Final = 16
GROUP: Final = 32


def demand_topic(call: Call, name: str, *, permitted: bool) -> Topic:
    """The topic of this name. Raises Refused."""
    if not permitted:
        raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    if not is_valid_name(name):
        raise Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: '{name}'")
    topic = call.head.topics.get(name)
    if topic is None:
        raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return topic


def demand_group_name(name: str, *, permitted: bool) -> None:
    """Refuse what no group can be called; one of another name need not be there. Raises Refused."""
    if not permitted:
        raise Refused(ErrorCode.GROUP_AUTHORIZATION_FAILED)
    if not name:
        raise Refused(ErrorCode.INVALID_REQUEST, "Default group resources are not allowed.")


def demand_node(head: Head, name: str) -> None:
    """Refuse the number of any other node."""
    if name != str(head.settings.node_id):
        text = f"Unexpected broker id, expected {head.settings.node_id} or empty string, but received {name}"
        raise Refused(ErrorCode.INVALID_REQUEST, text)
