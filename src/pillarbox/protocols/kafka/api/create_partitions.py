"""CreatePartitions (37): more partitions for topics; what they hold stays where it is.

Versions: 0-3. Behaviour: answered when it is durable; the new ones may be placed by hand, on this one node.
Source: KIP-195; row K31.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.creation import demand_more_partitions, demand_replicas
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)
from pillarbox.protocols.kafka.mutations import Mutations
from pillarbox.protocols.kafka.rights import ALTER_TOPIC

STRICT_FROM: Final = 3
"""The first version that knows of too many changes (KIP-599)."""


def answer(call: Call, request: CreatePartitionsRequest) -> None:
    times = Counter(wanted.name for wanted in request.topics)
    mutations = Mutations(call, STRICT_FROM)
    response = CreatePartitionsResponse(
        results=[
            _grown(call, wanted, mutations, times[wanted.name], validate_only=request.validate_only)
            for wanted in request.topics
        ]
    )
    mutations.tell(response)
    call.reply_when_durable(response)


def _grown(
    call: Call, wanted: CreatePartitionsTopic, mutations: Mutations, times: int, *, validate_only: bool
) -> CreatePartitionsTopicResult:
    """What became of one topic."""
    try:
        if times > 1:
            raise Refused(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
        if not call.allows(ALTER_TOPIC, wanted.name):
            raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        _grow(call, wanted, mutations, validate_only=validate_only)
    except Refused as refused:
        return CreatePartitionsTopicResult(wanted.name, refused.code, refused.text)
    return CreatePartitionsTopicResult(wanted.name)


def _grow(call: Call, wanted: CreatePartitionsTopic, mutations: Mutations, *, validate_only: bool) -> None:
    topics = call.head.topics
    topic = topics.get(wanted.name)
    if topic is None:
        raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    demand_more_partitions(topic, wanted.count)
    if wanted.assignments is not None:
        more = wanted.count - len(topic.partitions)
        if len(wanted.assignments) != more:
            text = (
                f"Attempted to add {more} additional partition(s), but only {len(wanted.assignments)} "
                "assignment(s) were specified."
            )
            raise Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, text)
        for assignment in wanted.assignments:
            demand_replicas(call.head, assignment.broker_ids)
    mutations.demand(wanted.count - len(topic.partitions))
    try:
        if validate_only:
            topics.demand_room(topic, wanted.count)
        else:
            topics.grow(topic, wanted.count)
    except BrokerError as error:
        if error.reason is Reason.PRECONDITION_FAILED:
            raise Refused(ErrorCode.INVALID_PARTITIONS, error.text) from None
        raise Refused.by_domain(error) from None
