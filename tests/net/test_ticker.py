"""Turns: what one iteration of the loop brings is one batch. On asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from net_tools import LOOPS, Net, loop_name, run

from pillarbox.clock import ManualClock, SystemClock
from pillarbox.net import ticker as ticker_module

Make = Callable[[], asyncio.AbstractEventLoop]
pytestmark = pytest.mark.parametrize("make_loop", LOOPS, ids=loop_name)


class Flushed:
    """A driver of the ticker that only counts."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log = log
        self._name = name

    def flush(self) -> None:
        self._log.append(f"flush {self._name}")

    def turn_ended(self) -> None:
        self._log.append(f"ended {self._name}")

    def abort(self) -> None:
        self._log.append(f"abort {self._name}")

    def housekeeping(self, now_ms: int) -> None:
        self._log.append(f"housekeeping {self._name}")


def test_many_beginnings_are_one_turn(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        for _ in range(5):
            net.ticker.begin()
        await net.next_tick()
        await asyncio.sleep(0)
        assert net.ticks == net.times == net.after == [net.clock.now_ms()]
        assert net.ticker.turns == 1

    run(make_loop, main())


def test_tick_that_ends_with_an_exception_is_logged_told_and_not_the_last(
    make_loop: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        log: list[str] = []

        def divide() -> None:
            net.ticker.outputs.append(Flushed(log, "driver"))
            raise ZeroDivisionError("by mistake")

        net.on_tick = divide
        net.ticker.begin()
        await net.next_tick()
        await asyncio.sleep(0)
        assert net.failed == [net.clock.now_ms()]
        assert log == ["flush driver"], "what there is to say is said"
        net.on_tick = lambda: None
        net.ticker.begin()
        await net.next_tick()
        assert len(net.ticks) == 2
        assert len(net.failed) == 1

    run(make_loop, main())
    assert "by mistake" in caplog.text


def test_turn_has_one_time_from_its_first_input_to_its_tick(make_loop: Make) -> None:
    """A time to live of 0 must last until the turn ends."""

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        before = net.clock.now_ms()
        net.ticker.begin()
        net.clock.advance(50)
        await net.next_tick()
        assert (net.times, net.ticks) == ([before], [before])
        net.ticker.begin()
        await net.next_tick()
        assert net.ticks == [before, before + 50]

    run(make_loop, main())


def test_turn_ticks_then_writes_then_lets_sockets_be_read(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        log: list[str] = []
        drivers = [Flushed(log, "a"), Flushed(log, "b")]
        net.ticker.sated.extend(drivers)
        net.on_tick = lambda: (log.append("tick"), net.ticker.outputs.extend(drivers))  # type: ignore[func-returns-value, assignment]
        net.ticker.begin()
        await net.next_tick()
        await asyncio.sleep(0)
        assert log == ["tick", "flush a", "flush b", "ended a", "ended b"]
        assert net.ticker.outputs == net.ticker.sated == []

    run(make_loop, main())


def test_what_a_tick_asks_for_comes_in_the_next_turn(make_loop: Make) -> None:
    """So that sockets get their chance in between."""

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        order: list[str] = []

        def again() -> None:
            order.append("tick")
            if len(order) < 4:
                net.ticker.again()
                asyncio.get_running_loop().call_soon(order.append, "others")

        net.on_tick = again
        net.ticker.begin()
        while order.count("tick") < 3:
            await net.next_tick()
        assert order[:4] == ["tick", "others", "tick", "others"] or order[:3] == ["tick", "tick", "others"]
        assert net.ticker.turns >= 2

    run(make_loop, main())


def test_timer_of_the_core_begins_a_turn(make_loop: Make) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        net = Net(loop)
        clock = SystemClock()
        net.ticker._clock = clock
        net.due_ms = clock.now_ms() + 30
        net.ticker.begin()
        await net.next_tick()
        await net.next_tick()
        assert net.ticks[-1] >= net.due_ms - 2, "a timer may be early by its rounding, and is set anew"
        net.due_ms = None
        net.ticker.stop()

    run(make_loop, main())


def test_earlier_timer_replaces_a_later_one(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        net.due_ms = net.clock.now_ms() + 3_600_000
        net.ticker.begin()
        await net.next_tick()
        await asyncio.sleep(0)
        net.due_ms = net.clock.now_ms() + 20
        net.ticker.begin()
        await net.next_tick()
        net.clock.advance(20)
        await net.next_tick()
        assert net.ticks[-1] == net.clock.now_ms()
        net.ticker.stop()

    run(make_loop, main())


def test_stopped_ticker_sets_no_timer(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        net.ticker.start()
        net.ticker.stop()
        net.due_ms = net.clock.now_ms()
        net.ticker.begin()
        await net.next_tick()
        await asyncio.sleep(0)
        assert net.ticker._timer is None

    run(make_loop, main())


def test_deadlines_are_looked_at_for_every_driver(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop(), ManualClock(5000))
        log: list[str] = []
        for name in "ab":
            net.ticker.drivers[Flushed(log, name)] = None
        net.ticker.check_deadlines()
        assert log == ["housekeeping a", "housekeeping b"]
        assert net.times == [5000, 5000]
        await net.next_tick()

    run(make_loop, main())


def test_many_drivers_are_looked_at_some_at_a_time(make_loop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second, and whoever has gone meanwhile is not."""
    monkeypatch.setattr(ticker_module, "LOOKED_AT", 2)

    async def main() -> None:
        net = Net(asyncio.get_running_loop(), ManualClock(5000))
        log: list[str] = []
        drivers = [Flushed(log, name) for name in "abcde"]
        net.ticker.drivers.update(dict.fromkeys(drivers))
        net.ticker._housekeep()
        assert log == ["housekeeping a", "housekeeping b"]
        del net.ticker.drivers[drivers[3]]
        while len(log) < 4:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert log == [f"housekeeping {name}" for name in "abce"]
        net.ticker.stop()

    run(make_loop, main())


def test_longest_turn_is_measured(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        # The first turn has the start in it, and does not count.
        net.ticker.begin()
        await net.next_tick()
        await asyncio.sleep(0)
        assert net.ticker.longest_ns == 0
        net.on_tick = lambda: sum(range(200_000))  # type: ignore[assignment, return-value]
        net.ticker.begin()
        await net.next_tick()
        await asyncio.sleep(0)
        assert net.ticker.longest_ns > 100_000

    run(make_loop, main())
