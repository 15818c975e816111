"""Memory and disk watched: what counts as used, when alarms ring and end. Row R73."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.changes import Changes
from pillarbox.ops.resources import (
    LOOK_BYTES_MIN,
    LOOK_MS,
    ROOM_MS,
    MemoryGauge,
    Watch,
    _group_limits,
    machine_bytes,
    process_bytes,
    watermark_bytes,
)

MIB = 1 << 20
LIMIT = 1000 * MIB


class Machine:
    """A process with a heap that never shrinks unless told, and the part of the core that a watch knows."""

    def __init__(self, budget: int = 128 * MIB) -> None:
        self.changes = Changes(journaled=True)
        self.memory_budget = budget
        self.process = self.rest = 40 * MIB
        self.alarms: set[str] = set()
        self.relieved: list[int] = []
        self.rooms_made = 0
        self.said: list[str] = []

    def hold(self, size: int) -> None:
        """Let messages take so much."""
        self.changes.resident_bytes = size
        self.process = max(self.process, self.rest + size)

    def set_alarm(self, resource: str, short: bool) -> bool:
        news = short != (resource in self.alarms)
        (self.alarms.add if short else self.alarms.discard)(resource)
        return news

    def relieve(self, resident_max: int) -> None:
        self.relieved.append(resident_max)

    def make_room(self) -> None:
        self.rooms_made += 1

    def warn(self, sentence: str) -> None:
        self.said.append(sentence)

    def watch(self, limit: int = LIMIT) -> Watch:
        return Watch(self, memory_max=limit, process=lambda: self.process, folder=None, disk_free_min=0)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100)), min_size=1))
def test_used_is_never_more_than_the_process_has_nor_less_than_what_is_counted(
    steps: list[tuple[int, int, int]],
) -> None:
    process = 0
    gauge = MemoryGauge(lambda: process)
    for counted, rest, kept in steps:
        process = counted + rest + kept
        assert counted <= gauge.used(counted) <= process


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 1000))
def test_what_is_kept_for_the_next_messages_is_not_used(sizes: list[int], rest: int) -> None:
    """A heap that only grows, and nothing in it but messages and something that stays as large."""
    machine = Machine()
    machine.process = machine.rest = rest
    gauge = MemoryGauge(lambda: machine.process)
    for size in sizes:
        machine.hold(size)
        assert gauge.used(size) == size + rest


def test_process_that_grows_beyond_its_peak_has_used_it() -> None:
    """Whatever is not counted shows there: connections, routes, a heap in pieces."""
    process = 100
    gauge = MemoryGauge(lambda: process)
    assert gauge.used(60) == 100
    assert gauge.used(10) == 50
    process = 120
    assert gauge.used(10) == 120
    process = 30
    assert gauge.used(10) == 30, "given back to the system"


@pytest.mark.row("R73")
def test_memory_alarm_rings_at_the_watermark_and_ends_well_below() -> None:
    machine = Machine()
    watch = machine.watch()
    for size, rings in ((959, False), (960, True), (959, True), (911, True), (909, False), (950, False)):
        machine.hold(size * MIB)
        watch.look(0)
        assert ("memory" in machine.alarms) == rings, size
    assert machine.process == LIMIT, "the process has given nothing back"
    said = [sentence.split(":")[0] for sentence in machine.said]
    assert said == ["memory alarm set", "memory alarm cleared"]


def test_memory_alarm_asks_the_queues_to_let_go_of_as_much_as_ends_it() -> None:
    machine = Machine()
    watch = machine.watch()
    machine.hold(970 * MIB)
    watch.look(0)
    machine.hold(machine.relieved[-1])
    watch.look(0)
    assert machine.alarms == set()


def test_messages_beyond_the_budget_are_let_go_before_any_alarm() -> None:
    machine = Machine()
    watch = machine.watch()
    machine.hold(127 * MIB)
    watch.look(0)
    assert machine.relieved == []
    machine.hold(130 * MIB)
    watch.look(0)
    assert (machine.relieved, machine.alarms) == ([128 * MIB], set())


@pytest.mark.parametrize(("limit", "budget"), [(LIMIT, 128), (200 * MIB, 80), (30 * MIB, 0)])
def test_budget_leaves_room_below_the_watermark(limit: int, budget: int) -> None:
    """On a small machine messages go to the disk before the alarm could ring for them."""
    machine = Machine()
    machine.watch(limit)
    assert machine.memory_budget == budget * MIB


def test_watermark_of_nothing_blocks_whatever_is_used() -> None:
    """As RabbitMQ's: the way to turn publishing off."""
    machine = Machine()
    machine.process = 0
    watch = machine.watch(0)
    for _ in range(2):
        watch.look(0)
        assert machine.alarms == {"memory"}


def test_fast_growth_is_looked_at_before_the_time_has_come() -> None:
    machine = Machine()
    watch = machine.watch()
    machine.hold(100 * MIB)
    watch.look(5000)
    assert watch.next_ms == 5000 + LOOK_MS
    assert watch.next_bytes == 100 * MIB + (LIMIT - 140 * MIB) // 2
    machine.hold(959 * MIB)
    watch.look(5000)
    assert watch.next_bytes == 959 * MIB + LOOK_BYTES_MIN


@pytest.mark.row("A42")
def test_growth_beyond_the_budget_is_looked_at_sooner() -> None:
    """Messages that are read from the disk come to queues that take none."""
    machine = Machine()
    watch = machine.watch()
    machine.hold(130 * MIB)
    watch.look(0)
    assert watch.next_bytes == (130 + 128 // 4) * MIB


@pytest.mark.parametrize(
    ("listing", "files", "limits"),
    [
        (
            "0::/a/b\n",
            {"a/b/memory.max": "max", "a/memory.max": "500\n", "memory.max": "700\n"},
            [500, 700],
        ),
        ("0::/host/path\n", {"memory.max": "300\n"}, [300]),
        (
            "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n",
            {
                "memory/x/memory.limit_in_bytes": "200\n",
                "memory/memory.limit_in_bytes": "9223372036",
            },
            [200, 9223372036],
        ),
        ("1:name=systemd:/\n", {}, []),
    ],
    ids=["version 2", "version 2 in a container", "version 1", "none"],
)
def test_limits_of_control_groups(
    tmp_path: Path, listing: str, files: dict[str, str], limits: list[int]
) -> None:
    (tmp_path / "cgroup").write_text(listing)
    for name, text in files.items():
        file = tmp_path / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert list(_group_limits(tmp_path / "cgroup", tmp_path / "sys")) == limits


def test_missing_control_groups_limit_nothing(tmp_path: Path) -> None:
    assert list(_group_limits(tmp_path / "none", tmp_path)) == []


def test_this_process_takes_part_of_this_machine() -> None:
    assert MIB < process_bytes() < machine_bytes()


def test_watermark_is_a_share_or_a_size() -> None:
    assert watermark_bytes(0.4, 1000) == 400
    assert watermark_bytes(1, 1000) == 1000
    assert watermark_bytes(5 * MIB, 1000) == 5 * MIB


def test_budget_follows_the_watermark_down_and_up_again() -> None:
    """R73: told to take less, the broker moves messages to the disk earlier; the budget never grows."""
    machine = Machine(budget=128 * MIB)
    watch = machine.watch()
    assert machine.memory_budget == 128 * MIB
    watch.limit_memory(100 * MIB)
    assert machine.memory_budget == 30 * MIB
    watch.limit_memory(0)
    assert machine.memory_budget == 0
    watch.look(0)
    assert machine.alarms == {"memory"}
    watch.limit_memory(LIMIT)
    watch.look(0)
    assert machine.memory_budget == 128 * MIB
    assert machine.alarms == set()


def test_disk_that_does_not_answer_is_told_once_and_memory_is_watched_all_the_same(tmp_path: Path) -> None:
    """The folder was moved away, or its file system is gone."""
    machine = Machine()
    folder = tmp_path / "data"
    watch = Watch(
        machine, memory_max=LIMIT, process=lambda: machine.process, folder=str(folder), disk_free_min=1
    )
    for number in range(3):
        watch.look(number * LOOK_MS)
    assert machine.said == [
        f"how much is free on the disk of {folder} is not known: No such file or directory"
    ]
    assert watch.memory_used
    folder.mkdir()
    watch.look(3 * LOOK_MS)
    assert watch.disk_free
    folder.rmdir()
    watch.look(4 * LOOK_MS)
    assert len(machine.said) == 2


def test_room_is_made_on_the_disk_now_and_then_while_it_is_short(tmp_path: Path) -> None:
    machine = Machine()
    watch = Watch(
        machine,
        memory_max=LIMIT,
        process=lambda: machine.process,
        folder=str(tmp_path),
        disk_free_min=1 << 60,
    )
    for number in range(2 * ROOM_MS // LOOK_MS):
        watch.look(number * LOOK_MS)
    assert machine.rooms_made == 2
    watch.limit_disk(0)
    watch.look(10 * ROOM_MS)
    assert machine.rooms_made == 2
