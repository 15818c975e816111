"""Exchange kinds that give each message to one of their bindings (R29, R30).

What is left to chance or to a hash is tested by counting; the bounds are five standard deviations of a fair
choice, and as hashes do not change from run to run, neither does the outcome.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from broker_tools import Domain, Receiver
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.balancing import ConsistentHash, ModulusHash, RandomChoice, hash64
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.index import ANY_MESSAGE, NO_ENVELOPE, Envelope, Index
from pillarbox.broker.ledger import Ledger
from pillarbox.broker.routing import KINDS
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.amqp091 import wire

KEYS = [f"user-{number}" for number in range(20_000)]


class Place:
    """A destination that is only a name."""

    def __init__(self, name: str, **arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def wants(self, envelope: Envelope) -> bool:
        return False


def bound(weights: Mapping[str, int], arguments: Mapping[str, Any] | None = None) -> ConsistentHash:
    index = ConsistentHash(arguments or {})
    for name, weight in weights.items():
        index.add(str(weight), {}, Place(name))
    return index


def chosen(index: Index, key: str = "", envelope: Envelope = NO_ENVELOPE) -> str:
    (place,) = index.match((key,), envelope)
    return place.name


def demand_shares(counts: Counter[str], shares: Mapping[str, float]) -> None:
    """Fail unless every count is within five standard deviations of its share."""
    total, whole = counts.total(), sum(shares.values())
    for name, share in shares.items():
        part = share / whole
        deviation = (total * part * (1 - part)) ** 0.5
        assert abs(counts[name] - total * part) < 5 * deviation, (name, counts, shares)


def refusal(act: Callable[[], object]) -> tuple[Reason, str]:
    with pytest.raises(BrokerError) as caught:
        act()
    return caught.value.reason, caught.value.text


# --- consistent hash ------------------------------------------------------------------------------------


@pytest.mark.row("R29")
@pytest.mark.parametrize(
    "weights",
    [
        {f"q{number}": 1 for number in range(10)},
        {f"q{number}": 100 for number in range(3)},
        {"a": 1, "b": 2, "c": 3, "d": 10},
        {f"shard-{number}": number + 1 for number in range(20)},
        {"a": 1, "b": 1000},
    ],
    ids=str,
)
def test_consistent_hash_shares_are_those_of_the_weights(weights: dict[str, int]) -> None:
    """Without any of the unevenness that a ring of points has."""
    index = bound(weights)
    demand_shares(Counter(chosen(index, key) for key in KEYS), weights)


@pytest.mark.row("R29")
@pytest.mark.parametrize("prefix", ["", "orders.", "\x00", "é"])
def test_consistent_hash_spreads_numbers_in_sequence(prefix: str) -> None:
    """Keys that differ in one digit are as good as any."""
    weights = {f"q{number}": 1 for number in range(4)}
    index = bound(weights)
    demand_shares(Counter(chosen(index, f"{prefix}{number}") for number in range(4000)), weights)


@pytest.mark.row("R29")
def test_consistent_hash_moves_only_what_the_new_destination_gets() -> None:
    """And when that goes again, everything is back where it was."""
    index = bound({f"q{number}": 2 for number in range(9)})
    before = {key: chosen(index, key) for key in KEYS}
    new = Place("new")
    index.add("2", {}, new)
    after = {key: chosen(index, key) for key in KEYS}
    moved = Counter(after[key] for key in KEYS if after[key] != before[key])
    assert set(moved) == {"new"}
    demand_shares(Counter({"new": moved["new"], "others": len(KEYS) - moved["new"]}), {"new": 1, "others": 9})
    index.remove("2", {}, new)
    assert {key: chosen(index, key) for key in KEYS} == before


@pytest.mark.row("R29")
@given(
    st.dictionaries(st.text(max_size=5), st.integers(1, 10**9), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    st.lists(st.text(max_size=8), min_size=1, max_size=20),
)
def test_consistent_hash_does_not_depend_on_the_order_of_bindings(
    weights: dict[str, int], shuffler: random.Random, keys: list[str]
) -> None:
    names = list(weights)
    shuffler.shuffle(names)
    one, other = bound(weights), bound({name: weights[name] for name in names})
    assert [chosen(one, key) for key in keys] == [chosen(other, key) for key in keys]


@pytest.mark.row("R29")
def test_hashes_are_the_same_in_every_process() -> None:
    """A change here would send every key of a running system elsewhere at the next start."""
    assert hash64("user-1") == 0x9AAC5A8621EAE188  # printf user-1 | b2sum -l 64
    index = bound({"a": 1, "b": 2, "c": 3})
    assert "".join(chosen(index, key) for key in KEYS[:24]) == "bbcbbbbccbacccbcaccacccc"


@pytest.mark.row("R29")
def test_consistent_hash_of_several_bindings_goes_by_the_oldest() -> None:
    """The others count when it is gone; each binding is taken out by itself."""
    place, other = Place("q"), Place("other")
    index = ConsistentHash({})
    for weight, destination in ((1, place), (1_000_000, place), (1, other)):
        index.add(str(weight), {}, destination)
    demand_shares(Counter(chosen(index, key) for key in KEYS[:2000]), {"q": 1, "other": 1})
    index.remove("1", {}, place)
    assert [chosen(index, key) for key in KEYS[:20]] == ["q"] * 20
    index.remove("1000000", {}, place)
    assert [chosen(index, key) for key in KEYS[:20]] == ["other"] * 20
    index.remove("1", {}, other)
    assert list(index.match(("k",), NO_ENVELOPE)) == []


@pytest.mark.row("R29")
@pytest.mark.parametrize(
    ("arguments", "envelope"),
    [
        ({"hash-header": "h"}, lambda value: Envelope({"h": value})),
        ({"hash-property": "message_id"}, lambda value: Envelope({}, {"message_id": value}.get)),
        ({"hash-property": "correlation_id"}, lambda value: Envelope({}, {"correlation_id": value}.get)),
        ({"hash-property": "timestamp"}, lambda value: Envelope({}, {"timestamp": value}.get)),
    ],
    ids=["header", "message_id", "correlation_id", "timestamp"],
)
def test_consistent_hash_by_header_or_property(
    arguments: dict[str, Any], envelope: Callable[[object], Envelope]
) -> None:
    """The routing key is of no account then, and messages without a value have one place."""
    weights = {f"q{number}": 1 for number in range(5)}
    index = bound(weights, arguments)
    places = [chosen(index, "k", envelope(number)) for number in range(5000)]
    assert places == [chosen(index, "other", envelope(number)) for number in range(5000)]
    demand_shares(Counter(places), weights)
    assert len({chosen(index, key, NO_ENVELOPE) for key in KEYS[:50]}) == 1


@pytest.mark.row("R29", "T9")
@pytest.mark.parametrize("numbers", [(5, wire.Byte(5), wire.Short(5), wire.Long(5)), (0.5, wire.Float(0.5))])
def test_consistent_hash_of_a_number_whatever_its_width(numbers: tuple[Any, ...]) -> None:
    index = bound({f"q{number}": 1 for number in range(100)}, {"hash-header": "h"})
    assert len({chosen(index, "", Envelope({"h": number})) for number in numbers}) == 1


@pytest.mark.row("R29")
def test_consistent_hash_by_key_alone_may_be_kept() -> None:
    """Then a publisher's route cache knows the way; not so if the message itself is looked at."""
    vhost = Domain().vhost
    queues = [vhost.declare_queue(None, f"q{number}") for number in range(4)]
    tables: tuple[dict[str, Any], ...] = ({}, {"hash-header": "h"}, {"hash-property": "message_id"})
    for number, arguments in enumerate(tables):
        source = vhost.declare_exchange(f"x{number}", "x-consistent-hash", arguments=arguments)
        for queue in queues:
            vhost.bind(source, queue, "1", {})
        route = source.resolve(("k",))
        assert route.per_message is bool(arguments)
        assert len(route.queues) == 1
    kept = vhost.exchange("x0").resolve(("k",))
    vhost.unbind(vhost.exchange("x0"), kept.queues[0], "1", {})
    assert not kept.stamp.valid


@pytest.mark.row("R29", "R24")
def test_consistent_hash_tells_a_queue_from_an_exchange_of_that_name() -> None:
    vhost = Domain().vhost
    source = vhost.declare_exchange("source", "x-consistent-hash")
    vhost.bind(source, vhost.declare_queue(None, "n"), "1", {})
    vhost.bind(source, vhost.declare_exchange("n", "fanout"), "1", {})
    vhost.bind(vhost.exchange("n"), vhost.declare_queue(None, "behind"), "", {})
    counts = Counter(source.resolve((key,)).queues[0].name for key in KEYS[:2000])
    demand_shares(counts, {"n": 1, "behind": 1})


# --- modulus hash ---------------------------------------------------------------------------------------


@pytest.mark.row("R30")
def test_modulus_hash_gives_each_binding_its_share() -> None:
    """A queue that is bound twice gets twice as much; equal keys stay together."""
    index = ModulusHash()
    once, twice = Place("once"), Place("twice")
    for key, place in (("a", twice), ("b", once), ("c", twice)):
        index.add(key, {}, place)
    places = [chosen(index, key) for key in KEYS]
    demand_shares(Counter(places), {"once": 1, "twice": 2})
    assert places == [chosen(index, key) for key in KEYS]
    index.remove("b", {}, once)
    assert {chosen(index, key) for key in KEYS[:50]} == {"twice"}


@pytest.mark.row("R30")
def test_modulus_hash_does_not_depend_on_the_order_of_bindings() -> None:
    places = [Place(f"q{number}") for number in range(7)]
    indexes = (ModulusHash(), ModulusHash())
    for index, order in zip(indexes, (places, places[::-1]), strict=True):
        for place in order:
            index.add("", {}, place)
    assert [chosen(indexes[0], key) for key in KEYS[:500]] == [chosen(indexes[1], key) for key in KEYS[:500]]


@pytest.mark.row("R30", "R26")
def test_modulus_hash_takes_all_keys_of_a_message_together() -> None:
    index = ModulusHash()
    for number in range(8):
        index.add("", {}, Place(f"q{number}"))
    routed = {next(iter(index.match(("k", further), NO_ENVELOPE))).name for further in KEYS[:200]}
    assert len(routed) == 8


# --- by chance ------------------------------------------------------------------------------------------


@pytest.mark.row("R30")
def test_random_choice_takes_each_binding_as_often() -> None:
    index = RandomChoice(random.Random(1).randbytes)
    for place in [Place("a"), Place("b"), *([Place("c")] * 3)]:
        index.add("ignored", {}, place)
    demand_shares(Counter(chosen(index, "k") for _ in range(20_000)), {"a": 1, "b": 1, "c": 3})


@pytest.mark.row("R30")
@pytest.mark.parametrize("kind", ["x-random", "x-local-random"])
def test_random_routes_are_chosen_for_each_message(kind: str) -> None:
    """And never kept; a queue that is gone is not chosen any more."""
    vhost = Domain().vhost
    source = vhost.declare_exchange("source", kind)
    queues = [vhost.declare_queue(None, f"q{number}") for number in range(3)]
    assert source.resolve(("k",)).queues == ()
    for queue in queues:
        vhost.bind(source, queue, "", {})
    routes = [source.resolve(("k",)) for _ in range(50)]
    assert all(route.per_message and len(route.queues) == 1 for route in routes)
    assert {route.queues[0] for route in routes} == set(queues)
    vhost.delete_queue(None, "q0")
    vhost.delete_queue(None, "q1")
    assert {source.resolve(("k",)).queues for _ in range(20)} == {(queues[2],)}


@pytest.mark.row("R30", "406")
@pytest.mark.parametrize(
    ("key", "arguments", "to_exchange", "text"),
    [
        ("k", {}, False, "Non empty binding 'k' key not permitted"),
        ("", {}, True, "Destination not found"),
        (
            "",
            {"x-queue-type": "quorum"},
            False,
            "Queue type rabbit_quorum_queue not valid for this exchange type",
        ),
    ],
)
def test_local_random_binds_classic_queues_without_a_key(
    key: str, arguments: dict[str, Any], to_exchange: bool, text: str
) -> None:
    """Texts of RabbitMQ 4.0, rabbit_exchange_type_local_random:validate_binding."""
    check = KINDS["x-local-random"].check_binding
    place = Place("q", **arguments)
    assert refusal(lambda: check(key, {}, place, to_exchange)) == (Reason.PRECONDITION_FAILED, text)
    check("", {}, Place("q", **{"x-queue-type": "classic"}), False)


# --- in turn --------------------------------------------------------------------------------------------


@pytest.mark.row("A2")
def test_bindings_of_a_key_take_turns() -> None:
    """A2: whoever has waited longest is next, when one comes or goes too; each key has turns of its own."""
    vhost = Domain().vhost
    source = vhost.declare_exchange("source", "x-anycast")
    queues = {name: vhost.declare_queue(None, name) for name in "abc"}

    def turns(key: str, count: int) -> str:
        routes = [source.resolve((key,)) for _ in range(count)]
        assert all(route.per_message for route in routes)
        return "".join(queue.name for route in routes for queue in route.queues)

    assert turns("k", 1) == ""
    for name in "ab":
        vhost.bind(source, queues[name], "k", {})
    vhost.bind(source, queues["c"], "other", {})
    assert turns("k", 3) == "aba"
    vhost.bind(source, queues["c"], "k", {})
    assert turns("k", 4) == "bacb"
    assert turns("other", 2) == "cc"
    vhost.delete_queue(None, "a")
    assert turns("k", 3) == "cbc"


@pytest.mark.row("A2")
def test_asking_where_messages_may_go_is_nobodys_turn() -> None:
    vhost = Domain().vhost
    source = vhost.declare_exchange("source", "x-anycast")
    for name in "ab":
        vhost.bind(source, vhost.declare_queue(None, name), "k", {})
    before = vhost.declare_exchange("before", "fanout")
    vhost.bind(before, source, "", {})
    for _ in range(3):
        for exchange in (source, before):
            route = exchange.resolve(("k",), ANY_MESSAGE)
            assert ([queue.name for queue in route.queues], route.per_message) == (["a", "b"], True)
    assert [source.resolve(("k",)).queues[0].name for _ in range(3)] == ["a", "b", "a"]


@pytest.mark.row("A2")
def test_queue_that_somebody_reads_has_its_turn_first() -> None:
    """A2: unless its readers do not want the message, by what they would see of it."""
    domain = Domain()
    session = domain.session()
    source = domain.vhost.declare_exchange("source", "x-anycast")
    for name in "abc":
        domain.vhost.bind(source, domain.vhost.declare_queue(None, name), "k", {})

    def names(*priorities: int) -> str:
        said = [Neutral(headers={"n": 1}, priority=priority) for priority in priorities]
        envelopes = [Envelope(each.headers, each.property_named) for each in said]
        return "".join(source.resolve(("k",), each).queues[0].name for each in envelopes)

    def read(queue: str, arguments: Mapping[str, Any]) -> Consumer:
        said = {
            "tag": queue,
            "no_ack": True,
            "exclusive": False,
            "prefetch": 0,
            "pool": Pool(),
            "priority": 0,
        }
        return session.consume(queue, Receiver(), Ledger(), **said, arguments=arguments)

    reader = read("c", {"x-selector": "JMSPriority > 4 AND n = 1"})
    assert names(9, 9, 0, 9, 0) == "ccacb"
    read("b", {})
    assert names(0, 9, 0, 9, 9) == "bcbcb"
    session.cancel_all([reader])
    assert names(9, 9) == "bb"
