"""DeleteTopics (20): topics by name, or by id, with all their records.

Versions: 0-6; by id from 6 on. Behaviour: answered when it is durable; a topic is gone from the first of its
partitions on, and others have their turn between some of them. A stream or super stream of another
protocol is a topic like any other, and whoever reads it there is told so there.

Source: KIP-4, KIP-516; rows K12, K31.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Final

from pillarbox.broker.chores import in_strides
from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.creation import PART_PARTITIONS, deleting
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from pillarbox.protocols.kafka.mutations import Mutations
from pillarbox.protocols.kafka.rights import DELETE_TOPIC, SEE_TOPIC
from pillarbox.protocols.kafka.wire import NO_UUID

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic

STRICT_FROM: Final = 5
"""The first version that knows of too many changes (KIP-599)."""


def answer(call: Call, request: DeleteTopicsRequest) -> None:
    wanted = [*request.topics, *(DeleteTopicState(name) for name in request.topic_names)]
    times = Counter((state.name, state.topic_id) for state in wanted)
    mutations = Mutations(call, STRICT_FROM)
    # Who may do what is asked now, because later nobody outside can be asked any more.
    found = [_looked_up(call, state, mutations, times[state.name, state.topic_id]) for state in wanted]
    call.head.core.chores.begin(in_strides(_deleting(call, found, mutations), PART_PARTITIONS))


def _deleting(
    call: Call, found: Sequence[Topic | DeletableTopicResult], mutations: Mutations
) -> Generator[None, None, None]:
    """Delete one topic after the other, with a step for each partition, and answer."""
    response = DeleteTopicsResponse(responses=[])
    for each in found:
        result = each if isinstance(each, DeletableTopicResult) else (yield from _deleted(call, each))
        response.responses.append(result)
        yield
    mutations.tell(response)
    call.reply_when_durable(response)


def _deleted(call: Call, topic: Topic) -> Generator[None, None, DeletableTopicResult]:
    """What became of one topic."""
    try:
        again = call.head.topics.get(topic.name)
        if again is None or again.id != topic.id:
            raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)  # Somebody else was quicker.
        yield from deleting(call.head, topic)
    except Refused as refused:
        return DeletableTopicResult(topic.name, topic.id, refused.code, refused.text)
    return DeletableTopicResult(topic.name, topic.id)


def _looked_up(
    call: Call, state: DeleteTopicState, mutations: Mutations, times: int
) -> Topic | DeletableTopicResult:
    """A topic that may be deleted, or why not. Who may not see it does not learn its name from its id."""
    topics = call.head.topics
    name, identity = state.name, state.topic_id
    try:
        if (name is None) == (identity == NO_UUID):
            text = "A topic is named or told by its id, one of both."
            raise Refused(ErrorCode.INVALID_REQUEST, text)
        if times > 1:
            text = "Duplicate topic id." if name is None else "Duplicate topic name."
            raise Refused(ErrorCode.INVALID_REQUEST, text)
        topic = topics.by_id(identity) if name is None else topics.get(name)
        if name is None and topic is not None:
            name = topic.name if call.allows(SEE_TOPIC, topic.name) else None
        if name is None:
            denied = topic is not None
            raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED if denied else ErrorCode.UNKNOWN_TOPIC_ID)
        if not call.allows(DELETE_TOPIC, name):
            raise Refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        if topic is None:
            raise Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        mutations.demand(len(topic.partitions))
    except Refused as refused:
        return DeletableTopicResult(name, state.topic_id, refused.code, refused.text)
    return topic
