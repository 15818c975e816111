"""DeleteTopics (20): topics by name, or by id, with all their records.

Versions: 0-6; by id from 6 on. Behaviour: answered when it is durable. A stream or super stream of another
protocol is a topic like any other, and whoever reads it there is told so there.

Source: KIP-4, KIP-516; rows K12, K31.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from pillarbox.errors import BrokerError
from pillarbox.protocols.kafka.call import Call
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

STRICT_FROM: Final = 5
"""The first version that knows of too many changes (KIP-599)."""


def answer(call: Call, request: DeleteTopicsRequest) -> None:
    wanted = [*request.topics, *(DeleteTopicState(name) for name in request.topic_names)]
    times = Counter((state.name, state.topic_id) for state in wanted)
    mutations = Mutations(call, STRICT_FROM)
    response = DeleteTopicsResponse(
        responses=[_deleted(call, state, mutations, times[state.name, state.topic_id]) for state in wanted]
    )
    mutations.tell(response)
    call.reply_when_durable(response)


def _deleted(call: Call, state: DeleteTopicState, mutations: Mutations, times: int) -> DeletableTopicResult:
    """What became of one topic. Who may not see it does not learn its name from its id."""
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
        identity = topic.id
        try:
            topics.delete(topic)
        except BrokerError as error:
            raise Refused.by_domain(error) from None
    except Refused as refused:
        return DeletableTopicResult(name, state.topic_id, refused.code, refused.text)
    return DeletableTopicResult(name, identity)
