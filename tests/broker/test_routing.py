"""How exchanges choose queues, against a matcher that is obviously right.

Source: AMQP 0-9-1 specification 3.1.3; RabbitMQ's `rabbit_exchange_type_headers`; rows R20-R25, R31. The
kinds that share messages out have tests of their own, in `test_balancing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from broker_tools import Domain
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from pillarbox.broker.exchange import Exchange, Route, frozen
from pillarbox.broker.index import NO_ENVELOPE, Envelope
from pillarbox.broker.queue import Queue
from pillarbox.broker.routing import KINDS, FanoutIndex, HeadersIndex, TopicIndex
from pillarbox.broker.vhost import VHost
from pillarbox.errors import BrokerError
from pillarbox.protocols.amqp091 import wire

# --- the reference ---------------------------------------------------------------------------------------


def topic_matches(pattern: str, key: str) -> bool:
    """The specification's words as a regular expression over the key with a dot in front of every word.

    An empty key has no words, as in RabbitMQ.
    """
    words = pattern.split(".") if pattern else []
    expression = "".join(
        {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}.get(word, re.escape("." + word)) for word in words
    )
    return re.fullmatch(expression, "." + key if key else "", re.DOTALL) is not None


def same_header(wanted: Any, value: Any) -> bool:
    """Equal in value and class, where all widths of integers are one class, and those of floats."""
    classes = (bool, int, float, str, bytes, list, dict)

    def class_of(one: Any) -> type | None:
        return next((kind for kind in classes if isinstance(one, kind)), None)

    return class_of(wanted) is class_of(value) and bool(wanted == value)


def headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    mode = arguments.get("x-match", "all")
    hits = [
        name in headers and (value is None or same_header(value, headers[name]))
        for name, value in arguments.items()
        if name != "x-match" and (mode.endswith("-with-x") or not name.startswith("x-"))
    ]
    return any(hits) if mode.startswith("any") else all(hits)


MATCHES = {
    "direct": lambda bound, arguments, key, headers: bound == key,
    "fanout": lambda bound, arguments, key, headers: True,
    "topic": lambda bound, arguments, key, headers: topic_matches(bound, key),
    "headers": lambda bound, arguments, key, headers: headers_match(arguments, headers),
}

BALANCED = ("x-consistent-hash", "x-modulus-hash")
"""Kinds that choose one binding by the keys alone: which, is their own affair."""


def no_random(count: int) -> bytes:
    raise AssertionError("nothing here is left to chance")


# --- strategies -------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "", "ab", "é"])
KEYS = st.lists(WORDS, max_size=4).map(".".join)
PATTERNS = st.lists(WORDS | st.sampled_from(["*", "#", "#"]), max_size=5).map(".".join)
VALUES = st.sampled_from(
    [None, True, False, 1, 0, wire.Byte(1), wire.Short(0), 1.0, wire.Float(1.0), "1", b"1", [1], {"a": 1}]
)
NAMES = st.sampled_from(["a", "b", "x-a"])
HEADERS = st.dictionaries(NAMES, VALUES, max_size=3)
ARGUMENTS = st.builds(
    lambda table, mode: table if mode is None else {**table, "x-match": mode},
    HEADERS,
    st.sampled_from([None, "all", "any", "all-with-x", "any-with-x"]),
)

# --- one index --------------------------------------------------------------------------------------------


class Place:
    """A destination that is only a name."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.row("R22")
@given(PATTERNS, KEYS)
def test_topic_words_match_as_the_specification_says(pattern: str, key: str) -> None:
    """`*` is exactly one word, `#` any number of them; an empty word is a word, an empty key has none."""
    index = TopicIndex()
    index.add(pattern, {}, Place("q"))
    assert bool(list(index.match((key,), NO_ENVELOPE))) == topic_matches(pattern, key)


@pytest.mark.row("R22")
@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("stock.*.nyse", "stock.ibm.nyse", True),
        ("stock.*.nyse", "stock.nyse", False),
        ("stock.#", "stock", True),
        ("#", "", True),
        ("*", "", False),
        ("#.*", "", False),
        ("a.#.#.b", "a.b", True),
        ("a.#.b", "a.x.y.b", True),
        ("a.#.b", "a.x.y.c", False),
        ("*.#", "a", True),
        ("a.*", "a.", True),
        ("a.*", "a", False),
        ("**", "a", False),
    ],
)
def test_topic_examples(pattern: str, key: str, matches: bool) -> None:
    assert topic_matches(pattern, key) is matches, "the reference itself"
    index = TopicIndex()
    index.add(pattern, {}, Place("q"))
    assert bool(list(index.match((key,), NO_ENVELOPE))) is matches


def test_topic_key_of_many_hashes_costs_no_exponent() -> None:
    """A pattern that anybody may bind must not stop the broker."""
    index = TopicIndex()
    index.add(".".join(["#"] * 40 + ["end"]), {}, Place("q"))
    assert list(index.match((".".join(["a"] * 60),), NO_ENVELOPE)) == []
    assert len(list(index.match((".".join(["a"] * 60 + ["end"]),), NO_ENVELOPE))) == 1


@pytest.mark.row("R22")
@given(ARGUMENTS, HEADERS)
def test_headers_match_by_mode(arguments: dict[str, Any], headers: dict[str, Any]) -> None:
    """all, any, and both with the headers that begin with `x-`; a void value asks for presence only."""
    index = HeadersIndex()
    index.add("", arguments, Place("q"))
    assert bool(list(index.match(("",), Envelope(headers)))) == headers_match(arguments, headers)


@pytest.mark.row("R22")
def test_headers_match_whatever_the_width_of_an_integer_on_the_wire() -> None:
    """RabbitMQ compares values, not field types: clients write the same number as `b`, `s`, `I` or `l`."""
    index = HeadersIndex()
    index.add("", {"n": wire.Byte(5), "f": wire.Float(0.5)}, Place("q"))
    assert list(index.match(("",), Envelope({"n": 5, "f": 0.5})))
    assert list(index.match(("",), Envelope({"n": wire.Long(5), "f": 0.5})))
    assert not list(index.match(("",), Envelope({"n": 5.0, "f": 0.5})))
    assert not list(index.match(("",), Envelope({"n": "5", "f": 0.5})))


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(MATCHES)),
    st.lists(st.tuples(PATTERNS, ARGUMENTS, st.integers(0, 2), st.booleans()), max_size=12),
    KEYS,
    HEADERS,
)
def test_index_holds_exactly_what_was_added_and_not_removed(
    kind: str, steps: list[tuple[str, dict[str, Any], int, bool]], key: str, headers: dict[str, Any]
) -> None:
    """Bindings come and go in any order; an index is used like `Exchange` does, each identity once."""
    places = [Place("0"), Place("1"), Place("2")]
    index = KINDS[kind].make({}, no_random)
    present: dict[object, tuple[str, dict[str, Any], Place]] = {}
    for bound, arguments, number, adds in steps:
        identity = (bound, frozen(arguments), number)
        if adds and identity not in present:
            present[identity] = (bound, arguments, places[number])
            index.add(*present[identity])
        elif not adds and identity in present:
            index.remove(*present.pop(identity))
    matching = [
        place.name
        for bound, arguments, place in present.values()
        if MATCHES[kind](bound, arguments, key, headers)
    ]
    assert set(matching) == {place.name for place in index.match((key,), Envelope(headers))}
    for binding in list(present.values()):
        index.remove(*binding)
    assert list(index.match((key,), Envelope(headers))) == []


def test_topic_index_forgets_words_that_nobody_binds() -> None:
    index = TopicIndex()
    place = Place("q")
    for number in range(100):
        index.add(f"a.{number}.#", {}, place)
    for number in range(100):
        index.remove(f"a.{number}.#", {}, place)
    assert index._root.children == {}


def test_fanout_counts_bindings_of_one_destination() -> None:
    """A queue bound with two keys gets a message once, and until both bindings are gone."""
    index = FanoutIndex()
    place = Place("q")
    index.add("a", {}, place)
    index.add("b", {}, place)
    assert list(index.match(("x",), NO_ENVELOPE)) == [place]
    index.remove("a", {}, place)
    assert list(index.match(("x",), NO_ENVELOPE)) == [place]
    index.remove("b", {}, place)
    assert list(index.match(("x",), NO_ENVELOPE)) == []


@pytest.mark.row("R31")
def test_headers_bindings_that_differ_only_in_type_are_two() -> None:
    """Removing one leaves the other, although 1 == True in Python."""
    domain = Domain()
    vhost = domain.vhost
    queue = vhost.declare_queue(None, "q")
    source = vhost.exchange("amq.headers")
    vhost.bind(source, queue, "", {"n": 1})
    vhost.bind(source, queue, "", {"n": True})
    vhost.unbind(source, queue, "", {"n": True})
    assert source.resolve(("",), Envelope({"n": 1})).queues == (queue,)
    assert source.resolve(("",), Envelope({"n": True})).queues == ()


# --- exchanges bound to exchanges -------------------------------------------------------------------------


def names(route: Route) -> list[str]:
    return [queue.name for queue in route.queues]


@pytest.mark.row("R24")
def test_queue_reached_by_several_ways_gets_one_copy() -> None:
    vhost = Domain().vhost
    queue = vhost.declare_queue(None, "q")
    top, left, right = (vhost.declare_exchange(name, "fanout") for name in ("top", "left", "right"))
    for middle in (left, right):
        vhost.bind(top, middle, "", {})
        vhost.bind(middle, queue, "", {})
    vhost.bind(top, queue, "x", {})
    assert names(top.resolve(("k",))) == ["q"]


@pytest.mark.row("R24")
def test_cycle_of_exchanges_ends() -> None:
    vhost = Domain().vhost
    queue = vhost.declare_queue(None, "q")
    one, other = vhost.declare_exchange("one", "fanout"), vhost.declare_exchange("other", "fanout")
    vhost.bind(one, other, "", {})
    vhost.bind(other, one, "", {})
    vhost.bind(one, one, "", {})
    vhost.bind(other, queue, "", {})
    assert names(one.resolve(("k",))) == ["q"]


@pytest.mark.row("R26")
def test_every_key_of_a_message_is_looked_up() -> None:
    """CC and BCC bring further keys; a queue that several of them reach gets one copy."""
    vhost = Domain().vhost
    queues = [vhost.declare_queue(None, name) for name in ("a", "b")]
    for queue in queues:
        vhost.bind(vhost.exchange("amq.direct"), queue, queue.name, {})
    assert names(vhost.exchange("amq.direct").resolve(("a", "b", "a"))) == ["a", "b"]
    assert names(vhost.resolve_default(("b", "nobody", "a", "b"))) == ["b", "a"]


def test_route_through_a_headers_exchange_says_so() -> None:
    """Such a route must be resolved again for each message, also when the exchange stands behind others."""
    vhost = Domain().vhost
    top = vhost.declare_exchange("top", "topic")
    assert not top.resolve(("a.b",)).per_message
    vhost.bind(top, vhost.exchange("amq.headers"), "a.#", {})
    assert top.resolve(("a.b",)).per_message
    assert not top.resolve(("b",)).per_message
    vhost.declare_exchange("other", "topic", arguments={"alternate-exchange": "amq.headers"})
    assert vhost.exchange("other").resolve(("b",)).per_message
    assert vhost.exchange("amq.headers").resolve(("b",)).per_message


@pytest.mark.row("R25")
def test_kept_routes_end_with_every_change_of_an_alternate() -> None:
    """Whatever happens to the alternate, or to the alternate's alternate: who kept a route asks again."""
    vhost = Domain().vhost
    queue, other = (vhost.declare_queue(None, name) for name in ("q", "other"))

    def declare(name: str, alternate: str) -> None:
        vhost.declare_exchange(name, "direct", arguments={"alternate-exchange": alternate})

    declare("first", "second")
    changes: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: declare("second", "third"), []),
        (lambda: vhost.bind(vhost.exchange("second"), queue, "k", {}), ["q"]),
        (lambda: vhost.unbind(vhost.exchange("second"), queue, "k", {}), []),
        (lambda: declare("third", "first"), []),
        (lambda: vhost.bind(vhost.exchange("third"), queue, "k", {}), ["q"]),
        (lambda: vhost.bind(vhost.exchange("second"), other, "k", {}), ["other"]),
        (lambda: vhost.delete_queue(None, "other"), ["q"]),
        (lambda: vhost.delete_exchange("second"), []),
        (lambda: declare("second", "third"), ["q"]),
        (lambda: vhost.delete_exchange("third"), []),
    ]
    for number, (change, reached) in enumerate(changes):
        kept = vhost.exchange("first").resolve(("k",))
        change()
        assert not kept.stamp.valid, number
        assert names(vhost.exchange("first").resolve(("k",))) == reached, number


@pytest.mark.row("R25", "R24")
def test_exchange_with_a_matching_binding_needs_no_alternate() -> None:
    """Even if the exchange behind that binding routes to nobody."""
    vhost = Domain().vhost
    first = vhost.declare_exchange("first", "fanout", arguments={"alternate-exchange": "amq.fanout"})
    vhost.bind(vhost.exchange("amq.fanout"), vhost.declare_queue(None, "q"), "", {})
    assert names(first.resolve(("k",))) == ["q"]
    vhost.bind(first, vhost.exchange("amq.direct"), "", {})
    assert names(first.resolve(("k",))) == []


@pytest.mark.row("R25")
def test_exchanges_that_are_gone_are_forgotten_by_their_alternates() -> None:
    """Also one that names itself: nothing of it is left to walk through."""
    vhost = Domain().vhost
    target = vhost.exchange("amq.fanout")
    for alternate in ("amq.fanout", "x", "missing"):
        vhost.declare_exchange("x", "direct", arguments={"alternate-exchange": alternate})
        vhost.delete_exchange("x")
    assert target.sources == {}
    assert vhost._naming == {}


EXCHANGE_NAMES = st.sampled_from(["x1", "x2", "x3", "x4"])


class RouteMachine(RuleBasedStateMachine):
    """Any sequence of declarations, bindings and deletions, against bindings in a plain list.

    A route that somebody kept is either marked invalid or still what a fresh resolve gives.
    """

    exchanges = Bundle("exchanges")
    queues = Bundle("queues")

    def __init__(self) -> None:
        super().__init__()
        self.vhost: VHost = Domain().vhost
        self.bound: list[tuple[Exchange, Queue | Exchange, str, dict[str, Any]]] = []
        self.kept: dict[tuple[str, tuple[str, ...], object], tuple[Route, dict[str, Any]]] = {}
        self.count = 0

    @rule(
        target=exchanges,
        name=EXCHANGE_NAMES,
        kind=st.sampled_from([*sorted(MATCHES), *BALANCED]),
        alternate=EXCHANGE_NAMES | EXCHANGE_NAMES | st.none(),
    )
    def declare_exchange(self, name: str, kind: str, alternate: str | None) -> Any:
        """Names come back, so that alternates come and go and come again."""
        if name in self.vhost.exchanges:
            return multiple()
        arguments = {} if alternate is None else {"alternate-exchange": alternate}
        return self.vhost.declare_exchange(name, kind, arguments=arguments).name

    @rule(target=queues)
    def declare_queue(self) -> str:
        self.count += 1
        return self.vhost.declare_queue(None, f"q{self.count}").name

    @rule(source=exchanges, destination=exchanges | queues, key=PATTERNS, arguments=ARGUMENTS)
    def bind(self, source: str, destination: str, key: str, arguments: dict[str, Any]) -> None:
        binding = self._binding(source, destination, key, arguments)
        self.vhost.bind(*binding)
        if not any(_same_binding(binding, other) for other in self.bound):
            self.bound.append(binding)

    @rule(source=exchanges, destination=exchanges | queues, key=PATTERNS, arguments=ARGUMENTS)
    def unbind(self, source: str, destination: str, key: str, arguments: dict[str, Any]) -> None:
        binding = self._binding(source, destination, key, arguments)
        self.vhost.unbind(*binding)
        self.bound = [other for other in self.bound if not _same_binding(binding, other)]

    @rule(data=st.data())
    def unbind_one_that_exists(self, data: st.DataObject) -> None:
        if self.bound:
            binding = self.bound.pop(data.draw(st.integers(0, len(self.bound) - 1)))
            self.vhost.unbind(*binding)

    @rule(name=consumes(queues))
    def delete_queue(self, name: str) -> None:
        self._forget(self.vhost.queues[name])
        self.vhost.delete_queue(None, name)

    @rule(name=consumes(exchanges))
    def delete_exchange(self, name: str) -> None:
        self._forget(self.vhost.exchanges[name])
        self.vhost.delete_exchange(name)
        self.kept = {place: kept for place, kept in self.kept.items() if place[0] != name}

    @rule(source=exchanges, keys=st.lists(KEYS, min_size=1, max_size=2), headers=HEADERS)
    def route(self, source: str, keys: list[str], headers: dict[str, Any]) -> None:
        exchange = self.vhost.exchanges[source]
        route = exchange.resolve(tuple(keys), Envelope(headers))
        assert set(route.queues) == self._reached(exchange, keys, headers)
        assert len(set(route.queues)) == len(route.queues)
        self.kept[source, tuple(keys), frozen(headers)] = route, headers

    @rule(target=queues, name=queues)
    def keep_a_default_route(self, name: str) -> Any:
        route = self.vhost.resolve_default((name,))
        assert names(route) == [name]
        self.kept["", (name,), ()] = route, {}
        return multiple()

    @invariant()
    def kept_routes_are_right_or_marked(self) -> None:
        for (source, keys, _), (route, headers) in list(self.kept.items()):
            if not route.stamp.valid:
                continue
            if source:
                fresh = self.vhost.exchanges[source].resolve(keys, Envelope(headers))
                assert fresh.per_message == route.per_message
            else:
                fresh = self.vhost.resolve_default(keys)
            assert set(fresh.queues) == set(route.queues)

    @invariant()
    def bindings_are_listed_at_both_ends(self) -> None:
        listed = {
            id(binding)
            for exchange in self.vhost.exchanges.values()
            for binding in exchange.bindings.values()
        }
        inbound = {id(binding) for bindings in self.vhost.inbound.values() for binding in bindings}
        assert listed == inbound
        assert len(listed) == len(self.bound)

    def _binding(
        self, source: str, destination: str, key: str, arguments: dict[str, Any]
    ) -> tuple[Exchange, Queue | Exchange, str, dict[str, Any]]:
        end: Queue | Exchange | None = self.vhost.queues.get(destination)
        exchange = self.vhost.exchanges[source]
        if exchange.kind == "x-consistent-hash":
            key = str(len(key) + 1)
        return exchange, end or self.vhost.exchanges[destination], key, arguments

    def _forget(self, end: Queue | Exchange) -> None:
        self.bound = [binding for binding in self.bound if end not in binding[:2]]

    def _reached(self, exchange: Exchange, keys: list[str], headers: dict[str, Any]) -> set[Queue]:
        """Everything that a path of matching bindings and of alternates leads to, by brute force."""
        reached: dict[Queue | Exchange, None] = {exchange: None}
        pending = [exchange]
        while pending:
            source = pending.pop()
            ends = self._matching(source, keys, headers)
            alternate = self.vhost.exchanges.get(source.arguments.get("alternate-exchange", ""))
            if not ends and alternate is not None:
                ends = {alternate}
            for end in ends:
                if end not in reached and isinstance(end, Exchange):
                    pending.append(end)
                reached[end] = None
        return {end for end in reached if isinstance(end, Queue)}

    def _matching(self, source: Exchange, keys: list[str], headers: dict[str, Any]) -> set[Queue | Exchange]:
        bound = [binding for binding in self.bound if binding[0] is source]
        if source.kind not in BALANCED:
            matches = MATCHES[source.kind]
            return {
                end
                for _, end, own, arguments in bound
                if any(matches(own, arguments, k, headers) for k in keys)
            }
        chosen = set(source._index.match(tuple(keys), NO_ENVELOPE))
        assert len(chosen) == bool(bound)
        assert chosen <= {binding[1] for binding in bound}
        return chosen  # type: ignore[return-value]


def _same_binding(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return one[:3] == other[:3] and frozen(one[3]) == frozen(other[3])


TestRoutes = RouteMachine.TestCase
TestRoutes.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRoutes = pytest.mark.row("R22", "R24", "R25", "R31")(TestRoutes)


# --- the default exchange and the predeclared ones --------------------------------------------------------


@pytest.mark.row("R20")
def test_default_exchange_leads_to_the_queue_of_that_name() -> None:
    vhost = Domain().vhost
    queue = vhost.declare_queue(None, "orders")
    assert vhost.resolve_default(("orders",)).queues == (queue,)
    assert vhost.resolve_default(("Orders",)).queues == ()


@pytest.mark.row("R20")
def test_default_route_of_a_missing_queue_is_not_to_be_kept() -> None:
    """The queue may be declared a moment later, and no exchange would say so."""
    domain = Domain()
    assert not domain.vhost.resolve_default(("later",)).stamp.valid


@pytest.mark.row("R20")
@pytest.mark.parametrize("kept", [("q",), ("q", "q"), ("q", "other")])
def test_default_route_ends_with_its_queue(kept: tuple[str, ...]) -> None:
    domain = Domain()
    domain.vhost.declare_queue(None, "q")
    route = domain.vhost.resolve_default(kept)
    domain.vhost.delete_queue(None, "q")
    domain.vhost.declare_queue(None, "q")
    assert not route.stamp.valid


@pytest.mark.row("R21")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
        ("amq.rabbitmq.trace", "topic"),
    ],
)
def test_predeclared_exchanges_are_there_and_durable(name: str, kind: str) -> None:
    exchange = Domain().vhost.exchange(name)
    assert (exchange.kind, exchange.durable, exchange.auto_delete) == (kind, True, False)


@pytest.mark.row("R21")
def test_predeclared_exchange_cannot_be_deleted_but_declared_again_as_it_is() -> None:
    vhost = Domain().vhost
    with pytest.raises(
        BrokerError, match=r"deletion of system exchange 'amq\.topic' in vhost '/' not allowed"
    ):
        vhost.delete_exchange("amq.topic")
    assert vhost.declare_exchange("amq.topic", "topic", durable=True) is vhost.exchange("amq.topic")
