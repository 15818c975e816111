"""Dealing out partitions on the broker (K55): all of them, each once, evenly, and with little moved."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings, strategies

from pillarbox.protocols.kafka.groups.assignors import (
    ASSIGNORS,
    NO_PARTS,
    Parts,
    Wish,
    ranges,
    simple,
    uniform,
)

pytestmark = pytest.mark.row("K55")

TOPICS = [bytes([number]) * 16 for number in range(4)]
A, B, C, D = TOPICS


def wishes(**topics: list[bytes]) -> dict[str, Wish]:
    return {member_id: Wish(frozenset(wanted), NO_PARTS) for member_id, wanted in topics.items()}


def again(before: dict[str, Wish], given: dict[str, Parts], **more: Wish) -> dict[str, Wish]:
    """The same members after a round, and others."""
    return {name: wish._replace(before=given[name]) for name, wish in before.items()} | more


@pytest.mark.parametrize("name", ASSIGNORS)
@settings(max_examples=150, deadline=None)
@given(data=strategies.data())
def test_assignor_gives_each_wanted_partition_to_one_who_wants_it(
    name: str, data: strategies.DataObject
) -> None:
    members = data.draw(strategies.integers(0, 5))
    counts = data.draw(strategies.dictionaries(strategies.sampled_from(TOPICS), strategies.integers(1, 6)))
    wanted = {
        f"m{number}": Wish(
            frozenset(data.draw(strategies.sets(strategies.sampled_from(TOPICS)))),
            frozenset(
                data.draw(
                    strategies.sets(
                        strategies.tuples(strategies.sampled_from(TOPICS), strategies.integers(0, 7)),
                        max_size=6,
                    )
                )
            ),
        )
        for number in range(members)
    }
    given = ASSIGNORS[name](wanted, counts)
    assert given.keys() == wanted.keys()
    dealt = [part for parts in given.values() for part in parts]
    somebodys = frozenset[bytes]().union(*(wish.topics for wish in wanted.values()))
    due = {
        (topic, number) for topic, count in counts.items() if topic in somebodys for number in range(count)
    }
    assert len(dealt) == len(set(dealt))
    assert set(dealt) == due
    assert all(topic in wanted[member].topics for member, parts in given.items() for topic, _ in parts)
    if name == "uniform" and members and all(wish.topics >= counts.keys() for wish in wanted.values()):
        loads = [len(parts) for parts in given.values()]
        assert max(loads) - min(loads) <= 1


def test_uniform_moves_no_more_than_a_new_member_needs() -> None:
    counts = {A: 4, B: 5}
    two = wishes(m1=[A, B], m2=[A, B])
    first = uniform(two, counts)
    second = uniform(again(two, first, m3=Wish(frozenset((A, B)), NO_PARTS)), counts)
    assert [len(second[name]) for name in ("m1", "m2", "m3")] == [3, 3, 3]
    assert second["m1"] < first["m1"]
    assert second["m2"] < first["m2"]


def test_uniform_moves_nothing_where_nothing_has_changed() -> None:
    counts = {A: 3, B: 4, C: 2}
    mixed = wishes(m1=[A, B], m2=[B, C], m3=[A])
    first = uniform(mixed, counts)
    assert uniform(again(mixed, first), counts) == first


def test_uniform_evens_out_what_wishes_allow() -> None:
    """Nobody but m1 wants A, so B goes to m2."""
    given = uniform(wishes(m1=[A, B], m2=[B]), {A: 4, B: 3})
    assert given == {"m1": {(A, number) for number in range(4)}, "m2": {(B, number) for number in range(3)}}


def test_uniform_takes_from_one_who_has_all_what_two_may_share() -> None:
    before = frozenset((B, number) for number in range(4))
    given = uniform(
        {"m1": Wish(frozenset((A, B)), before), "m2": Wish(frozenset((B,)), NO_PARTS)}, {A: 0, B: 4}
    )
    assert [len(given["m1"]), len(given["m2"])] == [2, 2]


def test_range_cuts_topics_of_the_same_size_at_the_same_places() -> None:
    given = ranges(wishes(m2=[A, B], m1=[A, B]), {A: 3, B: 3})
    assert given["m1"] == {(A, 0), (A, 1), (B, 0), (B, 1)}
    assert given["m2"] == {(A, 2), (B, 2)}


# --- share groups -------------------------------------------------------------------------------------------


@pytest.mark.row("K56")
@settings(max_examples=150, deadline=None)
@given(data=strategies.data())
def test_members_of_a_share_group_have_something_each_and_all_partitions_somebody(
    data: strategies.DataObject,
) -> None:
    members = data.draw(strategies.integers(0, 9))
    counts = data.draw(strategies.dictionaries(strategies.sampled_from(TOPICS), strategies.integers(1, 4)))
    alike = data.draw(strategies.booleans())
    some = strategies.sets(strategies.sampled_from(TOPICS))
    topics = data.draw(some)
    wanted = {
        f"m{number}": Wish(frozenset(topics if alike else data.draw(some)), NO_PARTS)
        for number in range(members)
    }
    given = simple(wanted, counts)
    assert given.keys() == wanted.keys()
    for member, wish in wanted.items():
        there = wish.topics & counts.keys()
        assert bool(given[member]) == bool(there)
        assert {topic for topic, _ in given[member]} <= there
    somebodys = frozenset[bytes]().union(*(wish.topics for wish in wanted.values())) & counts.keys()
    due = {(topic, number) for topic in somebodys for number in range(counts[topic])}
    assert frozenset[tuple[bytes, int]]().union(*given.values()) == due
    if alike and due:
        takers = Counter(part for parts in given.values() for part in parts)
        assert max(takers.values()) - min(takers.values()) <= 1
        loads = [len(parts) for parts in given.values()]
        assert max(loads) - min(loads) <= 1


@pytest.mark.row("K56")
def test_members_of_a_share_group_keep_what_they_have() -> None:
    counts = {A: 2}
    before = wishes(a=[A], b=[A], c=[A], d=[A])
    given = simple(before, counts)
    assert simple(again(before, given), counts) == given
    kept = again(before, given)
    del kept["a"]
    after = simple(kept, counts)
    assert [after[name] for name in "bcd"] == [given[name] for name in "bcd"]
    grown = simple(again(before, given), {A: 3})
    assert sum(grown[name] == given[name] for name in "abcd") >= 2
