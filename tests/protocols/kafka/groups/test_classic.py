"""Classic groups: every state with every input, rounds, instances, timeouts (rows K50-K53, K57)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from pillarbox.protocols.kafka.errors import ErrorCode
from pillarbox.protocols.kafka.groups.classic import TRANSITIONS, ClassicGroup, Input, State
from pillarbox.protocols.kafka.groups.member import Joined, Synced
from tests.protocols.kafka.groups.hall import (
    RANGE,
    ROUND_MS,
    SESSION_MS,
    Answers,
    Hall,
    join,
    settle,
    sync,
)

pytestmark = pytest.mark.row("K50")

LEADER, FOLLOWER = "c-1", "c-2"
WAITS = "waits"
CHANGED = (("range", b"other topics"),)


def group_in(state: State) -> ClassicGroup:
    """A group in this state; where it can have members it has the leader c-1 and c-2."""
    group = ClassicGroup("g", Hall())
    if state is State.DEAD:
        group.delete()
    if state in (State.EMPTY, State.DEAD):
        return group
    join(group)
    join(group)
    join(group, LEADER)
    if state is not State.COMPLETING:
        settle(group)
    if state is State.PREPARING:
        join(group)
    assert (group.state, group.leader) == (state, LEADER)
    return group


def heard(answers: Answers) -> object:
    return answers.last.error if answers else WAITS


INPUTS: dict[str, Callable[[ClassicGroup], object]] = {
    "a new member joins": lambda g: heard(join(g)),
    "a new member asks for an id": lambda g: heard(join(g, needs_id=True)),
    "an unknown member joins": lambda g: heard(join(g, "c-99")),
    "one joins with a protocol nobody else has": lambda g: heard(join(g, protocols=(("other", b""),))),
    "one joins with another protocol type": lambda g: heard(join(g, protocol_type="connect")),
    "one joins with no protocol": lambda g: heard(join(g, protocols=())),
    "the leader joins": lambda g: heard(join(g, LEADER)),
    "a follower joins": lambda g: heard(join(g, FOLLOWER)),
    "a follower joins with other topics": lambda g: heard(join(g, FOLLOWER, protocols=CHANGED)),
    "the leader syncs": lambda g: heard(sync(g, LEADER)),
    "a follower syncs": lambda g: heard(sync(g, FOLLOWER)),
    "a member syncs for another round": lambda g: heard(sync(g, FOLLOWER, generation=77)),
    "a member syncs for another protocol": lambda g: heard(sync(g, FOLLOWER, protocol_name="other")),
    "a member syncs for another type": lambda g: heard(sync(g, FOLLOWER, protocol_type="connect")),
    "a stranger syncs": lambda g: heard(sync(g, "c-99")),
    "a member is there": lambda g: g.heartbeat(FOLLOWER, None, g.generation),
    "a member is there for another round": lambda g: g.heartbeat(FOLLOWER, None, 77),
    "a stranger is there": lambda g: g.heartbeat("c-99", None, g.generation),
    "the leader leaves": lambda g: g.leave([(LEADER, None)])[0],
    "a stranger leaves": lambda g: g.leave([("c-99", None)])[0],
    "a member commits": lambda g: g.check_commit(FOLLOWER, None, g.generation),
    "a member commits for another round": lambda g: g.check_commit(FOLLOWER, None, 77),
    "nobody commits": lambda g: g.check_commit("", None, -1),
    "offsets are asked for": lambda g: g.check_fetch(None, -1),
    "offsets are deleted": lambda g: g.check_offset_delete(),
}

E = ErrorCode
EMPTY, PREPARING, COMPLETING, STABLE, DEAD = State
UNKNOWN, GONE = E.UNKNOWN_MEMBER_ID, E.COORDINATOR_NOT_AVAILABLE
REBALANCE, OK, ILLEGAL = E.REBALANCE_IN_PROGRESS, E.NONE, E.ILLEGAL_GENERATION
INCONSISTENT = E.INCONSISTENT_GROUP_PROTOCOL

EXPECTED: dict[str, list[tuple[object, State]]] = {
    # What each is answered, and the state then, from Empty, Preparing, Completing, Stable, Dead.
    "a new member joins": [
        (OK, COMPLETING), (WAITS, PREPARING), (WAITS, PREPARING), (WAITS, PREPARING), (GONE, DEAD)],
    "a new member asks for an id": [
        (E.MEMBER_ID_REQUIRED, EMPTY), (E.MEMBER_ID_REQUIRED, PREPARING), (E.MEMBER_ID_REQUIRED, COMPLETING),
        (E.MEMBER_ID_REQUIRED, STABLE), (GONE, DEAD)],
    "an unknown member joins": [
        (UNKNOWN, EMPTY), (UNKNOWN, PREPARING), (UNKNOWN, COMPLETING), (UNKNOWN, STABLE), (GONE, DEAD)],
    "one joins with a protocol nobody else has": [
        (OK, COMPLETING), (INCONSISTENT, PREPARING), (INCONSISTENT, COMPLETING), (INCONSISTENT, STABLE),
        (GONE, DEAD)],
    "one joins with another protocol type": [
        (OK, COMPLETING), (INCONSISTENT, PREPARING), (INCONSISTENT, COMPLETING), (INCONSISTENT, STABLE),
        (GONE, DEAD)],
    "one joins with no protocol": [
        (INCONSISTENT, EMPTY), (INCONSISTENT, PREPARING), (INCONSISTENT, COMPLETING), (INCONSISTENT, STABLE),
        (GONE, DEAD)],
    "the leader joins": [
        (UNKNOWN, EMPTY), (WAITS, PREPARING), (OK, COMPLETING), (WAITS, PREPARING), (GONE, DEAD)],
    "a follower joins": [
        (UNKNOWN, EMPTY), (WAITS, PREPARING), (OK, COMPLETING), (OK, STABLE), (GONE, DEAD)],
    "a follower joins with other topics": [
        (UNKNOWN, EMPTY), (WAITS, PREPARING), (WAITS, PREPARING), (WAITS, PREPARING), (GONE, DEAD)],
    "the leader syncs": [
        (UNKNOWN, EMPTY), (REBALANCE, PREPARING), (OK, STABLE), (OK, STABLE), (GONE, DEAD)],
    "a follower syncs": [
        (UNKNOWN, EMPTY), (REBALANCE, PREPARING), (WAITS, COMPLETING), (OK, STABLE), (GONE, DEAD)],
    "a member syncs for another round": [
        (UNKNOWN, EMPTY), (ILLEGAL, PREPARING), (ILLEGAL, COMPLETING), (ILLEGAL, STABLE), (GONE, DEAD)],
    "a member syncs for another protocol": [
        (UNKNOWN, EMPTY), (INCONSISTENT, PREPARING), (INCONSISTENT, COMPLETING), (INCONSISTENT, STABLE),
        (GONE, DEAD)],
    "a member syncs for another type": [
        (UNKNOWN, EMPTY), (INCONSISTENT, PREPARING), (INCONSISTENT, COMPLETING), (INCONSISTENT, STABLE),
        (GONE, DEAD)],
    "a stranger syncs": [
        (UNKNOWN, EMPTY), (UNKNOWN, PREPARING), (UNKNOWN, COMPLETING), (UNKNOWN, STABLE), (GONE, DEAD)],
    "a member is there": [
        (UNKNOWN, EMPTY), (REBALANCE, PREPARING), (OK, COMPLETING), (OK, STABLE), (GONE, DEAD)],
    "a member is there for another round": [
        (UNKNOWN, EMPTY), (ILLEGAL, PREPARING), (ILLEGAL, COMPLETING), (ILLEGAL, STABLE), (GONE, DEAD)],
    "a stranger is there": [
        (UNKNOWN, EMPTY), (UNKNOWN, PREPARING), (UNKNOWN, COMPLETING), (UNKNOWN, STABLE), (GONE, DEAD)],
    "the leader leaves": [
        (UNKNOWN, EMPTY), (OK, PREPARING), (OK, PREPARING), (OK, PREPARING), (UNKNOWN, DEAD)],
    "a stranger leaves": [
        (UNKNOWN, EMPTY), (UNKNOWN, PREPARING), (UNKNOWN, COMPLETING), (UNKNOWN, STABLE), (UNKNOWN, DEAD)],
    "a member commits": [
        (UNKNOWN, EMPTY), (OK, PREPARING), (REBALANCE, COMPLETING), (OK, STABLE), (GONE, DEAD)],
    "a member commits for another round": [
        (UNKNOWN, EMPTY), (ILLEGAL, PREPARING), (ILLEGAL, COMPLETING), (ILLEGAL, STABLE), (GONE, DEAD)],
    "nobody commits": [
        (OK, EMPTY), (UNKNOWN, PREPARING), (UNKNOWN, COMPLETING), (UNKNOWN, STABLE), (GONE, DEAD)],
    "offsets are asked for": [
        (OK, EMPTY), (OK, PREPARING), (OK, COMPLETING), (OK, STABLE), (E.GROUP_ID_NOT_FOUND, DEAD)],
    "offsets are deleted": [
        (OK, EMPTY), (OK, PREPARING), (OK, COMPLETING), (OK, STABLE), (E.GROUP_ID_NOT_FOUND, DEAD)],
}  # fmt: skip


@pytest.mark.parametrize(("name", "state"), list(product(INPUTS, State)))
def test_group_answers_every_input_in_every_state_as_kafka_does(name: str, state: State) -> None:
    group = group_in(state)
    answer = INPUTS[name](group)
    assert (answer, group.state) == EXPECTED[name][list(State).index(state)]


def test_group_moves_only_as_its_table_says() -> None:
    """Every state is reached and every input used; nothing leads out of Dead."""
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.DEAD}
    assert set(TRANSITIONS.values()) == set(State)
    assert {cause for _, cause in TRANSITIONS} == set(Input)


# --- rounds ---------------------------------------------------------------------------------------------


def test_group_round_tells_the_leader_alone_who_is_in() -> None:
    group = ClassicGroup("g", Hall())
    first = join(group)
    assert first.last == Joined(
        E.NONE, LEADER, 1, "consumer", "range", LEADER, members=[(LEADER, None, b"r")]
    )
    settle(group)
    follower = join(group, protocols=(("range", b"x"),))
    leader = join(group, LEADER)
    assert leader.last.members == [(LEADER, None, b"r"), (FOLLOWER, None, b"x")]
    assert follower.last == Joined(E.NONE, FOLLOWER, 2, "consumer", "range", LEADER)


def test_group_followers_wait_for_the_leader_and_who_gets_nothing_is_told_so() -> None:
    group = group_in(State.COMPLETING)
    follower = sync(group, FOLLOWER)
    assert not follower
    leader = sync(group, LEADER, {LEADER: b"all", "c-77": b"nobody's"})
    assert leader.last == Synced(E.NONE, b"all", "consumer", "range")
    assert follower.last == Synced(E.NONE, b"", "consumer", "range")


@pytest.mark.row("K51")
def test_group_takes_the_protocol_that_most_like_best_of_those_that_all_can_speak() -> None:
    """K51: a protocol that one of them lacks has no chance, however many like it."""
    group = ClassicGroup("g", Hall())
    likes = [("sticky", "range", "robin"), ("sticky", "robin", "range"), ("robin", "range")]
    for names in likes:
        join(group, protocols=tuple((name, name.encode()) for name in names))
    for member_id, names in zip(list(group.members), likes[:2], strict=False):
        join(group, member_id, protocols=tuple((name, name.encode()) for name in names))
    assert (group.state, group.protocol_name) == (State.COMPLETING, "robin")


@pytest.mark.row("K51")
def test_group_refuses_one_by_whom_nothing_in_common_would_be_left() -> None:
    group = ClassicGroup("g", Hall())
    join(group, protocols=(("range", b""), ("robin", b"")))
    join(group, protocols=(("range", b""), ("sticky", b"")))
    assert heard(join(group, protocols=(("robin", b""), ("sticky", b"")))) is E.INCONSISTENT_GROUP_PROTOCOL
    assert len(group.members) == 2


def test_group_round_begun_anew_refuses_those_who_wait_for_the_last_one() -> None:
    group = group_in(State.COMPLETING)
    follower = sync(group, FOLLOWER)
    join(group)
    assert follower.last == Synced(E.REBALANCE_IN_PROGRESS)


@pytest.mark.row("K52")
def test_group_member_may_join_again_and_again_without_being_fenced() -> None:
    """A cooperative consumer joins twice in a row: once to give up partitions, once to get others."""
    group = group_in(State.STABLE)
    for _ in range(3):
        follower = join(group, FOLLOWER, protocols=CHANGED)
        leader = join(group, LEADER)
        assert (follower.last.error, leader.last.error) == (E.NONE, E.NONE)
        assert follower.last.member_id == FOLLOWER
        settle(group)
        follower = join(group, FOLLOWER, protocols=RANGE)
        join(group, LEADER)
        assert follower.last.error is E.NONE
        settle(group)


def test_group_member_that_asks_twice_is_answered_twice() -> None:
    group = group_in(State.PREPARING)
    first, second = join(group, FOLLOWER), join(group, FOLLOWER)
    assert (heard(first), heard(second)) == (E.REBALANCE_IN_PROGRESS, WAITS)


def test_group_without_its_leader_gets_another_one() -> None:
    group = group_in(State.STABLE)
    group.leave([(LEADER, None)])
    follower = join(group, FOLLOWER)
    assert (follower.last.leader, group.leader, group.generation) == (FOLLOWER, FOLLOWER, 3)


def test_group_that_all_have_left_is_empty_in_the_next_generation_and_takes_any_type() -> None:
    group = group_in(State.STABLE)
    group.leave([(LEADER, None), (FOLLOWER, None)])
    assert (group.state, group.generation, group.protocol_type) == (State.EMPTY, 3, "consumer")
    assert heard(join(group, protocol_type="connect")) is E.NONE
    assert group.protocol_type == "connect"


def test_group_that_is_full_takes_nobody_but_its_members() -> None:
    """KIP-389."""
    group = ClassicGroup("g", Hall(group_size_max=2))
    join(group)
    join(group)
    join(group, LEADER)
    assert join(group).last == Joined(E.GROUP_MAX_SIZE_REACHED, "")
    settle(group)
    join(group, LEADER)
    assert heard(join(group, FOLLOWER)) is E.NONE


# --- ids (KIP-394) --------------------------------------------------------------------------------------


def test_group_gives_an_id_first_and_takes_in_who_comes_by_it() -> None:
    group = ClassicGroup("g", Hall())
    given = join(group, needs_id=True).last
    assert (given.error, given.member_id, len(group.members)) == (E.MEMBER_ID_REQUIRED, LEADER, 0)
    assert heard(join(group, given.member_id, needs_id=True)) is E.NONE


def test_group_waits_for_those_it_has_given_an_id_for_a_session_timeout() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group)
    settle(group)
    join(group, needs_id=True)
    leader = join(group, LEADER)
    assert heard(leader) == WAITS
    hall.advance(SESSION_MS)
    assert (heard(leader), len(group.members)) == (E.NONE, 1)


def test_group_member_may_leave_before_it_has_come() -> None:
    group = group_in(State.STABLE)
    pending = join(group, needs_id=True).last.member_id
    leader, follower = join(group, LEADER), join(group, FOLLOWER)
    assert group.leave([(pending, None)]) == [E.NONE]
    assert (heard(leader), heard(follower)) == (E.NONE, E.NONE)


# --- time -----------------------------------------------------------------------------------------------


def test_group_member_that_is_silent_for_its_session_timeout_is_out() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group)
    settle(group)
    for _ in range(5):
        hall.advance(SESSION_MS - 1)
        assert group.heartbeat(LEADER, None, 1) is E.NONE
    hall.advance(SESSION_MS)
    assert (group.state, group.members, group.generation) == (State.EMPTY, {}, 2)
    assert group.heartbeat(LEADER, None, 1) is E.UNKNOWN_MEMBER_ID


def test_group_member_that_commits_is_not_silent() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group)
    settle(group)
    hall.advance(SESSION_MS - 1)
    assert group.check_commit(LEADER, None, 1) is E.NONE
    hall.advance(SESSION_MS - 1)
    assert group.state is State.STABLE


def test_group_member_that_waits_for_the_group_is_not_silent() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    for _ in range(2):
        join(group)
    leader = join(group, LEADER)
    assert heard(leader) is E.NONE
    follower = sync(group, FOLLOWER)
    for _ in range(5):
        hall.advance(SESSION_MS - 1)
        group.heartbeat(LEADER, None, 2)
    assert heard(follower) == WAITS
    assert FOLLOWER in group.members


def test_group_member_that_does_not_join_in_the_time_of_a_round_is_out() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group)
    join(group)
    join(group, LEADER)
    settle(group)
    leader = join(group, LEADER)
    for _ in range(2 * ROUND_MS // SESSION_MS):
        assert heard(leader) == WAITS
        assert group.heartbeat(FOLLOWER, None, 2) is E.REBALANCE_IN_PROGRESS
        hall.advance(SESSION_MS // 2)
    assert leader.last.members == [(LEADER, None, b"r")]
    assert list(group.members) == [LEADER]


def test_group_member_that_does_not_ask_for_its_part_in_the_time_of_a_round_is_out() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group)
    join(group)
    join(group, LEADER)
    sync(group, LEADER)
    for _ in range(2 * ROUND_MS // SESSION_MS):
        assert set(group.members) == {LEADER, FOLLOWER}
        for member_id in (LEADER, FOLLOWER):
            assert group.heartbeat(member_id, None, 2) is E.NONE
        hall.advance(SESSION_MS // 2)
    assert list(group.members) == [LEADER]
    assert group.state is State.PREPARING


def test_group_leader_that_never_deals_out_is_replaced() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group)
    join(group)
    join(group, LEADER)
    follower = sync(group, FOLLOWER)
    hall.advance(SESSION_MS)
    assert follower.last == Synced(E.REBALANCE_IN_PROGRESS)
    assert heard(join(group, FOLLOWER)) is E.NONE
    assert group.leader == FOLLOWER


def test_group_new_member_whose_round_does_not_end_is_given_up_after_five_minutes() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group, rebalance_timeout_ms=600_000)
    settle(group)
    group.members[LEADER].rebalance_timeout_ms = 600_000
    new = join(group)
    for _ in range(300_000 // SESSION_MS * 2):
        assert heard(new) == WAITS
        hall.advance(SESSION_MS // 2)
        group.heartbeat(LEADER, None, 1)
    assert heard(new) is E.UNKNOWN_MEMBER_ID


def test_group_first_round_waits_for_more_as_long_as_more_come() -> None:
    """`group.initial.rebalance.delay.ms`, up to the rebalance timeout in all."""
    hall = Hall(initial_delay_ms=3_000)
    group = ClassicGroup("g", hall)
    first = join(group)
    hall.advance(2_999)
    second = join(group)
    assert (heard(first), heard(second)) == (WAITS, WAITS)
    hall.advance(1)
    assert heard(first) == WAITS
    hall.advance(3_000)
    assert (first.last.generation, len(first.last.members), heard(second)) == (1, 2, E.NONE)


def test_group_first_round_ends_at_the_time_of_a_round_whoever_still_comes() -> None:
    hall = Hall(initial_delay_ms=3_000)
    group = ClassicGroup("g", hall)
    first = join(group, rebalance_timeout_ms=10_000)
    for _ in range(10):
        hall.advance(1_000)
        if heard(first) == WAITS:
            join(group, rebalance_timeout_ms=10_000)
    assert (heard(first), len(first.last.members)) == (E.NONE, 10)


# --- instances (KIP-345) --------------------------------------------------------------------------------


def stable_with_instance(hall: Hall, *, leads: bool = False) -> ClassicGroup:
    """A stable group of two; instance "i" is its leader or its follower."""
    group = ClassicGroup("g", hall)
    join(group, instance_id="i" if leads else None)
    join(group, instance_id=None if leads else "i")
    settle(group)
    assert (group.leader == group.instances["i"]) == leads
    return group


@pytest.mark.row("K53")
def test_group_instance_that_comes_back_has_its_part_and_nobody_else_is_disturbed() -> None:
    hall = Hall()
    group = stable_with_instance(hall)
    old_id = group.instances["i"]
    back = join(group, instance_id="i").last
    assert (back.error, back.generation, back.leader, group.state) == (E.NONE, 2, group.leader, State.STABLE)
    assert back.member_id != old_id
    part = sync(group, back.member_id, instance_id="i", generation=back.generation)
    assert part.last.assignment == f"work of {old_id}".encode()
    assert group.heartbeat(old_id, "i", 2) is E.FENCED_INSTANCE_ID


@pytest.mark.row("K53")
@pytest.mark.parametrize("may_skip", [True, False])
def test_group_instance_that_led_need_not_deal_out_again(may_skip: bool) -> None:
    """KIP-814; an older client is told that its former self leads, so that it does not."""
    group = stable_with_instance(Hall(), leads=True)
    old_id = group.instances["i"]
    back = join(group, instance_id="i", may_skip=may_skip).last
    assert group.leader == back.member_id
    assert back.skip_assignment == may_skip
    assert back.leader == (back.member_id if may_skip else old_id)
    assert len(back.members) == (2 if may_skip else 0)
    assert sync(group, back.member_id, instance_id="i").last.assignment == f"work of {old_id}".encode()


@pytest.mark.row("K53")
def test_group_instance_that_changes_what_all_speak_begins_a_round() -> None:
    group = ClassicGroup("g", Hall())
    both = (("range", b""), ("robin", b""))
    join(group, protocols=both)
    join(group, protocols=both, instance_id="i")
    settle(group)
    assert heard(join(group, protocols=(("robin", b""),), instance_id="i")) == WAITS
    assert group.state is State.PREPARING


@pytest.mark.row("K53")
def test_group_instance_that_comes_back_while_parts_are_dealt_out_begins_a_round() -> None:
    group = ClassicGroup("g", Hall())
    join(group)
    join(group, instance_id="i")
    join(group, LEADER)
    old = sync(group, group.instances["i"], instance_id="i")
    assert heard(join(group, instance_id="i")) == WAITS
    assert (old.last.error, group.state) == (E.FENCED_INSTANCE_ID, State.PREPARING)


@pytest.mark.row("K53")
def test_group_instance_that_joins_twice_fences_its_first_self() -> None:
    group = group_in(State.STABLE)
    first = join(group, instance_id="i")
    second = join(group, instance_id="i")
    assert (heard(first), heard(second)) == (E.FENCED_INSTANCE_ID, WAITS)
    assert len(group.members) == 3


@pytest.mark.row("K53")
def test_group_instance_of_another_id_is_fenced_and_one_that_is_not_there_is_unknown() -> None:
    group = stable_with_instance(Hall())
    for instance_id, error in (("i", E.FENCED_INSTANCE_ID), ("j", E.UNKNOWN_MEMBER_ID)):
        assert heard(join(group, LEADER, instance_id=instance_id)) is error
        assert heard(sync(group, LEADER, instance_id=instance_id)) is error
        assert group.heartbeat(LEADER, instance_id, 2) is error
        assert group.check_commit(LEADER, instance_id, 2) is error
        assert group.leave([(LEADER, instance_id)]) == [error]


@pytest.mark.row("K53")
def test_group_instances_stay_through_a_round_until_they_are_silent() -> None:
    """Nobody of them has joined by the end of the round: it is not over until one does, or all are lost."""
    hall = Hall()
    group = ClassicGroup("g", hall)
    long = {"session_timeout_ms": 300_000, "rebalance_timeout_ms": 20_000}
    join(group, **long)
    join(group, instance_id="i", **long)
    settle(group)
    for member in group.members.values():
        member.session_timeout_ms = 300_000
    member_id = group.instances["i"]
    group.heartbeat(member_id, "i", 2)
    group.leave([(LEADER, None)])
    hall.advance(250_000)
    assert (group.state, list(group.members)) == (State.PREPARING, [member_id])
    hall.advance(50_000)
    assert group.members == {}
    hall.advance(ROUND_MS)
    assert group.state is State.EMPTY


@pytest.mark.row("K53")
def test_group_instance_can_be_taken_out_by_its_name_alone() -> None:
    group = stable_with_instance(Hall())
    assert group.leave([("", "j"), ("", "i"), ("", "i")]) == [UNKNOWN, OK, UNKNOWN]
    assert (group.state, group.instances) == (State.PREPARING, {})


# --- restarts -------------------------------------------------------------------------------------------


def test_group_goes_on_after_a_restart_as_it_was_dealt_out() -> None:
    hall = Hall()
    group = stable_with_instance(hall)
    assert hall.kept is not None
    again = ClassicGroup("g", hall)
    again.restore(hall.kept)
    assert again.record() == group.record()
    assert again.state is State.STABLE
    assert again.heartbeat(LEADER, None, 2) is E.NONE
    assert sync(again, LEADER).last.assignment == f"work of {LEADER}".encode()
    assert again.check_commit(group.instances["i"], "i", 2) is E.NONE
    hall.advance(SESSION_MS)
    assert again.members == {}


def test_group_that_was_empty_is_empty_after_a_restart_since_then() -> None:
    hall = Hall()
    group = ClassicGroup("g", hall)
    join(group)
    settle(group)
    group.leave([(LEADER, None)])
    hall.advance(5_000)
    assert hall.kept is not None
    again = ClassicGroup("g", hall)
    again.restore(hall.kept)
    assert (again.state, again.since_ms, again.protocol_type) == (State.EMPTY, group.since_ms, "consumer")
