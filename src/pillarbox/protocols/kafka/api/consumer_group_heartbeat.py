"""ConsumerGroupHeartbeat (68): all that a member of a consumer group says and hears, until it leaves.

*Versions* 0-1: in 0 the broker makes the member id, from 1 on the client does (KIP-1082) and can subscribe by
a pattern.
*Behaviour*: patterns are Python's, without what may take long (`pillarbox.patterns`); what both it and RE2
know means the same. Source: KIP-848; row K55.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.patterns import checked
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.assignors import ASSIGNORS
from pillarbox.protocols.kafka.groups.consumer import (
    JOINS,
    LEAVES_FOR_A_WHILE,
    Beat,
    Refused,
    Told,
    topics_by_id,
)
from pillarbox.protocols.kafka.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    ResponseTopicPartitions,
)
from pillarbox.protocols.kafka.rights import READ_GROUP, SEE_TOPIC

OWN_ID_FROM: Final = 1


def answer(call: Call, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse:
    if not call.head.release.consumer_groups:
        return ConsumerGroupHeartbeatResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
    try:
        _check(call, request)
        beat = _beat(call, request)
        told = _tell(call, request.group_id, beat)
    except Refused as refused:
        told = Told(refused.error, str(refused), request.member_id)
    response = ConsumerGroupHeartbeatResponse(
        error_code=told.error,
        error_message=told.message,
        member_id=told.member_id or None,
        member_epoch=told.epoch,
        heartbeat_interval_ms=0 if told.error else call.head.groups.heartbeat_ms(request.group_id),
    )
    if told.assignment is not None:
        response.assignment = Assignment(
            topic_partitions=[
                ResponseTopicPartitions(topic_id=topic_id, partitions=partitions)
                for topic_id, partitions in topics_by_id(told.assignment).items()
            ]
        )
    return response


def _tell(call: Call, name: str, beat: Beat) -> Told:
    group = call.head.groups.consumers(name, create=beat.epoch == JOINS)
    if group is None:
        raise Refused(ErrorCode.GROUP_ID_NOT_FOUND, f"Consumer group {name} not found.")
    return group.heartbeat(beat)


def _check(call: Call, request: ConsumerGroupHeartbeatRequest) -> None:
    """Raise Refused for what no member may say."""
    if not call.allows(READ_GROUP, request.group_id):
        raise Refused(ErrorCode.GROUP_AUTHORIZATION_FAILED, "Group authorization failed.")
    epoch = request.member_epoch
    makes_id = call.version < OWN_ID_FROM and epoch == JOINS
    subscribes = request.subscribed_topic_names or request.subscribed_topic_regex
    wrong = {
        "GroupId can't be empty.": not request.group_id,
        "InstanceId can't be empty.": request.instance_id == "",
        "RackId can't be empty.": request.rack_id == "",
        "MemberId can't be empty.": not request.member_id and not makes_id,
        "MemberEpoch is invalid.": epoch < LEAVES_FOR_A_WHILE,
        "InstanceId can't be null.": epoch == LEAVES_FOR_A_WHILE and request.instance_id is None,
        "RebalanceTimeoutMs must be provided in first request.": epoch == JOINS
        and request.rebalance_timeout_ms == -1,
        "TopicPartitions must be empty when (re-)joining.": epoch == JOINS and request.topic_partitions != [],
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.": epoch
        == JOINS
        and request.subscribed_topic_names is None
        and not subscribes,
    }
    for text, is_so in wrong.items():
        if is_so:
            raise Refused(ErrorCode.INVALID_REQUEST, text)
    if request.server_assignor is not None and request.server_assignor not in ASSIGNORS:
        text = (
            f"ServerAssignor {request.server_assignor} is not supported. Supported: {', '.join(ASSIGNORS)}."
        )
        raise Refused(ErrorCode.UNSUPPORTED_ASSIGNOR, text)
    if not all(call.allows(SEE_TOPIC, name) for name in request.subscribed_topic_names or ()):
        raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed.")


def _beat(call: Call, request: ConsumerGroupHeartbeatRequest) -> Beat:
    names, parts = request.subscribed_topic_names, request.topic_partitions
    return Beat(
        request.member_id or call.head.groups.new_id(),
        request.member_epoch,
        request.instance_id,
        request.rack_id,
        request.rebalance_timeout_ms,
        None if names is None else tuple(sorted(set(names))),
        _pattern(request.subscribed_topic_regex),
        request.server_assignor,
        None
        if parts is None
        else frozenset((one.topic_id, each) for one in parts for each in one.partitions),
        call.client_id or "",
        call.client_host,
        lambda name: call.allows(SEE_TOPIC, name),
    )


def _pattern(text: str | None) -> re.Pattern[str] | None:
    """Raises Refused for what cannot be used."""
    if text is None:
        return None
    try:
        return checked(text).compiled
    except re.error as error:
        said = f"SubscribedTopicRegex `{text}` is not a valid regular expression: {error}."
        raise Refused(ErrorCode.INVALID_REGULAR_EXPRESSION, said) from None
