"""A head that fails while it writes: its own connection ends, and everybody else has what is theirs."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Outlet, Receiver, bodies, demand_counts, message

from pillarbox.broker.confirm import Confirms, Publisher
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.fence import Fence
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.promises import Promises
from pillarbox.broker.returning import give_back
from pillarbox.broker.run import Run


class Clumsy(Receiver):
    """A head and its connection, which cannot write a message with the body `bad`."""

    writable = True

    def __init__(self, domain: Domain, *, no_ack: bool = False, **arguments: object) -> None:
        super().__init__()
        self.core = domain.core
        self.reports: list[Exception] = []
        self.core.fence.report = self.reports.append
        self.ledger = Ledger()
        self.session = domain.session(self)  # type: ignore[arg-type]
        self.consumer = self.session.consume(
            "q",
            self,
            self.ledger,
            tag="clumsy",
            no_ack=no_ack,
            exclusive=False,
            prefetch=10,
            pool=Pool(),
            priority=0,
            arguments=arguments,
        )

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        if b"bad" in bodies(run):
            raise ZeroDivisionError("by mistake")
        super().deliver(consumer, run, tag_first)

    def shut_down(self, text: str) -> None:
        assert not self.writable, "meanwhile it gets nothing more"
        self.disconnected.append(text)
        give_back(self.core.chores, self.ledger)
        self.session.cancel_all([self.consumer])
        self.session.close()

    def demand_ended(self) -> None:
        """It has failed once and is gone; the broker goes on."""
        assert [repr(error) for error in self.reports] == ["ZeroDivisionError('by mistake')"]
        assert self.disconnected == ["the broker has a defect, see its log"]
        assert self.core.failure is None
        assert self.session not in self.core.sessions
        assert self.ledger.count == 0


def domain_of(**arguments: object) -> Domain:
    domain = Domain()
    domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
    return domain


def test_what_it_has_out_goes_to_others_and_all_is_stored() -> None:
    domain = domain_of()
    clumsy = Clumsy(domain)
    other, ledger = Receiver(), Ledger()
    domain.consume(domain.session(), "q", other, ledger=ledger, tag="other")
    queue = domain.queue("q")
    domain.publish([queue], [message("first")])
    domain.run()
    assert clumsy.bodies == [b"first"]
    domain.publish([queue], [message(body) for body in ("a", "bad", "b")])
    domain.run()
    clumsy.demand_ended()
    assert sorted(other.bodies) == [b"a", b"b", b"bad", b"first"]
    ledger.settle_range(1, 4, Outcome.ACCEPTED)
    domain.publish([queue], [message("left")])
    domain.run()
    assert other.bodies[-1] == b"left"
    demand_counts(queue)
    domain.restart()
    assert domain.queue("q").ready_count == 1


def test_what_nobody_else_wants_waits() -> None:
    domain = domain_of()
    queue = domain.queue("q")
    domain.publish([queue], [message("a"), message("bad"), message("b")])
    clumsy = Clumsy(domain)
    domain.run()
    clumsy.demand_ended()
    assert (queue.ready_count, queue.unacked_count, queue.consumer_count) == (3, 0, 0)
    demand_counts(queue)


def test_without_acknowledgements_what_could_not_be_written_is_gone_as_on_a_connection_that_breaks() -> None:
    domain = domain_of()
    queue = domain.queue("q")
    domain.publish([queue], [message("bad")])
    clumsy = Clumsy(domain, no_ack=True)
    domain.run()
    clumsy.demand_ended()
    domain.publish([queue], [message("a")])
    domain.run()
    assert queue.ready_count == 1
    demand_counts(queue)


def test_browser_and_chooser() -> None:
    """What is shown, or chosen by a selector, is written elsewhere than what is dealt out."""
    for arguments in ({"x-browse": True}, {"x-selector": "TRUE"}):
        domain = domain_of()
        queue = domain.queue("q")
        domain.publish([queue], [message("a"), message("bad"), message("b")])
        clumsy = Clumsy(domain, no_ack="x-browse" in arguments, **arguments)
        domain.run()
        clumsy.demand_ended()
        assert queue.ready_count == 3
        demand_counts(queue)


class Unconfirming(Receiver):
    def confirm(self, tag_first: int, tag_last: int) -> None:
        raise ZeroDivisionError("by mistake")

    refuse = confirm


@pytest.mark.parametrize("stored", [True, False])
def test_confirms_behind_one_that_fails_are_told(stored: bool) -> None:
    reports: list[Exception] = []
    woken: list[None] = []
    fence = Fence(reports.append, lambda: woken.append(None))
    confirms, failing, other = Confirms(fence), Unconfirming(), Receiver()
    for sink in (failing, other):
        confirms.accept(Publisher(sink), 3, stored)
    confirms.seal(1)
    confirms.synced(1)
    assert other.confirms == [(1, 3)]
    assert len(reports) == len(woken) == 1
    fence.cut()
    assert failing.disconnected == ["INTERNAL_ERROR: the broker has a defect, see its log"]
    assert not fence.broken


def test_promises_and_watchers_behind_one_that_fails_are_kept_and_called() -> None:
    """Those of all clients stand in one line."""
    domain = Domain()
    reports: list[Exception] = []
    domain.core.fence.report = reports.append
    kept: list[str | None] = []

    def fail(failure: str | None = None) -> None:
        raise ZeroDivisionError("by mistake")

    promises = Promises(domain.core)
    domain.core.keep("test", b"value")
    promises.when_durable(fail)
    promises.when_durable(kept.append)
    domain.run()
    assert kept == [None]
    domain.core.keep("test", b"another")
    promises.when_durable(fail)
    promises.when_durable(kept.append)
    domain.tick()
    domain.core.failed("the disk is gone")
    assert kept == [None, "the disk is gone"]
    assert len(reports) == 2


def test_without_anybody_to_report_to_it_is_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="by mistake"):
        Fence().broke(object(), Outlet().blocked, ZeroDivisionError("by mistake"))
