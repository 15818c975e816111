"""StreamsGroupHeartbeat (88): groups of Kafka Streams whose tasks the broker assigns, which are switched off.

Versions: 0. Behaviour: as a Kafka with streams.version 0. Kafka Streams does without them unless it is told
`group.protocol=streams`. Source: KIP-1071; row K58.
"""

from __future__ import annotations

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.messages.streams_group_heartbeat import (
    StreamsGroupHeartbeatRequest,
    StreamsGroupHeartbeatResponse,
)


def answer(call: Call, request: StreamsGroupHeartbeatRequest) -> StreamsGroupHeartbeatResponse:
    return StreamsGroupHeartbeatResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
