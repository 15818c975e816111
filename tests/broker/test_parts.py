"""Work on many things in parts: others are served in between, and a crash may come there. Rows R90, R98."""

from __future__ import annotations

import pytest
from broker_tools import Domain, message

from pillarbox.broker import vhost as vhost_module
from pillarbox.broker.administration import put_vhost, remove_vhost
from pillarbox.broker.import_definitions import DefinitionsError, importing
from pillarbox.errors import BrokerError

QUEUES = 12


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vhost_module, "REMOVED_AT_ONCE", 6)


@pytest.fixture
def domain() -> Domain:
    """A second virtual host with bound queues of one message each."""
    domain = Domain()
    other = domain.core.add_vhost("other")
    exchange = other.declare_exchange("x", "topic", durable=True)
    inner = other.declare_exchange("inner", "fanout", durable=True)
    other.bind(exchange, inner, "i", {})
    for number in range(QUEUES):
        queue = other.declare_queue(None, f"q{number}", durable=True)
        other.bind(exchange, queue, "k", {})
        domain.publish([queue], [message(number)])
    domain.run()
    return domain


def restarted(domain: Domain, count: int) -> Domain:
    """What comes up when so many groups had reached the disk."""
    crashed = Domain()
    crashed.journal = domain.journal
    crashed.restart(count)
    return crashed


@pytest.mark.row("R90")
def test_virtual_host_goes_in_parts_and_nobody_enters_it_meanwhile(domain: Domain) -> None:
    other = domain.core.vhosts["other"]
    assert remove_vhost(domain.core, "other")
    seen = []
    while domain.core.chores.under_way:
        seen.append(len(other.queues) + len(other.exchanges))
        with pytest.raises(BrokerError, match="vhost other not found"):
            domain.session(vhost="other")
        with pytest.raises(BrokerError, match="vhost 'other' is being deleted"):
            put_vhost(domain.core, "other")
        assert remove_vhost(domain.core, "other"), "it is under way, and that is no fault"
        domain.session().declare_queue(f"meanwhile-{len(seen)}")
        domain.tick()
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) > QUEUES * 2 // 6
    assert "other" not in domain.core.vhosts
    assert not remove_vhost(domain.core, "other")
    assert put_vhost(domain.core, "other").queues == {}


@pytest.mark.row("R90")
def test_crash_while_a_virtual_host_goes_leaves_a_part_of_it_that_works(domain: Domain) -> None:
    before = len(domain.journal.groups)
    remove_vhost(domain.core, "other")
    while domain.core.chores.under_way:
        domain.tick()
    left = []
    for count in range(before, len(domain.journal.groups) + 1):
        crashed = restarted(domain, count)
        other = crashed.core.vhosts.get("other")
        left.append(-1 if other is None else len(other.queues))
        if other is not None:
            assert [queue.ready_count for queue in other.queues.values()] == [1] * len(other.queues)
            other.declare_queue(None, "new", durable=True)
            assert remove_vhost(crashed.core, "other")
            crashed.run()
        assert not [key for kind, key in crashed.core.definitions if kind == "queue"]
        assert not [key for kind, key in crashed.core.definitions if kind in ("binding", "exchange")]
    assert left[0] == QUEUES
    assert left == sorted(left, reverse=True)
    assert left[-1] == -1
    assert len(set(left)) > 3


def document(count: int) -> dict[str, list[dict[str, object]]]:
    names = [f"i{number}" for number in range(count)]
    return {
        "queues": [{"vhost": "/", "name": name, "durable": True} for name in names],
        "bindings": [
            {
                "vhost": "/",
                "source": "amq.topic",
                "destination": name,
                "destination_type": "queue",
                "routing_key": "k",
            }
            for name in names
        ],
    }


@pytest.mark.row("R98")
def test_import_goes_on_with_what_others_have_left() -> None:
    """A queue that somebody deletes in between has no bindings any more, as if it had never come."""
    domain = Domain()
    told: list[str] = []
    domain.core.warn = told.append
    steps = importing(domain.core, document(3))
    for _ in range(3):
        next(steps)
    assert list(domain.vhost.queues) == ["i0", "i1", "i2"]
    domain.vhost.delete_queue(None, "i1")
    for _ in steps:
        domain.tick()
    assert [one.split(" is left out")[0] for one in told] == ["definitions: bindings[1]"]
    assert len(domain.vhost.exchange("amq.topic").bindings) == 2


@pytest.mark.row("R98")
def test_import_into_a_virtual_host_that_goes_meanwhile_is_refused() -> None:
    domain = Domain()
    domain.core.add_vhost("other")
    other = [{**one, "vhost": "other"} for one in document(3)["queues"]]
    steps = importing(domain.core, {"queues": other})
    next(steps)
    remove_vhost(domain.core, "other")
    with pytest.raises(DefinitionsError, match=r"queues\[1\] \(i1\): there is no virtual host 'other'"):
        next(steps)


@pytest.mark.row("R98")
def test_crash_while_definitions_are_imported_leaves_some_and_the_import_can_be_repeated() -> None:
    domain = Domain()
    domain.run()
    before = len(domain.journal.groups)
    for _ in importing(domain.core, document(4)):
        domain.tick()
    counts = set()
    for count in range(before, len(domain.journal.groups) + 1):
        crashed = restarted(domain, count)
        counts.add((len(crashed.vhost.queues), len(crashed.vhost.exchange("amq.topic").bindings)))
        for _ in importing(crashed.core, document(4)):
            pass
        assert len(crashed.vhost.queues) == len(crashed.vhost.exchange("amq.topic").bindings) == 4
    assert counts == {(queues, 0) for queues in range(5)} | {(4, bindings) for bindings in range(5)}
