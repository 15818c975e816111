"""Groups of consumers, how far they are behind, and why: /kafka/groups and what is below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pillarbox.clock import iso_time
from pillarbox.ops.kafka.explanation import Case, explain, summary
from pillarbox.ops.kafka.records import offset_at
from pillarbox.ops.kafka.seeing import demand, group_of, lists, view_of
from pillarbox.ops.kafka.traffic import details
from pillarbox.ops.management import stats
from pillarbox.ops.management.explanation import EXPLANATION
from pillarbox.ops.management.fields import (
    INTEGER,
    OBJECT,
    STRING,
    Document,
    Field,
    Level,
    array,
    nullable,
)
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.request import bad_request, not_found
from pillarbox.ops.management.routes import COLUMNS, LISTING, MANAGEMENT, SAMPLES, STATS, Many, Route

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic
    from pillarbox.ops.management.request import Request
    from pillarbox.protocols.kafka.groups.seen import Place, SeenGroup, SeenMember
    from pillarbox.protocols.kafka.view import View


class Shown(NamedTuple):
    view: View
    group: SeenGroup


def _member(member: SeenMember, now_ms: int) -> dict[str, Any]:
    return {
        "member_id": member.id,
        "instance_id": member.instance_id,
        "client_id": member.client_id,
        "host": member.host,
        "topics": member.topics,
        "assignment": dict(member.assigned),
        "partitions": sum(map(len, member.assigned.values())),
        "waits_for": member.waits_for or None,
        "silent_ms": max(0, now_ms - member.heard_ms),
    }


_MEMBER = {
    "type": "object",
    "properties": {
        "member_id": STRING,
        "instance_id": nullable(STRING),
        "client_id": STRING,
        "host": STRING,
        "topics": array(STRING),
        "assignment": OBJECT,
        "partitions": INTEGER,
        "waits_for": nullable(STRING),
        "silent_ms": INTEGER,
    },
}


def _of_member(name: str) -> Any:
    return lambda place, request: None if place.member is None else getattr(place.member, name)


# fmt: off
OFFSET = Document(
    "KafkaOffset",
    Field("name", STRING, lambda p, r: f"{p.topic}-{p.partition}"),
    Field("topic", STRING, lambda p, r: p.topic),
    Field("partition", INTEGER, lambda p, r: p.partition),
    Field("committed_offset", nullable(INTEGER), lambda p, r: p.offset),
    Field("start_offset", nullable(INTEGER), lambda p, r: p.start),
    Field("end_offset", nullable(INTEGER), lambda p, r: p.end),
    Field("last_stable_offset", nullable(INTEGER), lambda p, r: p.stable),
    Field("lag", nullable(INTEGER), lambda p, r: p.lag),
    Field("leader_epoch", INTEGER, lambda p, r: p.leader_epoch),
    Field("metadata", STRING, lambda p, r: p.metadata),
    Field("committed_at", nullable(INTEGER), lambda p, r: p.committed_ms),
    Field("member_id", nullable(STRING), _of_member("id")),
    Field("client_id", nullable(STRING), _of_member("client_id")),
    Field("host", nullable(STRING), _of_member("host")),
)
"""`lag` null: it is not known, since nothing was committed or the partition is gone."""
_ALL = frozenset({Level.BASIC})


def _gauges(shown: Shown) -> Any:
    return shown.view.gauges_of(shown.group)


def _since(shown: Shown, request: Request) -> str | None:
    since_ms = shown.group.since_ms
    return None if since_ms is None else iso_time(since_ms)


def _offsets(shown: Shown, request: Request) -> list[dict[str, Any]]:
    return [OFFSET.describe(place, request, _ALL) for place in shown.group.places]


def _members(shown: Shown, request: Request) -> list[dict[str, Any]]:
    return [_member(member, request.now_ms) for member in shown.group.members]


GROUP = Document(
    "KafkaGroup",
    Field("name", STRING, lambda s, r: s.group.name),
    Field("type", STRING, lambda s, r: s.group.kind),
    Field("state", STRING, lambda s, r: s.group.state),
    Field("state_since", nullable(STRING), _since),
    Field("protocol_type", STRING, lambda s, r: s.group.protocol_type),
    Field("protocol", STRING, lambda s, r: s.group.protocol),
    Field("generation", INTEGER, lambda s, r: s.group.generation),
    Field("leader", nullable(STRING), lambda s, r: s.group.leader),
    Field("members", INTEGER, lambda s, r: s.group.member_count),
    Field("topics", array(STRING), lambda s, r: sorted({place.topic for place in s.group.places})),
    Field("partitions", INTEGER, lambda s, r: len(s.group.places)),
    Field("lag", nullable(INTEGER), lambda s, r: s.group.lag, Level.TOTALS),
    Field("partitions_without_lag", INTEGER,
          lambda s, r: sum([place.lag is None for place in s.group.places]), Level.TOTALS),
    Field("committed", INTEGER, lambda s, r: s.group.committed, Level.TOTALS),
    details("lag", stats.LENGTHS, _gauges),
    details("committed", stats.MESSAGES, _gauges),
    Field("member_details", array(_MEMBER), _members, Level.DETAIL),
    Field("offset_details", array(OFFSET.schema()), _offsets, Level.DETAIL),
)
"""`generation` is the group's epoch where brokers deal out; `committed` are all offsets together, so that its
rate is how much is read."""
# fmt: on


def groups(request: Request) -> Listing:
    view = view_of(request)
    found = (Shown(view, group) for group in view.groups() if lists(request, "group", group.name))
    return Listing(found, GROUP)


def group(request: Request) -> Iterator[bytes]:
    return show(Shown(view_of(request), group_of(request)), GROUP, request)


async def remove(request: Request) -> None:
    found = group_of(request)
    demand(request, "delete group", found.name)
    view_of(request).delete_group(found.name)
    await request.work.stored()


def offsets(request: Request) -> Listing:
    return Listing(group_of(request).places, OFFSET)


def show_explanation(request: Request) -> dict[str, Any]:
    view = view_of(request)
    case = Case(group_of(request), view, request.core, request.now_ms)
    return {"summary": summary(case), "findings": [finding._asdict() for finding in explain(case)]}


# --- resetting ---------------------------------------------------------------------------------------------


class ResetBody(msgspec.Struct):
    """Where a group is to go on: `to` is earliest, latest, offset (with `offset`), time (with `timestamp`,
    milliseconds) or shift (by `offset`, which may be negative). Of all partitions, or of these."""

    topic: str
    to: str
    partitions: list[int] | None = None
    offset: int | None = None
    timestamp: int | None = None


async def _place(request: Request, body: ResetBody, topic: Topic, index: int) -> int:
    """Where one partition goes on, within what it has. Raises 400."""
    partition = topic.partitions[index].partition
    log = partition.log
    start, end = log.offsets().start, log.committed
    match body.to, body.offset, body.timestamp:
        case "earliest", None, None:
            wanted = start
        case "latest", None, None:
            wanted = end
        case "offset", int(offset), None:
            wanted = offset
        case "shift", int(offset), None:
            places = {(place.topic, place.partition): place for place in _seen(request)}
            place = places.get((topic.name, index))
            if place is None or place.offset is None:
                raise bad_request(f"nothing was committed for {topic.name}-{index} that could be shifted")
            wanted = place.offset + offset
        case "time", None, int(timestamp) if timestamp >= 0:
            wanted = await offset_at(request, partition, timestamp)
        case _:
            raise bad_request(
                "to is earliest or latest; or offset or shift with an offset; or time with a timestamp"
            )
    return min(max(start, wanted), end)


def _seen(request: Request) -> list[Place]:
    found = view_of(request).group(request.path["group"])
    return [] if found is None else found.places


async def reset(request: Request) -> list[dict[str, Any]]:
    """Set offsets of a group in which nobody is; answers with what they are then."""
    view, name, body = view_of(request), request.path["group"], request.body
    demand(request, "read group", name)
    demand(request, "read topic", body.topic)
    topic = view.topics.get(body.topic)
    if topic is None:
        raise not_found()
    count = len(topic.partitions)
    indexes = range(count) if body.partitions is None else sorted(set(body.partitions))
    if not all(0 <= index < count for index in indexes):
        raise bad_request(f"the partitions of {topic.name} are 0 to {count - 1}")
    wanted = {index: await _place(request, body, topic, index) for index in indexes}
    if not topic.exists:
        raise not_found()
    view.commit(name, topic, wanted)
    await request.work.stored()
    return [
        OFFSET.describe(place, request, _ALL)
        for place in _seen(request)
        if place.topic == topic.name and place.partition in wanted
    ]


_ONE = "/kafka/groups/{group}"
ROUTES = (
    Route(
        "GET",
        "/kafka/groups",
        groups,
        MANAGEMENT,
        "All groups that the user may see.",
        Many(GROUP),
        parameters=(*LISTING, *STATS, *SAMPLES),
    ),
    Route(
        "GET",
        _ONE,
        group,
        MANAGEMENT,
        "A group, with its members, its offsets and its lag.",
        GROUP,
        parameters=(*COLUMNS, *STATS, *SAMPLES),
    ),
    Route("DELETE", _ONE, remove, MANAGEMENT, "Forget a group without members.", status=204),
    Route(
        "GET",
        f"{_ONE}/offsets",
        offsets,
        MANAGEMENT,
        "How far a group is in each partition.",
        Many(OFFSET),
        parameters=LISTING,
    ),
    Route(
        "PUT",
        f"{_ONE}/offsets",
        reset,
        MANAGEMENT,
        "Have a group without members go on elsewhere.",
        array(OFFSET.schema()),
        body=ResetBody,
    ),
    Route(
        "GET",
        f"{_ONE}/explain",
        show_explanation,
        MANAGEMENT,
        "Why a group is as it is.",
        EXPLANATION,
    ),
)
