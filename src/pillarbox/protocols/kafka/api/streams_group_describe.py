"""StreamsGroupDescribe (89): groups of Kafka Streams whose tasks the broker assigns, which are switched off.

Versions: 0. Source: KIP-1071; row K58.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.streams_group_describe import (
    DescribedGroup,
    StreamsGroupDescribeRequest,
    StreamsGroupDescribeResponse,
)


def answer(call: Call, request: StreamsGroupDescribeRequest) -> StreamsGroupDescribeResponse:
    return StreamsGroupDescribeResponse(
        groups=[DescribedGroup(ErrorCode.UNSUPPORTED_VERSION, group_id=name) for name in request.group_ids]
    )
