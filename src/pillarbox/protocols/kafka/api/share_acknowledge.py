"""ShareAcknowledge (79): what a member has done with records. Answered when that is durable.

*Versions* 1-2: 2 can renew locks (KIP-1222). *Behaviour*: see `sharing`; each partition is told for itself.
Source: KIP-932; row K56.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.messages.share_acknowledge import (
    PartitionData,
    ShareAcknowledgeRequest,
    ShareAcknowledgeResponse,
    ShareAcknowledgeTopicResponse,
)
from pillarbox.protocols.kafka.sharing import Sharing


def answer(call: Call, request: ShareAcknowledgeRequest) -> ShareAcknowledgeResponse | None:
    try:
        sharing = Sharing(call, request, may_begin=False, has_acks=True)
    except Refused as refused:
        return ShareAcknowledgeResponse(error_code=refused.code, error_message=refused.text)
    response = ShareAcknowledgeResponse(acquisition_lock_timeout_ms=sharing.lock_ms)
    response.responses = [
        ShareAcknowledgeTopicResponse(
            topic_id=topic.topic_id,
            partitions=[
                PartitionData(
                    each.partition_index,
                    *sharing.settle((topic.topic_id, each.partition_index), each.acknowledgement_batches),
                )
                for each in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    if sharing.ends:
        sharing.close()
    if not sharing.lasting:
        return response

    def done(failure: str | None) -> None:
        for topic in response.responses if failure is not None else ():
            for each in topic.partitions:
                each.error_code = each.error_code or ErrorCode.COORDINATOR_NOT_AVAILABLE
        if call.is_open:
            call.reply(response)

    call.head.promises.when_durable(done)
    return None
