"""How many partitions a client may make and delete a second: refused beyond, or paused for (KIP-599, K74).

A request may begin what it has the means for, and goes into debt with its last part. While there is a debt
the next part is refused to clients that know the answer; others are served, and paused for as long. Not here:
limits (`quotas`).
"""

from __future__ import annotations

from typing import Any

from pillarbox.protocols.kafka.call import Call
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.quotas import MUTATIONS


class Mutations:
    """What one request changes. `strict_from`: the first version that knows the refusal."""

    def __init__(self, call: Call, strict_from: int) -> None:
        self._call = call
        self._strict = call.version >= strict_from
        self._pause_ms = 0

    def demand(self, partitions: int) -> None:
        """Count so many partitions. Raises Refused (THROTTLING_QUOTA_EXCEEDED) while there is a debt."""
        call = self._call
        quotas = call.head.quotas
        if not quotas.limits:
            return
        user, client_id = call.principal.name, call.client_id or ""
        if self._strict:
            self._pause_ms = quotas.charge(MUTATIONS, user, client_id, 0)
            if self._pause_ms:
                text = "The throttling quota has been exceeded."
                raise Refused(ErrorCode.THROTTLING_QUOTA_EXCEEDED, text)
        self._pause_ms = quotas.charge(MUTATIONS, user, client_id, partitions)

    def tell(self, response: Any) -> None:
        """Say in the answer how long the client has to pause, and have it pause."""
        if self._pause_ms:
            response.throttle_time_ms = self._pause_ms
            self._call.connection.mute(self._pause_ms)
