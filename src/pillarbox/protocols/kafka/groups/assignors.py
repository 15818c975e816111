"""Who of a group reads which partitions, where the broker deals them out (KIP-848).

An assignor gets what each member wants and has, and how many partitions each topic has, and returns what
each is to have. It is pure and gives the same for the same. Every partition that somebody wants goes to
exactly one of those who want it.

Not here: how a group gets from what is to what is to be (`consumer`). Source: KIP-848, "Server side
assignors".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

Part = tuple[bytes, int]
"""Topic id and partition."""
Parts = frozenset[Part]
NO_PARTS: Final[Parts] = frozenset()


class Wish(NamedTuple):
    """What a member wants: topic ids; and what it was to have before."""

    topics: frozenset[bytes]
    before: Parts
    instance_id: str | None = None


Assignor = Callable[[Mapping[str, Wish], Mapping[bytes, int]], dict[str, Parts]]
"""(wish by member id, partition count by topic id) -> parts by member id."""


def uniform(wishes: Mapping[str, Wish], counts: Mapping[bytes, int]) -> dict[str, Parts]:
    """Deal out as evenly as wishes allow; who has something keeps it unless it has more than its share.

    Cost: O(partitions x log members), and for each partition of a topic that not all want as many looks as
    there are members who do.
    """
    wanted = _wanted(wishes, counts)
    given: dict[str, set[Part]] = {member_id: set() for member_id in sorted(wishes)}
    all_want = {part: members for part, members in wanted.items() if members}
    taken = _kept(wishes, all_want, given)
    everybody = len(given)
    if not given:
        return {}
    if all(len(members) == everybody for members in all_want.values()):
        _trim(given, len(all_want), taken)
        loads = [(len(parts), member_id) for member_id, parts in given.items()]
        heapify(loads)
        for part in sorted(all_want.keys() - taken):
            load, member_id = heappop(loads)
            given[member_id].add(part)
            heappush(loads, (load + 1, member_id))
    else:
        # Those who have the fewest takers first.
        for part in sorted(all_want.keys() - taken, key=lambda one: (len(all_want[one]), one)):
            given[min(all_want[part], key=lambda one: (len(given[one]), one))].add(part)
        _even_out(given, all_want)
    return {member_id: frozenset(parts) for member_id, parts in given.items()}


def ranges(wishes: Mapping[str, Wish], counts: Mapping[bytes, int]) -> dict[str, Parts]:
    """Deal out each topic in stretches; topics alike in size and takers are cut at the same places."""
    given: dict[str, set[Part]] = {member_id: set() for member_id in wishes}
    order = sorted(wishes, key=lambda one: (wishes[one].instance_id or one, one))
    for topic, count in counts.items():
        takers = [member_id for member_id in order if topic in wishes[member_id].topics]
        first = 0
        for position, member_id in enumerate(takers):
            size = count // len(takers) + (position < count % len(takers))
            given[member_id].update((topic, number) for number in range(first, first + size))
            first += size
    return {member_id: frozenset(parts) for member_id, parts in given.items()}


def simple(wishes: Mapping[str, Wish], counts: Mapping[bytes, int]) -> dict[str, Parts]:
    """Deal out for a share group, whose members may have the same partition: every member has one at least,
    and every partition somebody, as evenly as that goes.

    Where all want the same topics, these are dealt out together, else topic by topic.
    """
    given: dict[str, set[Part]] = {member_id: set() for member_id in sorted(wishes)}
    alike = len({wish.topics for wish in wishes.values()}) <= 1
    somebodys = sorted(counts.keys() & frozenset[bytes]().union(*(wish.topics for wish in wishes.values())))
    for topics in [somebodys] if alike else [[topic] for topic in somebodys]:
        takers = {one: wish for one, wish in wishes.items() if wish.topics.intersection(topics)}
        some = {topic: counts[topic] for topic in topics}
        dealt = _shared(takers, some) if len(takers) > sum(some.values()) else uniform(takers, some)
        for member_id, parts in dealt.items():
            given[member_id] |= parts
    return {member_id: frozenset(parts) for member_id, parts in given.items()}


def _shared(wishes: Mapping[str, Wish], counts: Mapping[bytes, int]) -> dict[str, Parts]:
    """One partition for each of more members than there are partitions; who has one keeps it if it may."""
    loads = {(topic, number): 0 for topic, count in counts.items() for number in range(count)}
    if not loads:
        return {}
    least, more = divmod(len(wishes), len(loads))
    given: dict[str, Parts] = {}
    for member_id in sorted(wishes):
        for part in sorted(wishes[member_id].before & loads.keys()):
            over = loads[part] >= least
            if loads[part] < least + (over and more > 0):
                loads[part] += 1
                more -= over
                given[member_id] = frozenset((part,))
                break
    heap = [(load, part) for part, load in loads.items()]
    heapify(heap)
    for member_id in sorted(wishes.keys() - given.keys()):
        load, part = heappop(heap)
        given[member_id] = frozenset((part,))
        heappush(heap, (load + 1, part))
    return given


ASSIGNORS: Final[Mapping[str, Assignor]] = {"uniform": uniform, "range": ranges}
"""By name; the first is taken where nobody asks for one."""


def _wanted(wishes: Mapping[str, Wish], counts: Mapping[bytes, int]) -> dict[Part, list[str]]:
    takers: dict[bytes, list[str]] = {topic: [] for topic in counts}
    for member_id in sorted(wishes):
        for topic in wishes[member_id].topics:
            if topic in takers:
                takers[topic].append(member_id)
    return {(topic, number): takers[topic] for topic, count in counts.items() for number in range(count)}


def _kept(
    wishes: Mapping[str, Wish], wanted: Mapping[Part, list[str]], given: dict[str, set[Part]]
) -> set[Part]:
    """Leave everybody what it had and still wants; return all of it."""
    taken: set[Part] = set()
    for member_id, parts in given.items():
        wish = wishes[member_id]
        mine = {part for part in wish.before if part in wanted and part[0] in wish.topics} - taken
        parts |= mine
        taken |= mine
    return taken


def _trim(given: dict[str, set[Part]], total: int, taken: set[Part]) -> None:
    """Take from everybody what is more than an even share; as many as the rest allows may have one more."""
    share, more = divmod(total, len(given))
    for parts in given.values():
        over = len(parts) > share and more > 0
        more -= over
        for part in sorted(parts)[share + over :]:
            parts.remove(part)
            taken.remove(part)


def _even_out(given: dict[str, set[Part]], wanted: Mapping[Part, list[str]]) -> None:
    """Move partitions from who has more to who wants them and has two fewer, while there are such."""
    moved = True
    while moved:
        moved = False
        for giver in sorted(given, key=lambda one: (-len(given[one]), one)):
            for part in sorted(given[giver]):
                taker = min(wanted[part], key=lambda one: (len(given[one]), one))
                if len(given[taker]) + 1 < len(given[giver]):
                    given[giver].remove(part)
                    given[taker].add(part)
                    moved = True
