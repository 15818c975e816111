"""The machine's clock may be set back; the broker's time goes on all the same."""

from __future__ import annotations

from pillarbox.clock import SystemClock

HOUR_NS = 3_600_000_000_000
SECOND_NS = 1_000_000_000


class Machine:
    """What its two clocks say."""

    def __init__(self) -> None:
        self.wall_ns = 1_700_000_000 * SECOND_NS
        self.steady_ns = 5

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall_ns, lambda: self.steady_ns)

    def wait(self, seconds: float) -> None:
        self.wall_ns += int(seconds * SECOND_NS)
        self.steady_ns += int(seconds * SECOND_NS)


def test_time_is_that_of_the_machine() -> None:
    machine = Machine()
    clock = machine.clock()
    for seconds in (0, 0.0004, 1, 3600.5):
        machine.wait(seconds)
        assert clock.now_ms() == machine.wall_ns // 1_000_000
        assert clock.now_ms_up() == -(-machine.wall_ns // 1_000_000)


def test_a_clock_that_is_set_forward_is_followed_at_once() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns += HOUR_NS
    assert clock.now_ms() == machine.wall_ns // 1_000_000


def test_after_it_was_set_back_time_goes_on_at_half_the_pace_until_it_has_been_caught_up_with() -> None:
    """Timers that are due in ten seconds come in twenty, and not in an hour and ten seconds."""
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.wall_ns -= HOUR_NS
    assert clock.now_ms() == before
    for _ in range(20):
        machine.wait(1)
        clock.now_ms()
    assert clock.now_ms() == before + 10_000
    machine.wait(7180)
    assert clock.now_ms() == machine.wall_ns // 1_000_000
    machine.wait(1)
    assert clock.now_ms() == machine.wall_ns // 1_000_000
