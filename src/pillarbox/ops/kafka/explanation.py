"""Why is a group as it is? One sentence, and findings, as for queues (`ops.management.explanation`).

Each finding is one function in `FINDINGS`. What a broker can see of a consumer is when it was last heard of
and what it has committed when; whether it works or hangs is told from these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.ops.management.explanation import NOTE, PROBLEM, WARNING, Finding, ago, most_serious_first

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.protocols.kafka.groups.seen import Place, SeenGroup, SeenMember
    from pillarbox.protocols.kafka.view import View

SILENT_MS = 10_000
"""Clients are heard of every three to five seconds by default; after two such times something is odd."""
COMMITTED_MS = 60_000
"""Clients commit every five seconds by default, and at the latest when they poll the next time."""
PLACES_SHOWN = 10


class Case(NamedTuple):
    """What is to be explained."""

    group: SeenGroup
    view: View
    core: Core
    now_ms: int


def summary(case: Case) -> str:
    """The group in one sentence."""
    group, lag = case.group, case.group.lag
    members = group.member_count
    parts = [
        group.state,
        f"{members:,} member{'' if members == 1 else 's'}" if members else "no member",
        "no lag known" if lag is None else f"{lag:,} behind in {_partitions(len(group.places))}",
    ]
    return "; ".join(parts)


def explain(case: Case) -> list[Finding]:
    """Everything that was found, the most serious first."""
    return most_serious_first(finding for find in FINDINGS for finding in find(case))


# --- what there is to find ---------------------------------------------------------------------------------


def _storage(case: Case) -> Iterator[Finding]:
    if case.core.failure is not None:
        yield Finding("storage-failed", PROBLEM, f"nothing can be stored: {case.core.failure}")


def _nobody(case: Case) -> Iterator[Finding]:
    group = case.group
    if group.is_empty:
        since_ms = group.since_ms
        since = "" if since_ms is None else f", for {ago(case.now_ms - since_ms)}"
        if group.lag:
            yield Finding("no-member", PROBLEM, f"nobody is in it{since}: {group.lag:,} records wait")
        else:
            yield Finding("no-member", NOTE, f"nobody is in it{since}")


def _rebalancing(case: Case) -> Iterator[Finding]:
    """A round of a classic group, or steps of members towards what they are to have."""
    group = case.group
    waiting = [member for member in group.members if member.waits_for]
    if group.kind == "classic" and group.state.endswith("Rebalance"):
        since = ago(case.now_ms - (group.since_ms or case.now_ms))
        late = "; ".join(map(_who, waiting)) or "the leader"
        what = "to join again" if group.state.startswith("Preparing") else "to ask for its part"
        text = f"it has been rebalancing for {since}, and nobody gets records: {late} has yet {what}"
        yield Finding("rebalancing", PROBLEM, text)
        return
    for member in waiting:
        if member.waits_for == "revoke":
            text = f"{_who(member)} has yet to give up partitions that others are to have"
            yield Finding("revoking", WARNING, text)
        else:
            yield Finding(
                "waits", NOTE, f"{_who(member)} waits for partitions that others have yet to give up"
            )


def _silent(case: Case) -> Iterator[Finding]:
    for member in case.group.members:
        silent_ms = case.now_ms - member.heard_ms
        if silent_ms >= SILENT_MS and not member.waits_for:
            text = f"{_who(member)} was last heard of {ago(silent_ms)} ago"
            yield Finding("silent-member", WARNING, text)


def _not_committing(case: Case) -> Iterator[Finding]:
    """Somebody has it, there is something to read, and nothing happens."""
    by_member: dict[str, list[Place]] = {}
    for place in case.group.places:
        if place.member is None or not place.lag or place.committed_ms is None:
            continue
        if case.now_ms - place.committed_ms >= COMMITTED_MS:
            by_member.setdefault(_who(place.member), []).append(place)
    for who, places in by_member.items():
        newest_ms = max(place.committed_ms or 0 for place in places)
        text = (
            f"{who} has committed nothing for {ago(case.now_ms - newest_ms)} in {_names(places)}, "
            f"{sum(place.lag or 0 for place in places):,} behind: it does not poll, or does not commit"
        )
        yield Finding("not-committing", PROBLEM, text)


def _behind(case: Case) -> Iterator[Finding]:
    """Where it is behind, the most first."""
    if case.group.is_empty:
        return
    places = sorted((place for place in case.group.places if place.lag), key=lambda place: -(place.lag or 0))
    for place in places[:PLACES_SHOWN]:
        reader = "no member reads it" if place.member is None else f"read by {_who(place.member)}"
        severity = WARNING if place.member is None else NOTE
        yield Finding("behind", severity, f"{_name(place)} is {place.lag:,} behind; {reader}")


def _unassigned(case: Case) -> Iterator[Finding]:
    """Partitions of topics that members want, and no member has; members that have none."""
    group = case.group
    if group.is_empty or group.state != "Stable":
        return
    taken = {(place.topic, place.partition) for place in group.places if place.member is not None}
    for name in sorted({topic for member in group.members for topic in member.topics}):
        topic = case.view.topics.get(name)
        if topic is None:
            yield Finding("no-topic", WARNING, f"it wants to read {name}, which does not exist")
            continue
        free = [str(index) for index in range(len(topic.partitions)) if (name, index) not in taken]
        if free:
            text = f"no member has of {name}: {', '.join(free[:PLACES_SHOWN])}"
            yield Finding("unassigned", WARNING, text)
    idle = [member for member in group.members if not member.assigned and not member.waits_for]
    if idle:
        text = f"members without a partition, for there are not more to deal out: {len(idle):,}"
        yield Finding("idle-members", NOTE, text)


def _offsets(case: Case) -> Iterator[Finding]:
    """Committed offsets that lead nowhere, and partitions without one."""
    places = case.group.places
    for place in places:
        if place.offset is None or place.start is None or place.end is None:
            continue
        if place.offset < place.start:
            text = (
                f"{_name(place)}: offset {place.offset:,} has been removed, the first is {place.start:,}; "
                "a reader goes on where its auto.offset.reset says"
            )
            yield Finding("offset-removed", WARNING, text)
        elif place.offset > place.end:
            text = f"{_name(place)}: offset {place.offset:,} is beyond the end, {place.end:,}"
            yield Finding("offset-beyond-end", WARNING, text)
    gone = [one for one in places if one.end is None]
    if gone:
        yield Finding("gone", WARNING, f"it has committed for what is not there any more: {_names(gone)}")
    unknown = [one for one in places if one.offset is None and one.end is not None]
    if unknown:
        yield Finding("no-offset", NOTE, f"no lag known: nothing was committed for {_names(unknown)}")


def _open_transactions(case: Case) -> Iterator[Finding]:
    """What holds up readers of committed records."""
    started = {one.producer_id: one for one in case.view.transactions() if case.view.is_open(one)}
    for place in case.group.places:
        topic = case.view.topics.get(place.topic)
        if topic is None or place.stable is None or place.end is None or place.stable >= place.end:
            continue
        if (place.offset or 0) < place.stable:
            continue
        for producer_id, first in topic.partitions[place.partition].log.open_transactions.items():
            known = started.get(producer_id)
            whose = f"producer {producer_id}" if known is None else f"'{known.name}'"
            since = "" if known is None else f", open for {ago(case.now_ms - known.started_ms)}"
            text = (
                f"{_name(place)}: a transaction of {whose}{since}, holds readers of committed records "
                f"at offset {first:,} of {place.end:,}"
            )
            yield Finding("open-transaction", WARNING, text)


FINDINGS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _storage,
    _nobody,
    _rebalancing,
    _not_committing,
    _silent,
    _open_transactions,
    _offsets,
    _unassigned,
    _behind,
)


def _who(member: SeenMember) -> str:
    name = f"instance {member.instance_id}" if member.instance_id else member.client_id or member.id
    return f"{name} ({member.host})"


def _name(place: Place) -> str:
    return f"{place.topic}/{place.partition}"


def _names(places: Iterable[Place]) -> str:
    names = [_name(place) for place in places]
    more = f" and {len(names) - PLACES_SHOWN:,} more" if len(names) > PLACES_SHOWN else ""
    return ", ".join(names[:PLACES_SHOWN]) + more


def _partitions(count: int) -> str:
    return f"{count:,} partition{'' if count == 1 else 's'}"
