"""What must hold of a simulated broker: after every step, when all is quiet, and after a restart.

Each function compares what the broker holds with what the model knows (`simulated_queues`), and raises
AssertionError with words. Not here: what can be seen from a single answer to a client (`simulated_answers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.broker.queue import Queue
from pillarbox.broker.schedule_lane import cost_of
from pillarbox.testing.simulated_client import ClientChannel
from pillarbox.testing.simulated_queues import NEVER, SimulatedQueue, place_of
from pillarbox.testing.simulated_stream import STREAM
from pillarbox.testing.simulated_travellers import DUE, LATER

if TYPE_CHECKING:
    from pillarbox.testing.simulated_broker import SimulatedBroker


# --- always ------------------------------------------------------------------------------------------


def check(sim: SimulatedBroker) -> None:
    """Compare every queue with the model; take note of what has expired or was dropped."""
    overtaken = {queue.uid for queue in sim.queues.values() if queue.priority_max and sim.arrived}
    for (_, uid), places in sim.handed.items():
        assert places == sorted(places) or uid in overtaken, f"queue {uid}: out of order on one channel"
    actual = sim.found
    assert actual.keys() == sim.queues.keys()
    for name, queue in sim.queues.items():
        found = actual[name]
        if found.ready_count or queue.letters or found.unacked_count:
            _check_queue(sim, queue, found)
        assert _sequences_next(found) == queue.sequences_next, f"{queue}: messages went elsewhere"
        assert len(found.consumers) == queue.consumers
    sim.travellers.take_note()
    sim.handed.clear()
    sim.arrived = False


def _check_queue(sim: SimulatedBroker, queue: SimulatedQueue, found: Queue) -> None:
    assert found.uid == queue.uid
    present = _ready(found)
    expected = [letter.place for letter in queue.ready()]
    handed = [place for (_, uid), some in sim.handed.items() if uid == queue.uid for place in some]
    if present != expected:
        _take_note_of_gone(sim, queue, present, len(handed))
    assert found.ready_count == len(present)
    oldest = not handed or not present or max(handed) < present[0]
    assert oldest or (queue.priority_max and sim.arrived), f"{queue}: not the oldest first"
    out = sorted(
        place_of(found.priority_max, entry.lane.priority, sequence)
        for entry in found.outstanding()
        for sequence in entry.run.sequences[entry.start : entry.stop]
    )
    assert out == [letter.place for letter in queue.out()], f"{queue}: other deliveries are out"
    assert found.unacked_count == len(out)
    queue.forget_gone(sim.synced_ticket)


def _take_note_of_gone(sim: SimulatedBroker, queue: SimulatedQueue, present: list[int], handed: int) -> None:
    """Messages at the head, one behind the other, whose time is over or for which there was no room.

    A queue that dropped some was full of others, which are still there or were `handed` out since.
    """
    there = set(present)
    gone = [letter for letter in queue.ready() if letter.place not in there]
    dropped = [letter for letter in gone if not sim.is_over(letter)]
    others = len(present) + handed + len(gone) - len(dropped)
    had_no_room = queue.length_max is not None and others >= queue.length_max
    assert had_no_room or not dropped, f"{queue}: {dropped[0]} was lost"
    for letter in gone:
        assert not present or letter.place < present[0], f"{queue}: {letter} was not at the head"
        sim.died(queue, letter)
    assert present == [letter.place for letter in queue.ready()], f"{queue}: order or invention"


# --- when all is quiet -------------------------------------------------------------------------------


def demand_memory_is_counted(sim: SimulatedBroker) -> None:
    """The budget works with the right number: what is in memory, counted anew."""
    total = 0
    vhost = sim.core.vhosts["/"]
    schedule = vhost.exchanges[LATER].schedule
    assert schedule is not None
    total += sum(map(cost_of, (*schedule.lane._held.values(), *schedule.lane._fresh.values())))
    for queue in vhost.queues.values():
        if queue.in_log:
            continue
        for run in queue.ready_runs():
            if run.messages is not None:
                total += run.held_bytes
        for entry in queue.outstanding():
            total += entry.held_bytes
    assert sim.core.changes.resident_bytes == total, "memory is counted wrongly"


def demand_nothing_waits(sim: SimulatedBroker, channel: ClientChannel) -> None:
    full = channel.pool and channel.pool_count >= channel.pool
    for subscription in channel.subscriptions.values():
        able = subscription.has_credit and not full
        waiting = [letter for letter in subscription.queue.ready() if not sim.is_over(letter)]
        assert not able or not waiting, f"{waiting[0]} of {subscription.queue} waits for nothing"


def demand_limits_are_kept(sim: SimulatedBroker) -> None:
    """What is given back may be too much for a moment, in which consumers have their turn before."""
    for queue in sim.queues.values():
        ready = sum(1 for _ in queue.ready())
        assert queue.length_max is None or ready <= queue.length_max, f"{queue} is longer than it may be"


# --- after a restart ---------------------------------------------------------------------------------


def compare_queues(sim: SimulatedBroker, synced: int) -> None:
    actual = {queue.uid: queue for queue in sim.found.values()}
    known = [*sim.queues.values(), *sim.deleted]
    sim.queues, sim.deleted = {}, []
    assert set(actual) <= {queue.uid for queue in known}, "a queue was invented"
    for queue in known:
        there = queue.uid in actual
        lasting = queue.durable and not queue.exclusive
        assert lasting or not there, f"{queue} outlived its broker"
        if there:
            assert queue.deleted_ticket > synced, f"{queue} was deleted for good and came back"
            found = actual[queue.uid]
            through = {lane.priority: lane.delivered_through for lane in found.lanes}
            queue.recovered(_ready(found), through, synced)
            queue.sequences_next = _sequences_next(found)
            sim.queues[queue.name] = queue
        else:
            lost = lasting and queue.ticket <= synced and not queue.deleted
            assert not lost, f"{queue} was lost"


def compare_bindings(sim: SimulatedBroker, synced: int) -> None:
    vhost = sim.core.vhosts["/"]
    uids = {queue.uid for queue in sim.queues.values()}
    actual = {
        (binding.source.name, binding.key, binding.destination.uid)
        for bindings in vhost.inbound.values()
        for binding in bindings
        if isinstance(binding.destination, Queue) and binding.destination.name not in (DUE, STREAM)
    }
    for binding, (there, ticket) in sim.bindings.items():
        if binding[2] in uids and ticket <= synced:
            assert (binding in actual) is there, f"binding {binding} should be {there}"
    assert actual <= set(sim.bindings), "a binding was invented"
    sim.bindings = dict.fromkeys(actual, (True, 0))


def forget_tickets(sim: SimulatedBroker) -> None:
    """Tickets count from 1 in every process; what is there now is durable."""
    for queue in sim.queues.values():
        queue.ticket = 0
        for letter in queue.letters.values():
            letter.ticket = 0
            letter.confirmed = True
            letter.delivered_ticket = 0 if letter.redelivered else NEVER


def _ready(queue: Queue) -> list[int]:
    """What waits in a queue of the broker; released runs may interleave until they are taken."""
    return sorted(
        [
            place_of(queue.priority_max, run.lane.priority, sequence)
            for run in queue.ready_runs()
            for sequence in run.sequences
        ]
    )


def _sequences_next(queue: Queue) -> dict[int, int]:
    return {lane.priority: lane.sequence_next for lane in queue.lanes}
