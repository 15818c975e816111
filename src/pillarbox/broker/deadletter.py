"""Dead lettering: what dies in a queue is published anew through the exchange that the queue names (R48).

A queue takes what dies out of its lanes and hangs it into `Changes.dying`; from there it is forwarded, a
bounded number of messages a tick. Forwarding a message and settling it where it died happen at one moment,
so they stand in one group of the journal: a crash neither loses nor doubles it. Until then it is unsettled,
and a restart finds it in its old queue.

Why a message died, and where, becomes part of its properties, whose encoding is its protocol's: a head enters
a `Writer` for its origin. Not here: which messages die (`queue`, `lane`, `limits`, `ledger`).

Source: RabbitMQ, "Dead Letter Exchanges"; 3.10.8 asked with `tests/compare/written/deadletters.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pillarbox.broker.index import NO_ENVELOPE, Envelope
from pillarbox.broker.run import body_bytes_of, message_bytes_of
from pillarbox.engine.base import Address, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Route
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.broker.vhost import VHost

REJECTED, EXPIRED, MAXLEN, DELIVERY_LIMIT = "rejected", "expired", "maxlen", "delivery_limit"
"""Why messages die, in RabbitMQ's words."""

CONFIRMED = "confirmed"
"""Counted beside the reasons: a dead letter of at least once has reached all its targets."""

REASONS = (REJECTED, EXPIRED, MAXLEN, DELIVERY_LIMIT)

DISABLED, AT_MOST_ONCE, AT_LEAST_ONCE = "disabled", "at_most_once", "at_least_once"
"""What a queue does with what dies, as RabbitMQ 3.13 labels its counters: drops it, forwards it, or keeps it
until it could be forwarded (see `undelivered`)."""

DEATHS_MAX = 2048
"""Messages of which it is known that they have died: ActiveMQ's number for each sender."""
DIGEST_BYTES = 16

ADDRESSES_MAX = 1024
"""Addresses of dead letters that are kept, one for each exchange and key: heads know them by identity."""


class DeadLetterRule(msgspec.Struct, frozen=True, eq=False):
    """Where the dead letters of a queue go."""

    vhost: VHost
    exchange: str
    routing_key: str | None
    """In place of the keys with which the message was published; None: those."""
    at_least_once: bool = False
    """What no queue takes is kept and tried again (R49); otherwise it is dropped."""
    transient: bool = True
    """Transient messages become dead letters as well; otherwise they are dropped (A32)."""
    expired: bool = True
    """So does what has expired."""
    dropped: bool = True
    """So does what gives way to newer messages."""
    once: bool = False
    """Of a message that several such queues have got one becomes a dead letter (A33)."""

    def of(self, reason: str, messages: list[Message]) -> list[Message]:
        """Those of the messages that died for this reason which become dead letters."""
        if (reason == EXPIRED and not self.expired) or (reason == MAXLEN and not self.dropped):
            return []
        return messages if self.transient else [message for message in messages if message.persistent]

    @property
    def strategy(self) -> str:
        return AT_LEAST_ONCE if self.at_least_once else AT_MOST_ONCE


class Death(msgspec.Struct, frozen=True, eq=False):
    """What happened to a message."""

    queue: str
    reason: str
    now_ms: int
    routing_key: str | None


class DeadLetter(msgspec.Struct, frozen=True, eq=False):
    """What a head makes of a message that died: how it is to be published anew."""

    properties: bytes
    keys: tuple[str, ...]
    """The routing key, and any that the message names besides (R26)."""
    envelope: Envelope
    priority: int
    deaths: Sequence[tuple[str, str]]
    """(queue, reason) of all its deaths, the last one first."""
    hidden_keys: tuple[str, ...] = ()
    """Those of the keys of which receivers do not hear."""
    origin: str | None = None
    """In place of the message's own (see `Address`)."""


Writer = Callable[[Message, Death], DeadLetter]


class Offer(NamedTuple):
    """What became of a message that was offered to its targets."""

    done: bool
    """All have it, and there is at least one."""
    taken_by: frozenset[int]
    """Uids of those that have it."""
    tried: bool
    """It had a route."""


class Dying(NamedTuple):
    """Messages on their way out of a queue."""

    queue: Queue
    reason: str
    run: Run | None
    """The messages in their lane, where they are settled when they are forwarded."""
    messages: list[Message] | None
    """Or messages that the queue never took."""


def closes_cycle(queue: str, reason: str, deaths: Sequence[tuple[str, str]]) -> bool:
    """Would a dead letter come back to a queue without any client having had a hand in it?

    Such a message is dropped: it would go round for ever. A rejection is a client's doing.
    """
    if reason == REJECTED:
        return False
    for name, cause in deaths:
        if cause == REJECTED:
            return False
        if name == queue:
            return True
    return False


class Deaths:
    """Which messages have died in queues that are to have one dead letter of each.

    Copies of a message are told by all that they have, and alike ones by how many of them have died in each
    queue: the second in one queue is the second in another. After a restart there may be one more.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[object, ...], dict[int, int]] = {}
        """By queue, for the messages that died last."""

    def first(self, vhost: str, uid: int, messages: list[Message]) -> list[Message]:
        """Those of these of which no copy has died before; they die in this queue."""
        return [message for message in messages if self._is_first(vhost, uid, message)]

    def _is_first(self, vhost: str, uid: int, message: Message) -> bool:
        address = message.address
        digest = blake2b(message.properties, digest_size=DIGEST_BYTES)
        digest.update(message.body)
        key = (vhost, address.exchange, address.routing_key, message.accepted_ms, digest.digest())
        counts = self._counts.pop(key, {})
        most = max(counts.values(), default=0)
        counts[uid] = counts.get(uid, 0) + 1
        if len(self._counts) >= DEATHS_MAX:
            del self._counts[next(iter(self._counts))]
        self._counts[key] = counts
        return counts[uid] > most


class DeadLetters:
    """The forwarding of dead letters of one broker; see the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.writers: dict[str, Writer] = {}
        """By the origin of messages (see `Address`)."""
        self._addresses: dict[tuple[str, str, str, tuple[str, ...]], Address] = {}
        self._deaths = Deaths()

    def __repr__(self) -> str:
        return f"<DeadLetters dying={len(self._core.changes.dying)}>"

    def forward(self, count_max: int) -> int:
        """Forward at most `count_max` of the messages that are dying; return how many."""
        core = self._core
        if core.failure is not None:
            # They cannot be stored elsewhere; a restart finds them where they were.
            return 0
        dying = core.changes.dying
        done = 0
        while dying and done < count_max:
            one = dying.popleft()
            if one.run is None:
                messages = one.messages or []
            else:
                lane = one.run.lane
                run, rest = lane.split_dying(one.run, count_max - done)
                if rest is not None:
                    dying.appendleft(one._replace(run=rest))
                messages = run.messages or []
            self._send(one.queue, one.reason, messages)
            if one.run is not None:
                core.changes.note_move()
                lane.forwarded(run)
            done += len(messages)
        return done

    def forward_all(self, queue: Queue) -> None:
        """Forward everything that is dying in this queue, which is about to be deleted."""
        changes = self._core.changes
        others = deque(one for one in changes.dying if one.queue is not queue)
        if len(others) == len(changes.dying):
            return
        changes.dying = deque(one for one in changes.dying if one.queue is queue)
        while changes.dying and changes.dying[0].queue is queue and self.forward(1 << 30):
            pass
        changes.dying.extend(others)

    def _send(self, queue: Queue, reason: str, messages: list[Message]) -> None:
        """Publish dead letters as the rule of their queue has it."""
        rule = queue.dead_letters
        if rule is None:
            return
        if rule.once:
            messages = self._deaths.first(rule.vhost.name, queue.uid, messages)
        letters = rule.of(reason, messages)
        self._core.events.mention("message.died", rule.vhost, queue, reason, messages, letters)
        if rule.at_least_once:
            self._send_or_keep(queue, reason, letters)
        elif rule.vhost.has_exchange(rule.exchange):
            self._publish(self._routed(queue, rule, reason, letters))

    def _routed(
        self, queue: Queue, rule: DeadLetterRule, reason: str, messages: list[Message]
    ) -> Iterator[tuple[tuple[Queue, ...], Message]]:
        """Messages as they are published anew, and where they go: maybe nowhere."""
        death = Death(queue.name, reason, self._core.changes.now_ms, rule.routing_key)
        # Messages of one publisher often differ in nothing but their bodies.
        letters: dict[tuple[Address, bytes], DeadLetter] = {}
        routes: dict[tuple[str, ...], Route] = {}
        for message in messages:
            known = (message.address, message.properties)
            letter = letters.get(known)
            if letter is None:
                letter = letters[known] = self._letter(message, death)
            route = routes.get(letter.keys)
            if route is None:
                route = rule.vhost.route(rule.exchange, letter.keys, letter.envelope)
                if not route.per_message:
                    routes[letter.keys] = route
            copy = self._copy(message, letter, rule.exchange)
            if route.per_message:
                route.remember(letter.keys, letter.envelope, copy)
            queues = route.queues
            if reason != REJECTED and any(closes_cycle(q.name, reason, letter.deaths) for q in queues):
                queues = tuple(q for q in queues if not closes_cycle(q.name, reason, letter.deaths))
            yield queues, copy

    def _publish(self, routed: Iterable[tuple[tuple[Queue, ...], Message]]) -> None:
        """Publish dead letters, those that go to the same queues together."""
        routed = [(queues, copy) for queues, copy in routed if queues]
        for (queues, persistent), group in groupby(routed, lambda one: (one[0], one[1].persistent)):
            copies = [copy for _, copy in group]
            self._core.publish(
                queues,
                copies,
                body_bytes_of(copies),
                persistent=persistent,
                expiring=False,
                prioritized=any(copy.priority for copy in copies),
                message_bytes=message_bytes_of(copies),
            )

    # --- at least once -----------------------------------------------------------------------------

    def _send_or_keep(self, queue: Queue, reason: str, messages: list[Message]) -> None:
        """Publish dead letters one by one; what some target does not take stays with the queue."""
        undelivered = self._core.undelivered
        for position, message in enumerate(messages):
            found = undelivered.by_source.get(queue)
            if found is not None and not found.lets_pass:
                found.keep(reason, messages[position:], frozenset(), False)
                return
            offer = self.offer(queue, reason, message, frozenset())
            if offer.done:
                self._core.changes.count_deaths(queue.kind, AT_LEAST_ONCE, CONFIRMED, 1)
            else:
                undelivered.of(queue).keep(reason, [message], offer.taken_by, offer.tried)

    def offer(self, queue: Queue, reason: str, message: Message, taken_by: frozenset[int]) -> Offer:
        """Publish one dead letter to those of its targets that do not have it yet and do not refuse it."""
        rule = queue.dead_letters
        if rule is None or not rule.vhost.has_exchange(rule.exchange):
            return Offer(False, taken_by, False)
        ((targets, copy),) = self._routed(queue, rule, reason, [message])
        wanting = [target for target in targets if target.uid not in taken_by]
        size = len(copy.body)
        takers = tuple([target for target in wanting if not self._core.refused_by(target, [copy], size)])
        self._publish([(takers, copy)])
        taken_by |= {target.uid for target in takers}
        return Offer(len(takers) == len(wanting) and bool(taken_by), taken_by, bool(targets))

    # --- the letter --------------------------------------------------------------------------------

    def _letter(self, message: Message, death: Death) -> DeadLetter:
        writer = self.writers.get(message.address.origin)
        if writer is not None:
            return writer(message, death)
        dialects = self._core.dialects
        if dialects.common is not None:
            translated = dialects.translated(message, dialects.common)
            letter = self.writers[dialects.common](translated, death)
            return msgspec.structs.replace(letter, origin=dialects.common)
        key = message.address.routing_key if death.routing_key is None else death.routing_key
        return DeadLetter(message.properties, (key,), NO_ENVELOPE, 0, ((death.queue, death.reason),))

    def _copy(self, message: Message, letter: DeadLetter, exchange: str) -> Message:
        """The message as it is published anew: without a time to live."""
        origin = letter.origin or message.address.origin
        name = (origin, exchange, letter.keys[0], letter.hidden_keys)
        address = self._addresses.get(name)
        if address is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            address = self._addresses[name] = Address(*name)
        return Message(
            address,
            letter.properties,
            message.body,
            self._core.changes.now_ms,
            persistent=message.persistent,
            priority=letter.priority,
        )
