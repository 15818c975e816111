"""Which segments of a log are due for deletion, as pure decisions. `log` applies them.

Source: Apache Kafka topic configs `retention.ms` and `retention.bytes`: whole segments go, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.store.log_base import UNLIMITED
from pillarbox.store.segment import Segment


def segment_time(segment: Segment) -> int:
    """The moment from which a segment's age counts: its newest record, but not later than it arrived.

    Records from the future, which a producer's clock or unit may cause, do not pin a segment for ever;
    records without a timestamp count from their arrival.
    """
    if segment.max_timestamp < 0:
        return segment.appended_ms
    return min(segment.max_timestamp, segment.appended_ms)


def expired_by_time(segments: Sequence[Segment], *, now_ms: int, retention_ms: int) -> int:
    """How many segments, from the oldest, hold nothing younger than `retention_ms`."""
    if retention_ms == UNLIMITED:
        return 0
    for index, segment in enumerate(segments):
        if not segment.size or now_ms - segment_time(segment) <= retention_ms:
            return index
    return len(segments)


def expired_by_size(segments: Sequence[Segment], *, retention_bytes: int) -> int:
    """How many segments, from the oldest, can go with `retention_bytes` still kept; never the last one."""
    if retention_bytes == UNLIMITED:
        return 0
    excess = sum(segment.size for segment in segments) - retention_bytes
    for index, segment in enumerate(segments[:-1]):
        excess -= segment.size
        if excess < 0:
            return index
    return max(0, len(segments) - 1)
