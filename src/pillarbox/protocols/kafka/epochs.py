"""Leader epochs as clients know them: a broker that stands alone leads everything, in the epoch of each log.

Source: KIP-320; row K13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.protocols.kafka.errors import ErrorCode

if TYPE_CHECKING:
    from pillarbox.engine.logs import PartitionLog


def epoch_fault(log: PartitionLog, epoch: int) -> ErrorCode:
    """What is wrong with the epoch in which a client believes the leader to be; -1: it does not say."""
    if epoch < 0 or epoch == log.leader_epoch:
        return ErrorCode.NONE
    return ErrorCode.FENCED_LEADER_EPOCH if epoch < log.leader_epoch else ErrorCode.UNKNOWN_LEADER_EPOCH
