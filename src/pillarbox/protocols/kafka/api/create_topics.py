"""CreateTopics (19): topics with partitions and settings, each made or refused by itself.

Versions: 0-7; checks alone from 1 on; the topic as it became from 5 on, with its id from 7 on.

Behaviour: answered when all that was made is durable; others have their turn between one topic and the next.
Replicas can be one or the default; partitions may be placed by hand, on this one node. `validate_only` checks
everything and makes nothing. The timeout is of no use: nothing is waited for but the disk.

Source: KIP-4, KIP-195, KIP-464, KIP-525 (configs in the answer); row K31.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator, Mapping
from typing import Final

from pillarbox.broker.chores import in_strides
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.config_entries import topic_entries
from pillarbox.protocols.kafka.configs import checked
from pillarbox.protocols.kafka.creation import (
    BY_DEFAULT,
    PART_PARTITIONS,
    creating,
    demand_free,
    demand_name,
    demand_partitions,
    demand_replicas,
    demand_replication,
)
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from pillarbox.protocols.kafka.mutations import Mutations
from pillarbox.protocols.kafka.rights import may_create
from pillarbox.protocols.kafka.wire import NO_UUID

REPLICAS: Final = 1
STRICT_FROM: Final = 6
"""The first version that knows of too many changes (KIP-599)."""


def answer(call: Call, request: CreateTopicsRequest) -> None:
    times = Counter(wanted.name for wanted in request.topics)
    # Now, because later nobody outside can be asked any more.
    allowed = {name for name in times if may_create(call, name)}
    call.head.core.chores.begin(in_strides(_making(call, request, times, allowed), PART_PARTITIONS))


def _making(
    call: Call, request: CreateTopicsRequest, times: Mapping[str, int], allowed: Container[str]
) -> Generator[None, None, None]:
    """Make one topic after another, with a step for each partition, and answer."""
    mutations = Mutations(call, STRICT_FROM)
    response = CreateTopicsResponse(topics=[])
    for name, wanted in {wanted.name: wanted for wanted in request.topics}.items():
        result = yield from _made(
            call,
            wanted,
            mutations,
            is_allowed=name in allowed,
            is_repeated=times[name] > 1,
            validate_only=request.validate_only,
        )
        response.topics.append(result)
        yield
    mutations.tell(response)
    call.reply_when_durable(response)


def _made(
    call: Call,
    wanted: CreatableTopic,
    mutations: Mutations,
    *,
    is_allowed: bool,
    is_repeated: bool,
    validate_only: bool,
) -> Generator[None, None, CreatableTopicResult]:
    """What became of one topic."""
    head = call.head
    try:
        if is_repeated:
            raise Refused(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
        if not is_allowed:
            raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED, "Authorization failed.")
        demand_name(head, wanted.name)
        settings = checked((config.name, config.value) for config in wanted.configs)
        partitions = _partitions(call, wanted)
        mutations.demand(partitions)
        identity = NO_UUID
        if validate_only:
            demand_free(head, wanted.name, partitions)
        else:
            identity = (yield from creating(head, wanted.name, partitions, settings)).id
    except Refused as refused:
        return CreatableTopicResult(wanted.name, error_code=refused.code, error_message=refused.text)
    return CreatableTopicResult(
        wanted.name,
        identity,
        error_message=None,
        num_partitions=partitions,
        replication_factor=REPLICAS,
        configs=[
            CreatableTopicConfigs(entry.name, entry.value, False, entry.source)
            for entry in topic_entries(head, settings)
        ],
    )


def _partitions(call: Call, wanted: CreatableTopic) -> int:
    """How many partitions the topic gets. Raises Refused."""
    if not wanted.assignments:
        demand_replication(wanted.replication_factor)
        partitions = wanted.num_partitions
        if partitions == BY_DEFAULT:
            return call.head.settings.partitions_default
        demand_partitions(partitions)
        return partitions
    for number, what in (
        (wanted.replication_factor, "replication factor"),
        (wanted.num_partitions, "numPartitions"),
    ):
        if number != BY_DEFAULT:
            text = f"A manual partition assignment was specified, but {what} was not set to -1."
            raise Refused(ErrorCode.INVALID_REQUEST, text)
    for assignment in wanted.assignments:
        demand_replicas(call.head, assignment.broker_ids)
    indexes = [assignment.partition_index for assignment in wanted.assignments]
    if sorted(indexes) != list(range(len(indexes))):
        text = "partitions should be a consecutive 0-based integer sequence"
        raise Refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, text)
    demand_partitions(len(indexes))
    return len(indexes)
