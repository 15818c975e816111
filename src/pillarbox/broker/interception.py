"""Interception: what is published to some queues and topics goes elsewhere as well, or instead (A25-A27).

A rule names queues or topics. What is published there, by clients of any protocol, is also given to a
*waypoint*: a queue that holds nothing and deals with its messages at once. So everything happens in the turn
of the publish and in one group of the journal, and a confirm waits for what was passed on as well. Waypoints
stand in routes like any other queue; who has no rules takes no step for them.

Kinds of waypoints: `Forwarder` publishes to other destinations (composite destinations, mirrored queues),
`Gate` lets pass what some consumer of a queue wants (virtual topics that look at selectors), and `Memory`
keeps the last messages for subscriptions to come (`recovery`).

Not here: what an operator writes (a head's options). Source: ActiveMQ, "Virtual Destinations", "Mirrored
Queues"; 5.17.2 asked with `tests/compare_messaging/scenarios/rules_on_activemq.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pillarbox.broker.exchange import TOPICS
from pillarbox.broker.index import NO_ENVELOPE
from pillarbox.broker.lane import Lane
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import MESSAGE_BYTES, body_bytes_of, message_bytes_of
from pillarbox.broker.selectors import Selector, lookup_of
from pillarbox.engine.base import NO_EXPIRATION, Address, Location, Message

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Exchange
    from pillarbox.broker.index import Destination, Keys
    from pillarbox.broker.vhost import VHost

ORIGINAL: Final = "x-original-destination"
"""The header of a message that was passed on which says where it was published to."""

WAYPOINTS_MAX: Final = 4096
"""Waypoints that are kept, one for each name that a rule has met."""
REWRITTEN_MAX: Final = 1024
"""Lists of properties whose form with `ORIGINAL` is kept."""


class WaypointLane(Lane):
    """What stands in for a lane: nothing is ever in it."""

    __slots__ = ()

    queue: Waypoint

    def push(
        self,
        messages: list[Message],
        body_bytes: int,
        location: Location | None,
        *,
        stored: bool = True,
        expiring: bool = False,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        self.queue.take_in(messages)


class Waypoint(Queue):
    """See the module. It is in no list of queues."""

    in_log = True
    """Nothing of it ever stands in the journal, or has to make room in memory."""

    def __init__(self, changes: Changes, name: str) -> None:
        super().__init__(changes, 0, name)
        self.lanes = [WaypointLane(self, changes, 0, 0)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def take_in(self, messages: list[Message]) -> None:
        """Deal with messages that were published."""
        raise NotImplementedError


class Rule(NamedTuple):
    """What happens to messages for the queues, or topics, whose names match."""

    matches: Callable[[str], object]
    make: Callable[[str], Waypoint]
    """The waypoint for messages of this name."""
    only: bool = False
    """They do not come to where they were published to."""
    on_arrival: bool = False
    """It is for messages that do come there: not where another rule is `only`."""


class Interception:
    """The rules of one virtual host; see the module."""

    def __init__(self, core: Core, vhost: VHost) -> None:
        self.core = core
        self.vhost = vhost
        self.for_queues: list[Rule] = []
        self.for_topics: list[Rule] = []
        self.gated: Callable[[str], object] | None = None
        """Which queues get from topics only what their consumers want."""
        self._waypoints: dict[tuple[int, str], Waypoint] = {}
        self._gates: dict[Queue, Gate] = {}

    def __repr__(self) -> str:
        return f"<Interception queues={len(self.for_queues)} topics={len(self.for_topics)}>"

    def begin(self) -> None:
        """Have the rules count from now on."""
        self.vhost.interception = self
        topics = self.vhost.exchanges[TOPICS]
        topics.intercept = self.of_topics
        topics.invalidate()

    def stand_before(self, exchange: Exchange) -> None:
        """Have the rules for queues count for an exchange that leads to what a message's key names."""
        if exchange.intercept is None:
            exchange.intercept = self._of_bound_queues
            exchange.invalidate()

    def _of_bound_queues(self, keys: Keys, found: Iterable[Destination]) -> Iterable[Destination]:
        return self.of_queues(keys, tuple(one for one in found if isinstance(one, Queue)))

    def of_queues(self, keys: Keys, found: tuple[Queue, ...]) -> tuple[Queue, ...]:
        """Where messages go that were published to the queues of these names."""
        queues: dict[Queue, None] = {}
        left = dict.fromkeys(found)
        for key in keys:
            points, only = self._points(self.for_queues, key)
            queues.update(points)
            if only:
                # Of one key all that was found is what it names, whatever that is called.
                left = {queue: None for queue in left if queue.name != key and len(keys) > 1}
        return (*queues, *left)

    def of_topics(self, keys: Keys, found: Iterable[Destination]) -> Iterable[Destination]:
        """Where messages go that were published with these keys."""
        left: list[Destination] = list(found)
        points: dict[Queue, None] = {}
        for key in keys:
            some, only = self._points(self.for_topics, key)
            points.update(some)
            if only:
                left = []
        if self.gated is not None:
            left = [self._gate(one) if isinstance(one, Queue) else one for one in left]
        return (*points, *left)

    def _points(self, rules: Sequence[Rule], name: str) -> tuple[dict[Queue, None], bool]:
        """The waypoints for a name, and whether messages go nowhere else."""
        points: dict[Queue, None] = {}
        only = False
        for rule in rules:
            if (only and rule.on_arrival) or not rule.matches(name):
                continue
            only = only or rule.only
            points[self._point(rule, name)] = None
        return points, only

    def _point(self, rule: Rule, name: str) -> Waypoint:
        key = (id(rule), name)
        point = self._waypoints.get(key)
        if point is None:
            if len(self._waypoints) >= WAYPOINTS_MAX:
                self._waypoints.clear()
            point = self._waypoints[key] = rule.make(name)
        return point

    def _gate(self, queue: Queue) -> Queue:
        assert self.gated is not None
        if not self.gated(queue.name):
            return queue
        gate = self._gates.get(queue)
        if gate is None:
            if len(self._gates) >= WAYPOINTS_MAX:
                self._gates.clear()
            gate = self._gates[queue] = Gate(self.core, queue)
        return gate


def pass_on(core: Core, queues: tuple[Queue, ...], messages: list[Message]) -> None:
    """Publish messages that a waypoint has taken; whoever published them waits for these, too."""
    for persistent, group in groupby(messages, lambda message: message.persistent):
        some = list(group)
        stored, _ = core.publish(
            queues,
            some,
            body_bytes_of(some),
            persistent=persistent,
            expiring=any(message.expiration_ms != NO_EXPIRATION for message in some),
            prioritized=any(message.priority for message in some),
            message_bytes=message_bytes_of(some),
        )
        if stored:
            core.changes.passed_on = True


def with_header(core: Core, message: Message, name: str, value: str | bool) -> bytes:
    """The properties of a message that says this as well; its own, if it cannot be said."""
    dialect = core.dialects.of(message.address.origin)
    if dialect is None:
        return message.properties
    said = dialect.read(message)
    said = msgspec.structs.replace(said, headers=said.headers | {name: value})
    try:
        return dialect.write(said, message)
    except ValueError:
        return message.properties


# --- forwarding ----------------------------------------------------------------------------------------


class Goal(NamedTuple):
    """Where a forwarder publishes."""

    exchange: str
    key: str
    selector: Selector | None = None
    """What messages have to meet; None: all go there."""


Provide = Callable[[Goal], None]
"""Makes what a goal needs, such as its queue."""


class Forwarder(Waypoint):
    """Publishes what it takes to other destinations. `original`: where it was published to, as its receivers
    are told; empty: they are not."""

    def __init__(
        self, interception: Interception, name: str, goals: Sequence[Goal], original: str, provide: Provide
    ) -> None:
        core = interception.core
        super().__init__(core.changes, name)
        self._core = core
        self._vhost = interception.vhost
        self._goals = goals
        self._original = original
        self._provide = provide
        self._is_busy = self._has_warned = False
        self._addresses: dict[tuple[str, str, str], Address] = {}
        self._rewritten: dict[tuple[str, bytes], bytes] = {}

    def take_in(self, messages: list[Message]) -> None:
        if self._is_busy:
            if not self._has_warned:
                self._has_warned = True
                self._core.warn(f"messages to {self.name!r} are passed on in a circle: they go no further")
            return
        self._is_busy = True
        try:
            for goal in self._goals:
                self._forward(goal, messages)
        finally:
            self._is_busy = False

    def _forward(self, goal: Goal, messages: list[Message]) -> None:
        selector = goal.selector
        if selector is not None:
            said = self._core.dialects.said
            messages = [message for message in messages if selector(lookup_of(said(message)))]
        if not messages:
            return
        self._provide(goal)
        route = self._vhost.route(goal.exchange, (goal.key,), NO_ENVELOPE)
        if route.queues:
            pass_on(self._core, route.queues, [self._copy(goal, message) for message in messages])

    def _copy(self, goal: Goal, message: Message) -> Message:
        """The message as it was published to the goal."""
        origin = message.address.origin
        name = (origin, goal.exchange, goal.key)
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = Address(*name)
        properties = self._properties(message) if self._original else message.properties
        return msgspec.structs.replace(message, address=address, properties=properties)

    def _properties(self, message: Message) -> bytes:
        key = (message.address.origin, message.properties)
        found = self._rewritten.get(key)
        if found is None:
            # As ActiveMQ has it, of a message that is passed on twice the last place counts.
            found = with_header(self._core, message, ORIGINAL, self._original)
            if len(self._rewritten) >= REWRITTEN_MAX:
                self._rewritten.clear()
            self._rewritten[key] = found
        return found


# --- gates ---------------------------------------------------------------------------------------------


class Gate(Waypoint):
    """Lets pass what at least one consumer of a queue wants; nobody is there: nothing."""

    def __init__(self, core: Core, queue: Queue) -> None:
        super().__init__(core.changes, queue.name)
        self._core = core
        self._queue = queue

    def take_in(self, messages: list[Message]) -> None:
        queue = self._queue
        selectors = [consumer.selector for consumer in (*queue.consumers, *queue.standby)]
        if not selectors or queue.deleted:
            return
        if None not in selectors:
            said = self._core.dialects.said
            messages = [message for message in messages if _meets_any(selectors, lookup_of(said(message)))]
        if messages:
            pass_on(self._core, (queue,), messages)


def _meets_any(selectors: Sequence[Selector | None], lookup: Callable[[str], object]) -> bool:
    return any(selector is not None and selector(lookup) for selector in selectors)
