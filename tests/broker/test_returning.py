"""Deliveries of receivers that have gone go back in parts. Rows R66, R51."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Receiver, message
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker import returning
from pillarbox.broker.consumer import Pool
from pillarbox.broker.ledger import Ledger
from pillarbox.broker.queue import Queue
from pillarbox.broker.session import Deferred, Session

QUEUES = ("a", "b")


class Leaving:
    """Two queues; receivers that take messages of them and leave; one that gets what comes back."""

    def __init__(self, entries_at_once: int, **arguments: object) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(returning, "ENTRIES_AT_ONCE", entries_at_once)
        self.domain = Domain()
        self.session: Session = self.domain.session()
        self.queues: list[Queue] = [self.session.declare_queue(name, arguments=arguments) for name in QUEUES]
        self.survivor = Receiver()
        self.number = 0

    def __enter__(self) -> Leaving:
        return self

    def __exit__(self, *_: object) -> None:
        self.patch.undo()

    def publish(self, queue: Queue, count: int) -> None:
        for _ in range(count):
            self.domain.publish([queue], [message(self.number)], persistent=False)
            self.number += 1

    def take(self, ledger: Ledger, queue: Queue, count: int) -> None:
        for _ in range(count):
            self.session.get(queue.name, ledger, no_ack=False)

    def stay(self) -> None:
        for name in QUEUES:
            self.domain.consume(self.session, name, self.survivor, tag=name)

    def leave(self, *ledgers: Ledger) -> None:
        for ledger in ledgers:
            returning.give_back(self.domain.core.chores, ledger)

    def settle_down(self) -> int:
        """Tick until nothing is under way; return how many ticks that took."""
        ticks = 0
        while self.domain.core.chores.under_way:
            self.domain.tick()
            ticks += 1
        self.domain.run()
        return ticks


@pytest.mark.row("R66")
@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(st.sampled_from(["publish", "x", "y", "z"]), st.integers(0, 1), st.integers(1, 6)),
        max_size=25,
    ),
)
def test_what_comes_back_in_parts_is_delivered_as_if_it_had_come_at_once(
    at_once: int, steps: list[tuple[str, int, int]]
) -> None:
    """Three receivers leave with what they have of two queues: the one who stays sees no difference."""
    seen = []
    for size in (at_once, 1000):
        with Leaving(size) as leaving:
            ledgers = {name: Ledger() for name in "xyz"}
            for name, index, count in steps:
                if name == "publish":
                    leaving.publish(leaving.queues[index], count)
                else:
                    leaving.take(ledgers[name], leaving.queues[index], count)
            leaving.leave(*ledgers.values())
            leaving.stay()
            leaving.settle_down()
            seen.append([[one for one in leaving.survivor.deliveries if one[0] == name] for name in QUEUES])
            assert all(queue.unacked_count == len(seen[-1][n]) for n, queue in enumerate(leaving.queues))
            assert not any(queue.held or queue.ready_count for queue in leaving.queues)
    # Tags of the receiver aside: they count over both queues.
    first, second = ([[one[2:] for one in of_queue] for of_queue in each] for each in seen)
    assert first == second


@pytest.mark.row("R66")
def test_no_tick_gives_back_more_than_a_part() -> None:
    with Leaving(10) as leaving:
        ledger = Ledger()
        leaving.publish(leaving.queues[0], 95)
        leaving.take(ledger, leaving.queues[0], 95)
        leaving.leave(ledger)
        left = [ledger.count]
        while leaving.domain.core.chores.under_way:
            leaving.domain.tick()
            left.append(ledger.count)
        assert left == [85, 75, 65, 55, 45, 35, 25, 15, 5, 0]
        assert leaving.domain.woken


@pytest.mark.row("R66")
def test_only_queues_that_get_something_back_wait() -> None:
    with Leaving(10) as leaving:
        held, other = leaving.queues
        ledger = Ledger()
        leaving.publish(held, 30)
        leaving.take(ledger, held, 25)
        leaving.stay()
        leaving.publish(other, 1)
        leaving.leave(ledger)
        leaving.domain.core._dispatch()
        assert [one[0] for one in leaving.survivor.deliveries] == ["b"]
        leaving.settle_down()
        assert [one[3] for one in leaving.survivor.deliveries if one[0] == "a"] == [
            str(number).encode() for number in range(30)
        ]


@pytest.mark.row("R67")
def test_get_waits_for_what_comes_back() -> None:
    with Leaving(10) as leaving:
        queue = leaving.queues[0]
        ledger, told = Ledger(), []
        leaving.publish(queue, 25)
        leaving.take(ledger, queue, 25)
        leaving.leave(ledger)
        with pytest.raises(Deferred):
            leaving.session.get("a", Ledger(), no_ack=True)
        queue.when_loaded(lambda: told.append(leaving.session.get("a", Ledger(), no_ack=True)))
        leaving.settle_down()
        [(_, run, _)] = told
        assert run.sequences[0] == 0


@pytest.mark.row("R66")
def test_promise_is_kept_when_all_before_it_is_back() -> None:
    """And at once when nothing is under way."""
    with Leaving(10) as leaving:
        told: list[tuple[str, int]] = []
        returns = leaving.domain.core.chores
        returns.when_done(lambda: told.append(("nothing", 0)))
        assert told == [("nothing", 0)]
        ledgers = [Ledger(), Ledger()]
        for ledger, queue in zip(ledgers, leaving.queues, strict=True):
            leaving.publish(queue, 25)
            leaving.take(ledger, queue, 25)
            leaving.leave(ledger)
            returns.when_done(lambda name=queue.name: told.append((name, leaving.queues[0].ready_count)))
        assert len(told) == 1
        leaving.settle_down()
        assert [name for name, _ in told] == ["nothing", "a", "b"]
        assert told[1][1] == 25


@pytest.mark.row("R56")
def test_queue_that_is_deleted_meanwhile_takes_nothing_back() -> None:
    with Leaving(10) as leaving:
        ledger = Ledger()
        for queue in leaving.queues:
            leaving.publish(queue, 25)
            leaving.take(ledger, queue, 25)
        leaving.leave(ledger)
        leaving.session.delete_queue("a", if_unused=False, if_empty=False)
        again = leaving.session.declare_queue("a")
        leaving.settle_down()
        assert (again.ready_count, leaving.queues[1].ready_count) == (0, 25)
        assert not leaving.domain.core.changes.resident_bytes - leaving.queues[1].ready_bytes - 25 * 150


@pytest.mark.row("R51")
def test_next_single_active_consumer_gets_everything_in_order() -> None:
    """The one who left had many out; who follows gets those before what was never delivered."""
    with Leaving(10, **{"x-single-active-consumer": True}) as leaving:
        ledger, first = Ledger(), Receiver()
        consumer = leaving.domain.consume(
            leaving.session, "a", first, ledger=ledger, tag="first", prefetch=55, pool=Pool()
        )
        leaving.stay()
        leaving.publish(leaving.queues[0], 80)
        leaving.domain.run()
        assert len(first.deliveries) == 55
        leaving.leave(ledger)
        leaving.session.cancel(consumer)
        leaving.settle_down()
        assert [one[3] for one in leaving.survivor.deliveries] == [str(n).encode() for n in range(80)]
        assert [one[4] for one in leaving.survivor.deliveries] == [True] * 55 + [False] * 25


@pytest.mark.row("R46")
def test_limit_is_kept_with_what_comes_back() -> None:
    """The oldest go, as when everything comes back at once."""
    with Leaving(10, **{"x-max-length": 20}) as leaving:
        ledger = Ledger()
        for _ in range(6):
            leaving.publish(leaving.queues[0], 20)
            leaving.take(ledger, leaving.queues[0], 20)
        leaving.leave(ledger)
        leaving.settle_down()
        leaving.stay()
        leaving.domain.run()
        assert [one[3] for one in leaving.survivor.deliveries] == [str(n).encode() for n in range(100, 120)]
