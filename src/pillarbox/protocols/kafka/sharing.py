"""What ShareFetch and ShareAcknowledge have in common: whose session it is, and what its answers do.

A request's acknowledgements are taken partition by partition, each all or none. Not here: what becomes of a
record (`groups.share_state`), what is fetched (`api.share_fetch`). Source: KIP-932, "Error codes"; row K56.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Protocol

from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.groups.share_sessions import BEGINS, ENDS, ShareSession
from pillarbox.protocols.kafka.groups.share_state import Answer, NotFetched, NotHeld, Reply
from pillarbox.protocols.kafka.rights import READ_GROUP, READ_TOPIC

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.call import Call
    from pillarbox.protocols.kafka.groups.assignors import Part
    from pillarbox.protocols.kafka.groups.share import ShareGroup

ANSWERS: Final = frozenset(Answer)


class Batch(Protocol):
    """Acknowledgements of records that follow each other."""

    first_offset: int
    last_offset: int
    acknowledge_types: list[int]


class Sharing:
    """One request of a member: its group and session. Raises Refused where it has none."""

    def __init__(self, call: Call, request: Any, *, may_begin: bool, has_acks: bool) -> None:
        name, member_id, epoch = request.group_id, request.member_id, request.share_session_epoch
        call.demand(READ_GROUP, name or "")
        if not name or epoch < ENDS:
            raise Refused(ErrorCode.INVALID_REQUEST)
        if not member_id:
            raise Refused(ErrorCode.INVALID_REQUEST, "Invalid member id in the request.")
        self.call = call
        self.member_id: str = member_id
        self.epoch: int = epoch
        self.renews: bool = request.is_renew_ack
        groups = call.head.groups
        self._sessions = groups.share_sessions
        self._key = name, member_id
        self.group: ShareGroup | None = groups.shares(name)
        if epoch != BEGINS:
            self.session: ShareSession = self._sessions.next(self._key, epoch)
        elif not may_begin:
            self._sessions.next(self._key, epoch)  # It has a session and says it wrongly, or it has none.
        elif has_acks:
            raise Refused(ErrorCode.INVALID_REQUEST)
        else:
            # What its member holds stays with it: it may have lost an answer, not its work.
            self.session = self._sessions.begin(self._key, call.connection)
        self.lasting = False
        """There is something that has to be durable before the request is answered."""

    @property
    def ends(self) -> bool:
        return self.epoch == ENDS

    def close(self) -> None:
        """It was the last request of the session: what the member holds is free."""
        self._sessions.end(self._key)

    @property
    def is_over(self) -> bool:
        """Whether the session has ended since: its member is to get nothing more by this request."""
        return not self._sessions.has(self.session)

    @property
    def lock_ms(self) -> int:
        return 0 if self.group is None else self.group.lock_ms

    def fault(self, part: Part) -> ErrorCode:
        """Why nothing can be done with a partition."""
        topic_id, number = part
        topic = self.call.head.topics.by_id(topic_id)
        if topic is None:
            return ErrorCode.UNKNOWN_TOPIC_ID
        if not 0 <= number < len(topic.partitions):
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if not self.call.allows(READ_TOPIC, topic.name):
            return ErrorCode.TOPIC_AUTHORIZATION_FAILED
        if self.group is None:
            return ErrorCode.GROUP_ID_NOT_FOUND
        return ErrorCode.NONE if part in self.group.parts else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def settle(self, part: Part, batches: Sequence[Batch]) -> tuple[ErrorCode, str | None]:
        """Take a member's acknowledgements for one partition; return what it is told."""
        fault = self.fault(part)
        if fault or self.group is None:
            return fault, None
        share = self.group.parts[part]
        replies = replies_of(batches, share.in_flight, renews=self.renews)
        if replies is None:
            return ErrorCode.INVALID_REQUEST, None
        try:
            lasting = share.settle(self.member_id, replies)
        except NotHeld as refused:
            return ErrorCode.INVALID_RECORD_STATE, str(refused)
        except NotFetched as refused:
            return ErrorCode.INVALID_REQUEST, str(refused)
        self.lasting |= lasting
        return ErrorCode.NONE, None


def replies_of(batches: Sequence[Batch], in_flight: range, *, renews: bool) -> list[Reply] | None:
    """What batches say, with neighbours that say the same as one; None: they are no valid answer.

    What is told record by record outside of what is in flight is told as one: it is refused, or passed over.
    """
    replies: list[Reply] = []
    end = -1
    for batch in batches:
        first, last, kinds = batch.first_offset, batch.last_offset, batch.acknowledge_types
        if (
            not end < first <= last
            or len(kinds) not in (1, last - first + 1)
            or not ANSWERS.issuperset(kinds)
        ):
            return None
        if Answer.RENEW in kinds and not renews:
            return None
        end = last
        if len(kinds) > 1 and first < in_flight.start:
            before = min(in_flight.start, last + 1) - first
            replies.append(Reply(first, first + before - 1, kinds[0]))
            first, kinds = first + before, kinds[before:]
        if not kinds:
            continue
        if len(kinds) == 1 or last >= in_flight.stop:
            replies.append(Reply(first, last, kinds[0]))
            continue
        for kind, alike in groupby(kinds):
            count = sum(1 for _ in alike)
            replies.append(Reply(first, first + count - 1, kind))
            first += count
    return replies
