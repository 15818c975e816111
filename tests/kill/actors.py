"""What clients do: an `Actor` makes load, a `Drain` takes everything out after a restart.

Both tell the model, through `emit`, about everything they do before they do it. Chance comes in through a
`random.Random`, so that a seed gives the same actors, if not the same interleaving over sockets.

A body says who published it and its number, and the rest follows from these two, so that a damaged body is
noticed.
"""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from bench import amqp_wire

from . import topology
from .model import NOTHING, Definitions, Event, Found, State, exchange_of, key_of, priority_of
from .topology import Route
from .wire import FRAME_MAX, Client, ProtocolError

_PATTERN = random.Random(20240229).randbytes(300_000)
_body_head = struct.Struct(">QI")
PROBE = b"probe "
_NOT_GONE = f"the queue {topology.PASSING}, which is not durable, is there"

Emit = Callable[[Event], None]


def make_body(key: int, size: int) -> bytes:
    """A body of about this size that says which message it is."""
    size = max(size, _body_head.size)
    start = key % 9973
    return _body_head.pack(key, size) + _PATTERN[start : start + size - _body_head.size]


def read_body(body: bytes) -> int:
    """Return the message's key; ProtocolError if anything is not as it was published."""
    if len(body) >= _body_head.size:
        key, size = _body_head.unpack_from(body)
        if body == make_body(key, size):
            return int(key)
    raise ProtocolError(f"a damaged body of {len(body)} bytes: {body[:20]!r}")


class Style(NamedTuple):
    """How an actor behaves in one round."""

    window: int
    """Publishes that may wait for their confirm; 1: one by one."""
    burst: int
    """Messages of one route in a row, at most."""
    sizes: tuple[int, ...]
    prefetch: int
    consumes: float
    """Share of the queues that it receives from."""
    transient: float
    """Share of bursts that are not persistent."""
    multiple: bool
    """Acknowledges many at once."""
    defines: float = 0.015
    """Share of its steps that change queues and bindings of its own."""


DRAIN_STYLE = Style(1, 1, (20,), 0, 0.0, 0.0, False)


def any_style(chance: random.Random) -> Style:
    window = chance.choice((1, 1, 20, 300, 2000))
    return Style(
        window,
        burst=min(window, chance.choice((1, 8, 60))),
        sizes=chance.choice(((20,), (20, 200), (100, 4000), (20, 30_000), (12, 500, 250_000))),
        prefetch=chance.choice((1, 10, 300)),
        consumes=chance.choice((0.0, 0.3, 0.8)),
        transient=chance.choice((0.0, 0.0, 0.15)),
        multiple=chance.random() < 0.5,
    )


class Actor(Client):
    """A client that publishes, consumes and changes its own queues, whatever chance says."""

    def __init__(self, publisher: int, number: int, chance: random.Random, emit: Emit, style: Style) -> None:
        super().__init__()
        self.publisher = publisher
        self.number = number
        """Of the next message; goes on from round to round."""
        self.chance = chance
        self.emit = emit
        self.style = style
        self.own = NOTHING
        self._position = 0
        self._tag = 0
        self._unconfirmed: deque[tuple[int, int, bool]] = deque()
        """(tag, position, whether it is stored) of publishes, in order."""
        self._unanswered: dict[int, tuple[str, int]] = {}
        """Deliveries that were not answered: tag → (identity, key)."""
        self._pending: dict[int, None] = {}
        """Those that will be."""
        self.incarnation = 0

    def adopt(self, definitions: Definitions, incarnation: int) -> None:
        """Go on with what is left of this publisher's own queues."""
        self.own = definitions
        self.incarnation = incarnation

    def place(self) -> int:
        """The position of the next operation."""
        self._position += 1
        return self._position

    @property
    def settled(self) -> bool:
        """Nothing is on its way."""
        return self.idle and not self._unconfirmed and not self.asking

    @property
    def waits_for_the_disk(self) -> bool:
        """A stored message is not confirmed yet."""
        return any(stored for _, _, stored in self._unconfirmed)

    # --- what the broker says --------------------------------------------------------------------------

    def on_open(self) -> None:
        self.qos(self.style.prefetch)
        for name in topology.QUEUES:
            if self.chance.random() < self.style.consumes:
                self.emit(("consume", name, self.style.prefetch))
                self.consume(name, name)

    def on_confirm(self, tag: int, multiple: bool) -> None:
        waiting = self._unconfirmed
        if not waiting or tag < waiting[0][0] or (tag != waiting[0][0] and not multiple):
            raise ProtocolError(f"confirm of {tag} (multiple={multiple}) while {waiting[:1]} is the first")
        count = 0
        last_stored = last_any = -1
        while waiting and waiting[0][0] <= tag:
            _, position, stored = waiting.popleft()
            count += 1
            last_any = position
            if stored:
                last_stored = position
        if last_stored >= 0:
            self.emit(("confirm", self.publisher, last_stored, True, count))
        if last_any > last_stored:
            self.emit(("confirm", self.publisher, last_any, False, 0 if last_stored >= 0 else count))

    def on_delivery(self, consumer: str, tag: int, redelivered: bool, body: bytes) -> None:
        key = read_body(body)
        self.emit(("deliver", self.publisher, self.place(), consumer, key, redelivered))
        self._unanswered[tag] = consumer, key
        self._pending[tag] = None

    def _answered(self, position: int) -> Callable[[bytes | None], None]:
        return lambda _: self.emit(("answer", self.publisher, position))

    # --- what it does ------------------------------------------------------------------------------------

    def step(self) -> None:
        """Do something, if anything may be done now."""
        if not self.open or self.closed is not None:
            return
        what = self.chance.random()
        if what < self.style.defines:
            self._define()
        elif what < 0.30 + self.style.defines and self._pending:
            self._settle()
        elif len(self._unconfirmed) < self.style.window:
            self._publish(self._any_route(), self.chance.randint(1, self.style.burst))
        elif self._pending:
            self._settle()

    def _any_route(self) -> Route:
        own = self.own.queues
        if own and self.chance.random() < 0.25:
            name = self.chance.choice(list(own))
            identity, bound = own[name]
            if self.chance.random() < 0.3:
                return Route("", name, (identity,))
            if self.own.exchange:
                return Route(exchange_of(self.publisher), name, (identity,) if bound else ())
        return self.chance.choice(topology.ROUTES)

    def _publish(self, route: Route, count: int) -> None:
        stored = self.chance.random() >= self.style.transient
        count = min(count, self.style.window - len(self._unconfirmed))
        size = self.chance.choice(self.style.sizes)
        if size > 10_000:
            count = min(count, 1 + 200_000 // size)
        keys = [key_of(self.publisher, self.number + step) for step in range(count)]
        self.number += count
        first = self._position + 1
        self._position += count
        self.emit(("publish", self.publisher, first, keys, route.targets, stored))
        waits = stored and bool(route.targets)
        for step, key in enumerate(keys):
            self._tag += 1
            self._unconfirmed.append((self._tag, first + step, waits))
            body = make_body(key, size)
            self.send(
                amqp_wire.message(
                    route.exchange,
                    route.key,
                    body,
                    persistent=stored,
                    frame_max=FRAME_MAX,
                    priority=priority_of(self.publisher),
                )
            )

    def fence(self) -> None:
        """Publish one message whose confirm proves everything that was sent before."""
        self._publish_stored()

    def _publish_stored(self) -> None:
        style, self.style = (
            self.style,
            self.style._replace(transient=0.0, window=len(self._unconfirmed) + 1, sizes=(20,)),
        )
        self._publish(topology.ROUTES[0], 1)
        self.style = style

    def _settle(self) -> None:
        """Answer some deliveries: one, a few, all up to one; in any of the four ways, or not at all."""
        pending, chance = self._pending, self.chance
        what = chance.random()
        if what < 0.08:
            # Never answered: a consumer that hangs.
            del pending[next(iter(pending))]
        elif what < 0.20:
            self._requeue(chance.choice(list(pending)[:50]))
        elif what < 0.28:
            self._settle_one(chance.choice(list(pending)[:50]), self._drop)
        elif self.style.multiple and what < 0.60:
            self._settle_through(chance.choice(list(pending)[:500]))
        else:
            for tag in list(pending)[: chance.choice((1, 20, 200))]:
                self._settle_one(tag, self.ack)

    def _drop(self, tag: int) -> None:
        self.reject(tag, requeue=False)

    def _settle_one(self, tag: int, answer: Callable[[int], None]) -> None:
        self._pending.pop(tag)
        identity, key = self._unanswered.pop(tag)
        self.emit(("settle", self.publisher, self.place(), identity, [key]))
        answer(tag)

    def _settle_through(self, last: int) -> None:
        """Acknowledge everything up to this tag, which includes deliveries that were left aside."""
        by_queue: dict[str, list[int]] = {}
        for tag in [tag for tag in self._unanswered if tag <= last]:
            identity, key = self._unanswered.pop(tag)
            self._pending.pop(tag, None)
            by_queue.setdefault(identity, []).append(key)
        for identity, keys in by_queue.items():
            self.emit(("settle", self.publisher, self.place(), identity, keys))
        self.ack(last, multiple=True)

    def _requeue(self, tag: int) -> None:
        self._pending.pop(tag)
        self._unanswered.pop(tag)
        if self.chance.random() < 0.5:
            self.nack(tag)
        else:
            self.reject(tag, requeue=True)

    # --- queues of its own ---------------------------------------------------------------------------------

    def _define(self) -> None:
        """Make, bind, unbind or delete one of the actor's own queues, or its exchange."""
        chance, own = self.chance, dict(self.own.queues)
        exchange = exchange_of(self.publisher)
        name = f"{exchange}.{chance.randrange(3)}"
        if not self.own.exchange:
            self._defined(Definitions(True, own))
            self.declare_exchange(exchange, "direct", then=self._answered(self._position))
        elif chance.random() < 0.05:
            self._defined(Definitions(False, {each: (own[each][0], False) for each in own}))
            self.delete_exchange(exchange, then=self._answered(self._position))
        elif name not in own:
            self.incarnation += 1
            own[name] = f"{name}#{self.incarnation}", False
            self._defined(Definitions(True, own))
            self.declare_queue(name, then=self._answered(self._position))
            if chance.random() < 0.5:
                self.emit(("consume", own[name][0], self.style.prefetch))
                self.consume(name, own[name][0])
            self._bind(own, name)
        elif chance.random() < 0.4:
            del own[name]
            self._defined(Definitions(True, own))
            self.delete_queue(name, then=self._answered(self._position))
        elif own[name][1]:
            own[name] = own[name][0], False
            self._defined(Definitions(True, own))
            self.unbind_queue(name, exchange, name, then=self._answered(self._position))
        else:
            self._bind(own, name)

    def _bind(self, own: dict[str, tuple[str, bool]], name: str) -> None:
        own = {**own, name: (own[name][0], True)}
        self._defined(Definitions(True, own))
        self.bind_queue(name, exchange_of(self.publisher), name, then=self._answered(self._position))

    def _defined(self, after: Definitions) -> None:
        self.emit(("define", self.publisher, self.place(), after))
        self.own = after


class Drain(Actor):
    """Finds out what is there after a restart: definitions one by one, then every message of every queue.

    `state` is what was found, once `done`. `publishers` are those whose own queues are looked for. What was
    taken out stays unacknowledged, unless `settle` answers some of it.
    """

    def __init__(
        self, publisher: int, number: int, chance: random.Random, emit: Emit, publishers: Iterable[int]
    ) -> None:
        super().__init__(publisher, number, chance, emit, DRAIN_STYLE)
        self.state = State({}, set(), set())
        self.done = False
        self.errors: list[str] = []
        self._publishers = tuple(publishers)
        self._tasks: deque[Callable[[], None]] = deque()
        self._expected: dict[str, int] = {}
        self._left = 0
        self._probes: dict[str, list[bytes]] = {}
        self._tags: dict[str, dict[int, int]] = {}

    def know(self, queues: Iterable[str], exchanges: Iterable[str]) -> None:
        """Save looking for what exists, where that can be seen from inside."""
        self.state.queues.update({name: [] for name in queues})
        self.state.exchanges.update(exchanges)
        if topology.PASSING in self.state.queues:
            self.errors.append(_NOT_GONE)
        self._tasks.append(self._probe)

    def on_open(self) -> None:
        tasks = self._tasks
        if tasks:
            return
        own = [exchange_of(publisher) for publisher in self._publishers]
        for exchange in [*(name for name, _ in topology.EXCHANGES), *own]:
            tasks.append(lambda exchange=exchange: self._look_for_exchange(exchange))
        for queue in [*topology.QUEUES, *(f"{exchange}.{count}" for exchange in own for count in range(3))]:
            tasks.append(lambda queue=queue: self._look_for_queue(queue))
        tasks.append(self._demand_gone)
        tasks.append(self._probe)

    def forget_tasks(self) -> None:
        """Nothing is to be found."""
        self._tasks.clear()

    def step(self) -> None:
        while self.open and not self.asking and self._tasks:
            self._tasks.popleft()()

    def _look_for_exchange(self, name: str) -> None:
        def then(answer: bytes | None) -> None:
            if answer is not None:
                self.state.exchanges.add(name)

        self.declare_exchange(name, "direct", passive=True, then=then)

    def _look_for_queue(self, name: str) -> None:
        def then(answer: bytes | None) -> None:
            if answer is not None:
                self.state.queues[name] = []

        self.declare_queue(name, passive=True, then=then)

    def _demand_gone(self) -> None:
        def then(answer: bytes | None) -> None:
            if answer is not None:
                self.errors.append(_NOT_GONE)

        self.declare_queue(topology.PASSING, passive=True, then=then)

    def _probe(self) -> None:
        """Send one transient message along every route; where it comes out says what is bound."""
        for route in topology.ROUTES[1:]:
            if not route.exchange or route.exchange in self.state.exchanges:
                self._send_probe(route.exchange, route.key)
        for publisher in self._publishers:
            exchange = exchange_of(publisher)
            if exchange in self.state.exchanges:
                for count in range(3):
                    self._send_probe(exchange, f"{exchange}.{count}")
        for name in self.state.queues:
            self._count(name)
        self._tasks.append(self._consume_all)

    def _send_probe(self, exchange: str, key: str) -> None:
        self._tag += 1
        self._unconfirmed.append((self._tag, self.place(), False))
        body = PROBE + f"{exchange}/{key}".encode()
        self.send(amqp_wire.message(exchange, key, body, persistent=False, frame_max=FRAME_MAX))

    def _count(self, name: str) -> None:
        def then(answer: bytes | None) -> None:
            assert answer is not None
            self._expected[name] = int.from_bytes(answer[1 + answer[0] : 5 + answer[0]], "big")

        self.declare_queue(name, passive=True, then=then)

    def _consume_all(self) -> None:
        self._left = sum(self._expected.values())
        for name in self._expected:
            self._probes[name] = []
            self._tags[name] = {}
            self.consume(name, name)
        self._tasks.append(self._finish_if_all)

    def on_delivery(self, consumer: str, tag: int, redelivered: bool, body: bytes) -> None:
        if self.done:
            # A fence, which the drain sent itself.
            super().on_delivery(consumer, tag, redelivered, body)
            return
        self._left -= 1
        if body.startswith(PROBE):
            self._probes[consumer].append(body)
            self.ack(tag)
            if redelivered:
                self.errors.append(f"{body!r} came out of {consumer} as redelivered")
        else:
            key = read_body(body)
            self.state.queues[consumer].append(Found(key, redelivered))
            self._tags[consumer][key] = tag
            if self._probes[consumer]:
                self.errors.append(f"in {consumer} older messages stand behind new ones")
        self._finish_if_all()

    def _finish_if_all(self) -> None:
        if self._left < 0:
            self.errors.append("more messages came than were counted")
        if self._left or self.done or self.asking:
            return
        self.done = True
        for name in topology.QUEUES:
            routes = [route for route in topology.ROUTES[1:] if name in route.targets]
            wanted = [PROBE + f"{route.exchange}/{route.key}".encode() for route in routes]
            if sorted(wanted) != sorted(self._probes.get(name, ())):
                self.errors.append(f"{name} got the probes {self._probes.get(name)}, not {wanted}")
        for name, probes in self._probes.items():
            if name not in topology.QUEUES and probes:
                self.state.bound.add(name)

    def settle(self, share: float, identities: Mapping[str, str]) -> None:
        """Acknowledge about this share of what was found, and prove it."""
        for name, tags in self._tags.items():
            chosen = [key for key in tags if self.chance.random() < share]
            if chosen:
                self.emit(("settle", self.publisher, self.place(), identities[name], chosen))
                for key in chosen:
                    self.ack(tags[key])
        self.fence()
