"""A full queue loses what its settings choose: the lowest priority, or what has been superseded (A40)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from broker_tools import Domain, Receiver, demand_counts, message
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker import eviction
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.ledger import Ledger, Outcome
from pillarbox.broker.policy import Policy
from pillarbox.broker.queue import Queue
from pillarbox.engine.base import Message
from pillarbox.errors import BrokerError

pytestmark = pytest.mark.row("A40")


class Symbols:
    """A dialect in which the properties of a message are its symbol, if it has one."""

    def __init__(self) -> None:
        self.read_count = 0

    def read(self, message: Message) -> Neutral:
        self.read_count += 1
        return Neutral(headers={"symbol": message.properties.decode()} if message.properties else {})

    def write(self, said: Neutral, message: Message) -> bytes:
        return message.properties


def quote(body: str, symbol: str) -> Message:
    return msgspec.structs.replace(message(body), properties=symbol.encode())


def scene(**arguments: Any) -> tuple[Domain, Queue, Symbols]:
    domain, symbols = Domain(), Symbols()
    domain.core.dialects.find = lambda origin: symbols
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    domain.session().declare_queue("q", durable=True, arguments=named)
    return domain, domain.queue("q"), symbols


def lowest(**arguments: Any) -> tuple[Domain, Queue]:
    return scene(overflow="drop-lowest-priority", **arguments)[:2]


def superseding(length: int = 3) -> tuple[Domain, Queue, Symbols]:
    return scene(overflow="drop-superseded", overflow_property="symbol", max_length=length)


def waiting(queue: Queue) -> list[str]:
    demand_counts(queue)
    return [bytes(one.body).decode() for run in queue.ready_runs() for one in run.messages or ()]


def priorities(*levels: int) -> list[Message]:
    return [message(f"{position}:{level}", priority=level) for position, level in enumerate(levels)]


def test_oldest_of_the_lowest_priority_goes() -> None:
    domain, queue = lowest(max_length=3)
    domain.publish([queue], priorities(4, 2, 9, 2))
    assert waiting(queue) == ["0:4", "2:9", "3:2"]
    domain.publish([queue], [message("new", priority=1)])
    assert waiting(queue) == ["0:4", "2:9", "3:2"], "the new one, if it is the lowest"


def test_in_a_queue_with_priorities_the_lowest_lane_gives_way() -> None:
    domain, queue = lowest(max_length=2, max_priority=9)
    domain.publish([queue], priorities(0, 9, 5))
    assert waiting(queue) == ["1:9", "2:5"]


def test_of_bytes_too_many_as_many_go_as_have_to() -> None:
    domain, queue = lowest(max_length_bytes=9)
    domain.publish([queue], priorities(3, 1, 2))
    domain.publish([queue], [message("five5", priority=5)])
    assert waiting(queue) == ["0:3", "five5"]


def test_what_was_superseded_goes_and_what_says_nothing() -> None:
    domain, queue, _ = superseding()
    for body, symbol in (("a1", "a"), ("plain", ""), ("a2", "a")):
        domain.publish([queue], [quote(body, symbol)])
    assert waiting(queue) == ["a1", "plain", "a2"], "nothing goes while there is room"
    domain.publish([queue], [quote("b1", "b")])
    assert waiting(queue) == ["a2", "b1"]


def test_where_nothing_was_superseded_the_oldest_goes() -> None:
    domain, queue, _ = superseding()
    for symbol in "abcd":
        domain.publish([queue], [quote(symbol, symbol)])
    assert waiting(queue) == ["b", "c", "d"]
    domain, queue, _ = superseding()
    for body in "abcd":
        domain.publish([queue], [quote(body, "")])
    assert waiting(queue) == ["b", "c", "d"], "nor where no message says anything"


def test_each_message_is_read_once_while_it_waits() -> None:
    domain, queue, symbols = superseding(100)
    for number in range(300):
        domain.publish([queue], [quote(str(number), str(number))])
    assert (queue.ready_count, symbols.read_count) == (100, 300)


def test_what_is_out_or_has_been_out_stays() -> None:
    domain, queue = lowest(max_length=2)
    domain.publish([queue], priorities(0, 0))
    receiver, ledger = Receiver(), Ledger()
    consumer = domain.consume(domain.session(), "q", receiver, ledger=ledger)
    domain.run()
    queue.remove_consumers([consumer])
    ledger.settle(2, True, Outcome.RELEASED)
    domain.publish([queue], priorities(9))
    assert waiting(queue) == ["0:0", "1:0"]


def test_only_the_first_thousand_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "LOOKED_AT", 2)
    domain, queue = lowest(max_length=3)
    domain.publish([queue], priorities(5, 4, 3, 3))
    assert waiting(queue) == ["0:5", "2:3", "3:3"]


def test_evicted_message_becomes_a_dead_letter_where_there_is_a_place_for_it() -> None:
    domain, queue = lowest(max_length=1, dead_letter_exchange="", dead_letter_routing_key="dead")
    domain.session().declare_queue("dead", durable=True)
    domain.publish([queue], priorities(1, 2))
    domain.run()
    assert (waiting(queue), domain.queue("dead").ready_count) == (["1:2"], 1)


def test_what_was_evicted_is_gone_after_a_restart() -> None:
    domain, queue = lowest(max_length=2)
    domain.publish([queue], priorities(4, 1, 7, 1))
    domain.run()
    left = waiting(queue)
    domain.restart()
    queue = domain.queue("q")
    taken = []
    while queue.ready_count:
        run = queue.take(10)
        domain.run()
        taken += [] if run is None else [bytes(one.body).decode() for one in run.messages or ()]
    assert taken == left == ["0:4", "2:7"]


def test_policy_says_it_as_well() -> None:
    domain, queue, _ = scene()
    said = {"overflow": "drop-superseded", "overflow-property": "symbol", "max-length": 1}
    domain.vhost.put_policy(Policy("/", "p", ".*", said, 0, "queues"))
    for body in ("a1", "a2"):
        domain.publish([queue], [quote(body, "a")])
    assert waiting(queue) == ["a2"]


@pytest.mark.parametrize("bad", [{"overflow": "drop-best"}, {"overflow_property": 5}])
def test_bad_arguments_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BrokerError):
        scene(**bad)


@given(
    st.integers(1, 5),
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), max_size=12),
    st.integers(0, 3),
)
def test_the_highest_and_newest_are_kept_whatever_comes_together(
    length: int, batches: list[list[int]], taken: int
) -> None:
    domain, queue = lowest(max_length=length)
    expected: list[tuple[int, int]] = []
    number = 0
    for batch in batches:
        new = list(range(number, number + len(batch)))
        domain.publish([queue], [message(n, priority=p) for n, p in zip(new, batch, strict=True)])
        number += len(batch)
        expected += zip(new, batch, strict=True)
        while len(expected) > length:
            expected.remove(min(expected, key=lambda one: (one[1], one[0])))
        for _ in range(min(taken, len(expected))):
            run = queue.take(1)
            assert run is not None
            assert run.messages is not None
            assert int(bytes(run.messages[0].body)) == expected.pop(0)[0]
            run.lane.settle_unanswered(run)
        assert [int(body) for body in waiting(queue)] == [n for n, _ in expected]
