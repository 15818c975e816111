"""The whole broker from seeds: random clients, disks and crashes, checked after every step.

A failure names its seed; `Simulation(seed, disk=...).run(STEPS)` repeats it. Rows R28, R40, R44, R46, R48,
R50, R61, R65, R66, R67, R71, R80, R81 in their core: what is checked stands in `pillarbox.testing.simulator`.
"""

from __future__ import annotations

import pytest

from pillarbox.broker.ledger import Ledger
from pillarbox.broker.queue import Queue
from pillarbox.testing.simulated_stream import STREAM
from pillarbox.testing.simulator import Simulation

STEPS = 1000
SEEDS = range(20)
DISK_SEEDS = range(15)


@pytest.mark.row("R28", "R40", "R44", "R46", "R48", "R50", "R61", "R65", "R66", "R67", "R71")
@pytest.mark.parametrize("seed", SEEDS)
def test_broker_keeps_its_promises(seed: int) -> None:
    """With a journal in memory, which may be as slow and forget as much as its contract allows."""
    simulation = Simulation(seed).run(STEPS)
    assert simulation.delivered


@pytest.mark.row("R28", "R40", "R48", "R61", "R66", "R80", "R81")
@pytest.mark.parametrize("seed", DISK_SEEDS)
def test_broker_and_engine_keep_their_promises(seed: int) -> None:
    """With the local engine on simulated files: killed processes, power cuts, torn writes, checkpoints."""
    simulation = Simulation(seed, disk=True).run(STEPS)
    assert simulation.delivered


def test_simulation_is_repeated_by_its_seed() -> None:
    """Or nobody could look into a failure."""

    def history(seed: int) -> tuple[int, int, int, dict[str, int]]:
        simulation = Simulation(seed, disk=True)
        for _ in range(300):
            simulation.step()
        lengths = {name: len(queue.letters) for name, queue in simulation.queues.items()}
        return simulation.now_ms, simulation.delivered, simulation.restarts, lengths

    assert history(5) == history(5)
    assert history(5) != history(6)


def test_simulation_sees_a_message_that_vanishes() -> None:
    """The check itself: one message less in a queue, and the next step says so."""
    simulation = Simulation(1)
    full: list[Queue] = []
    while not full:
        simulation.step()
        queues = simulation.core.vhosts["/"].queues.values()
        full = [queue for queue in queues if queue.ready_count and not queue.timed]
    assert full[0].take(1) is not None
    with pytest.raises(AssertionError):
        simulation.check()


@pytest.mark.parametrize("way", ["dead letter", "delayed message"])
def test_simulation_sees_a_message_that_never_arrives(way: str) -> None:
    """The check itself: one arrival is overlooked, and as soon as all is quiet the simulation says so."""
    simulation = Simulation(2)
    travellers = simulation.travellers
    while True:
        simulation.step()
        dead = way == "dead letter"
        found = [number for number, (_, due_ms) in travellers.under_way.items() if (not due_ms) is dead]
        if found:
            break
    letter, due_ms = travellers.under_way[found[0]]
    simulation.now_ms += due_ms and max(due_ms - simulation.now_ms, 0)
    simulation.settle_down()
    travellers.under_way[found[0]] = letter, due_ms
    with pytest.raises(AssertionError, match="never arrives"):
        simulation.settle_down()


@pytest.mark.parametrize("way", ["another message", "a credit that is forgotten"])
def test_simulation_sees_a_stream_that_goes_wrong(way: str) -> None:
    """The check itself: a record with another number, and a reader who is never told that there is more."""
    simulation = Simulation(1, disk=True)
    stream = simulation.stream
    assert stream is not None
    while len(stream.letters) < stream.read_count + 20:
        simulation.step()
    if way == "another message":
        stream.letters[stream.read_count + 9].number += 1
    else:
        queue = simulation.core.vhosts["/"].queues[STREAM]
        queue.wake = lambda: None  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match=r"at the offset of|waits for nothing"):
        simulation.settle_down()


def test_simulation_meets_what_matters() -> None:
    """Seeds that never fill a disk, lose power or wait for a load would prove nothing."""
    what = ("cold", "loading", "released", "restarts", "spilled", "out", "paused", "priorities")
    what += ("died", "delayed", "reached")
    seen = dict.fromkeys(what, 0)
    for seed in range(12):
        simulation = Simulation(seed)
        for _ in range(400):
            simulation.step()
            for queue in simulation.core.vhosts["/"].queues.values():
                seen["cold"] += queue.lanes[-1]._cold_runs > 0
                seen["released"] += len(queue.lanes[-1].released) > 1
                seen["spilled"] += any(
                    run.location is not None and not run.stored for run in queue.ready_runs()
                )
                seen["out"] += queue.unacked_count > 0
                seen["priorities"] += sum(bool(lane.ready) for lane in queue.lanes) > 1
            seen["loading"] += bool(simulation.core._loads)
            seen["paused"] += any(client.paused for client in simulation.clients)
        seen["restarts"] += simulation.restarts
        for name in ("died", "delayed", "reached"):
            seen[name] += getattr(simulation.travellers, name)
    assert min(seen.values()) > 5, seen


def test_ledger_of_a_simulated_client_is_the_brokers() -> None:
    """Both ends agree on what is out, by tag."""
    simulation = Simulation(3)
    while simulation.steps < 400 or not any(client.channels for client in simulation.clients):
        simulation.step()
    compared = 0
    for client in simulation.clients:
        for number, channel in client.channels.items():
            ledger: Ledger = client.connection.channels[number].ledger
            tags = [entry.base + at for entry in ledger.entries() for at in range(entry.start, entry.stop)]
            assert tags == sorted(channel.out)
            compared += 1
    assert compared
