"""CreatePartitions (37): more partitions for topics; what they hold stays where it is.

Versions: 0-3. Behaviour: answered when it is durable; others have their turn meanwhile, and may see that some
of the new ones are there. They may be placed by hand, on this one node.
Source: KIP-195; row K31.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator, Iterator
from typing import Final

from pillarbox.broker.chores import in_strides
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.creation import PART_PARTITIONS, demand_more_partitions, demand_replicas
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
    # Now, because later nobody outside can be asked any more.
    allowed = {wanted.name for wanted in request.topics if call.allows(ALTER_TOPIC, wanted.name)}
    call.head.core.chores.begin(in_strides(_growing(call, request, allowed), PART_PARTITIONS))


def _growing(
    call: Call, request: CreatePartitionsRequest, allowed: Container[str]
) -> Generator[None, None, None]:
    """Let one topic after the other grow, with a step for each new partition, and answer."""
    times = Counter(wanted.name for wanted in request.topics)
    mutations = Mutations(call, STRICT_FROM)
    response = CreatePartitionsResponse(results=[])
    for wanted in request.topics:
        result = CreatePartitionsTopicResult(wanted.name)
        try:
            if times[wanted.name] > 1:
                raise Refused(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            if wanted.name not in allowed:
                raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
            yield from _grow(call, wanted, mutations, validate_only=request.validate_only)
        except Refused as refused:
            result = CreatePartitionsTopicResult(wanted.name, refused.code, refused.text)
        response.results.append(result)
        yield
    mutations.tell(response)
    call.reply_when_durable(response)


def _grow(
    call: Call, wanted: CreatePartitionsTopic, mutations: Mutations, *, validate_only: bool
) -> Iterator[None]:
    """One of them. Raises Refused."""
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
            yield from topics.growing(topic, wanted.count)
    except BrokerError as error:
        if error.reason is Reason.PRECONDITION_FAILED:
            raise Refused(ErrorCode.INVALID_PARTITIONS, error.text) from None
        raise Refused.by_domain(error) from None
